"""What a shell command is about: program, subcommand, git operation, files read. Never its text.

Pure. Only words of known programs leave this module, and of files their base name and a short
hash; arguments, branches, messages and patterns stay behind.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256

from server.usage.vcs import GH_KINDS, GIT_KINDS

_LONGEST = 4000  # characters of a command that are looked at
_MOST_STEPS = 40
_MOST_PATHS = 50


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FAMILIES = {
    "pytest": "pytest py.test",
    "mypy": "mypy pyright pyre dmypy",
    "ruff": "ruff black flake8 pylint isort",
    "git": "git gh hub glab git-lfs",
    "node": "node nodejs deno bun tsx ts-node",
    "npm": "npm npx yarn corepack",
    "pnpm": "pnpm",
    "python": "python python3 py python2 ipython pypy pypy3",
    "python_packages": "pip pip3 pipx uv uvx poetry pdm hatch tox nox conda mamba virtualenv twine",
    "javascript_tools": "tsc eslint prettier jest vitest mocha vite webpack playwright biome next "
    "rollup esbuild turbo nx cypress",
    "search": "rg grep egrep fgrep zgrep ag ack find fd fdfind locate select-string findstr",
    "read": "cat head tail nl sed less more bat tac strings xxd hexdump od get-content type",
    "list": "ls tree pwd dir stat file du df wc realpath readlink basename dirname which whereis "
    "get-childitem get-location resolve-path test-path eza exa lsof",
    "text": "awk gawk jq yq sort uniq cut tr diff comm paste column fold fmt join split xargs tee "
    "perl iconv envsubst cmp md5sum sha256sum sha1sum shasum base64 rev seq select-object "
    "where-object sort-object measure-object foreach-object",
    "files": "mkdir rm cp mv touch chmod chown ln rmdir rsync install mktemp truncate dd trash "
    "apply_patch patch new-item remove-item copy-item move-item set-content add-content out-file",
    "archive": "tar zip unzip gzip gunzip zstd xz bzip2 7z zcat",
    "shell": "echo printf test [ [[ true false : sleep exit export set source . cd pushd popd eval "
    "read wait type alias unset ulimit umask trap date env printenv uname hostname whoami id "
    "bash sh zsh dash fish pwsh powershell cmd time timeout command exec clear history man "
    "write-output write-host set-location tput yes nproc uptime free getent locale tty "
    "arch sw_vers ver",
    "process": "ps kill pkill killall top htop pgrep nohup jobs fg bg systemctl journalctl service "
    "launchctl strace tmux screen watch crontab get-process stop-process fuser ss netstat ltrace",
    "network": "curl wget http httpie ssh scp sftp ping dig nslookup host nc ip ifconfig openssl "
    "traceroute telnet invoke-webrequest invoke-restmethod aria2c",
    "build": "make cmake ninja gcc g++ clang clang++ cc c++ ld ar nm objdump gdb lldb valgrind "
    "meson bazel just task ctest pkg-config autoreconf configure clang-format clang-tidy",
    "rust": "cargo rustc rustup rustfmt clippy-driver cargo-clippy",
    "go": "go gofmt golangci-lint staticcheck gopls",
    "jvm": "java javac mvn mvnw gradle gradlew kotlin kotlinc sbt scala ant",
    "dotnet": "dotnet msbuild nuget csc",
    "ruby": "ruby bundle rake gem rspec rails rubocop irb",
    "php": "php composer phpunit artisan phpstan",
    "mobile": "xcodebuild swift swiftc xcrun adb flutter dart pod fastlane",
    "other_languages": "elixir mix ghc cabal stack lua luajit r rscript julia zig nim ocaml dune "
    "opam clojure lein erl",
    "containers": "docker docker-compose podman kubectl helm k9s minikube kind buildah nerdctl",
    "cloud": "aws gcloud az terraform tofu pulumi ansible ansible-playbook vercel netlify fly "
    "flyctl heroku firebase wrangler gsutil supabase doctl",
    "database": "sqlite3 psql mysql mariadb redis-cli mongosh mongo duckdb pg_dump pg_restore "
    "alembic prisma createdb dropdb",
    "packages": "apt apt-get dpkg brew yum dnf apk pacman snap flatpak nix nix-shell choco winget "
    "scoop port rpm apt-cache",
    "documents": "pandoc pdftotext convert magick identify ffmpeg ffprobe libreoffice soffice "
    "qpdf pdfinfo pdftoppm tesseract exiftool dot",
    "codex": "codex claude brimline opencode",
}
FAMILY = {word: family for family, words in _FAMILIES.items() for word in words.split()}
UNKNOWN = "unknown_command"
SCRIPT = "<script>"
ARGUMENT = "<arg>"
NOTHING = "<none>"

_SEARCHING = _words("cat fd find grep egrep fgrep head ls nl rg sed tail wc ag tree")
_DIRECT = _words("cat grep egrep fgrep head nl sed strings tail wc")
_SCANS = _words("find rg fd ag")
_READERS = _DIRECT | _SCANS
_PATTERN_FIRST = _words("grep egrep fgrep sed rg ag fd")
# Options whose next word is a value, by program.
_VALUED = {
    "head": "-n -c --lines --bytes",
    "tail": "-n -c --lines --bytes",
    "nl": "-b -s -w -v -i -l -n",
    "grep": "-e -f -m -A -B -C --include --exclude --exclude-dir --regexp --file --max-count",
    "rg": "-e -f -m -A -B -C -g -t -T -d -r -j -M --glob --type --type-not --max-depth --sort "
    "--regexp --file --max-count --replace --max-columns --iglob --context",
    "ag": "-A -B -C -m -G --ignore --depth",
    "fd": "-e -t -d -E -x -X --extension --type --max-depth --exclude --exec",
    "sed": "-e -f --expression --file",
    "strings": "-n -t -e",
}
_GIVES_PATTERN = {"-e", "-f", "--regexp", "--file", "--expression"}
# Words whose subcommands are well known; everything else after a program is an argument.
_CHILDREN = {
    "npm": "install ci run test start exec audit outdated ls list view pack publish init update "
    "uninstall version link config cache why prune",
    "pnpm": "install run test exec add remove dlx build dev lint list update why store audit",
    "yarn": "install run test add remove build dev lint dlx why workspaces",
    "pip": "install list show freeze uninstall download check index cache wheel config",
    "uv": "run pip sync add remove lock venv tool python init build tree export cache",
    "poetry": "install run add remove lock update show build shell env check",
    "cargo": "build check test run clippy fmt add tree update doc bench metadata clean fix install "
    "nextest publish",
    "go": "build test run mod vet fmt get list generate install env doc tool work version clean",
    "docker": "build run ps exec logs compose images pull push stop rm inspect start network "
    "volume rmi system buildx kill restart info version cp tag",
    "kubectl": "get describe logs apply delete exec rollout scale create config port-forward top",
    "make": "all test build clean install lint check format run dev setup help docs",
    "dotnet": "build test run restore publish add format clean tool new",
    "terraform": "init plan apply destroy validate fmt output state show",
    "bundle": "install exec update check",
    "gradle": "build test check clean assemble run tasks dependencies",
    "mvn": "test package install clean verify compile",
    "apt-get": "install update upgrade remove",
    "apt": "install update upgrade remove list show search",
    "brew": "install list update upgrade info search services",
    "systemctl": "status start stop restart enable disable daemon-reload list-units",
    "ruff": "check format rule clean",
    "alembic": "upgrade downgrade revision current history heads",
    "prisma": "generate migrate db studio validate",
    "codex": "exec resume login review apply mcp",
    "swift": "build test run package",
    "flutter": "build test run pub analyze doctor",
}
_SAME_CHILDREN = {"pip3": "pip", "gradlew": "gradle", "mvnw": "mvn", "docker-compose": "docker"}
_MODULES = _words(
    "pytest mypy ruff pip venv unittest json.tool http.server build compileall py_compile timeit "
    "cProfile black isort flake8 pylint coverage tox nox flask django uvicorn alembic zipfile "
    "tarfile site ensurepip doctest pdb ast dis trace twine pre_commit sphinx jupyter this "
    "tabnanny base64 webbrowser"
)
_TESTERS = {"pytest": "pytest", "mypy": "mypy", "ruff": "ruff", "pip": "python_packages"}
_RUNNERS = {"uv", "poetry", "pdm", "hatch", "bundle", "pnpm", "npm", "yarn", "pipenv", "rye"}

_GIT_VALUED = {
    "-C", "-c", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--super-prefix",
    "--config-env", "-R", "--repo", "-H", "--hostname",
}  # fmt: skip

# A word with its quotes, an operator, or a line's end. One pattern: `shlex` walks a command
# letter by letter, a hundred times slower, and refuses what is not balanced.
_TOKEN = re.compile(
    r"(?P<word>(?:[^\s'\"\\;&|<>()`]|\\.|'[^']*'|\"(?:[^\"\\]|\\.)*\")+)"
    r"|(?P<mark>\d?>>?&?\d?|<<<?-?|&&|\|\||[;&|()<>`])|(?P<end>\n)|(?P<odd>['\"\\])",
    re.DOTALL,
)
_UNQUOTE = re.compile(r"'([^']*)'|\"((?:[^\"\\]|\\.)*)\"|\\(.)", re.DOTALL)
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
_PROGRAM = re.compile(r"[a-z][a-z0-9_+.-]{0,31}$")
_VERSIONED = re.compile(r"^(python|pip)[\d.]+$")
_SAFE = re.compile(r"[A-Za-z0-9_.:-]{1,80}$")
_SECRET = re.compile(r"(?:sk-|gh[pousr]_|github_pat_|eyJ|AKIA|xox)\w|[A-Za-z0-9_-]{32,}")
_PREFIXES = _words(
    "env sudo command exec time nohup nice builtin stdbuf doas setsid xargs timeout ionice chrt "
    "taskset chroot gtimeout caffeinate"
)
# The options of programs that start others, where the value is a word of its own.
_STARTERS = {
    name: _words(options)
    for name, options in {
        "sudo": "-u -g -h -p -C -r -t -T -U -D -R -c -a --user --group --host --prompt "
        "--close-from --role --type --command-timeout --other-user --chdir --chroot "
        "--login-class --auth-type",
        "doas": "-u -C -a",
        "env": "-u -C -P --unset --chdir",
        "exec": "-a",
        "time": "-f -o --format --output",
        "nice": "-n --adjustment",
        "ionice": "-c -n --class --classdata",
        "stdbuf": "-i -o -e --input --output --error",
        "timeout": "-k -s --kill-after --signal",
        "gtimeout": "-k -s --kill-after --signal",
        "caffeinate": "-t -w",
        "xargs": "-n -P -I -L -s -a -d -E -J -R -S --max-args --max-procs --max-lines "
        "--max-chars --arg-file --delimiter",
        "npx": "-p -c --package --call --from --with --python --spec",
        "uv": "-p -C -F --with --with-editable --with-requirements --extra --group --only-group "
        "--no-group --python --project --directory --env-file --index --default-index --package "
        "--dir --filter",
    }.items()
}
# What comes before their program: how long, which processors, which folder.
_FIRST_A_VALUE = _words("timeout gtimeout chrt taskset chroot")
_KEYWORDS = _words("if while until then do else elif ! { time")
_DROPPED = _words("for case done fi esac function } select in ;;")
_PRELUDE = _words(
    "cd pushd popd set export source . umask shopt unset alias trap set-location [ [[ test"
)
_SHELLS = {"bash", "sh", "zsh", "dash", "fish", "pwsh", "powershell", "cmd"}


@dataclass(frozen=True)
class Step:
    """One program of a command line."""

    words: tuple[str, ...]
    piped: bool  # it reads what another wrote

    @property
    def name(self) -> str:
        """The program as it is known, in lower case."""
        return program(self.words[0])


@dataclass(frozen=True)
class Read:
    """A file that is read: by what, called what, and the hash of where it lies."""

    reader: str
    label: str
    path: str


@dataclass(frozen=True)
class Command:
    """A command line without its text."""

    root: str
    child: str
    family: str
    searching: bool = False
    git: tuple[tuple[str, str], ...] = ()  # (git or gh, operation) of every such step
    reads: tuple[Read, ...] = ()
    patched: tuple[tuple[str, str, str], ...] = ()  # label, path and extension by apply_patch
    same: str = ""  # the same for the same command line
    git_first: bool = field(default=False)  # whether the main step is the first of `git`


def described(command: str | Sequence[str], cwd: str = "") -> Command | None:
    """What a command line (or argv) is about; None when there is nothing in it."""
    text, found = _steps_of(command)
    if not found:
        return None
    main = next((step for step in found if step.name not in _PRELUDE), found[0])
    root, child, family = _named(main)
    git = tuple(pair for step in found if (pair := _interaction(step)))
    return Command(
        root=root,
        child=child,
        family=family,
        searching=main.name in _SEARCHING,
        git=git,
        reads=tuple(_reads(found, cwd)),
        patched=tuple(patched(text, cwd)) if "*** Begin Patch" in text else (),
        same=sha256(text.encode(errors="replace")).hexdigest()[:12],
        git_first=bool(git) and _interaction(main) == git[0],
    )


def _steps_of(command: str | Sequence[str]) -> tuple[str, list[Step]]:
    if isinstance(command, str):
        return command, steps(command)
    words = [word for word in command if isinstance(word, str)]
    if words and program(words[0]) in _SHELLS:
        script = _script(words)
        if script is not None:
            return script, steps(script)
    step = _step(words, piped=False) if words else None
    return " ".join(words), [step] if step else []


def _script(words: Sequence[str]) -> str | None:
    """The text that a shell was given on its command line."""
    for place, word in enumerate(words[1:-1], start=1):
        if word.lower() in ("-command", "/c", "-c") or re.fullmatch(r"-[a-z]*c", word):
            return words[place + 1]
    return None


def steps(text: str, depth: int = 0) -> list[Step]:
    """The programs of a command line in order, without the documents that are fed to them."""
    found: list[Step] = []
    words: list[str] = []
    piped = skip = False
    for token in _TOKEN.finditer(_without_documents(text[:_LONGEST])):
        word = token["word"]
        if word is not None:
            if skip:
                skip = False  # where output goes, or input comes from
            else:
                words.append(_unquoted(word))
            continue
        mark = token["mark"] or token["end"] or ""
        if mark[:1].isdigit() or mark[:1] in "<>":
            skip = not mark.endswith(("&1", "&2"))
            continue
        _close(found, words, piped, depth)
        piped, words, skip = mark == "|", [], False
        if len(found) >= _MOST_STEPS:
            return found
    _close(found, words, piped, depth)
    return found


def _close(found: list[Step], words: list[str], piped: bool, depth: int) -> None:
    step = _step(words, piped)
    if step is None:
        return
    script = _script(step.words) if step.name in _SHELLS and depth < 3 else None
    if script is None:
        found.append(step)
    else:
        found += steps(script, depth + 1)


def _without_documents(text: str) -> str:
    """The text without here-documents: they are data, not commands."""
    lines = text.split("\n")
    kept: list[str] = []
    end: str | None = None
    for line in lines:
        if end is not None:
            if line.strip() == end:
                end = None
            continue
        kept.append(line)
        opening = _HEREDOC.search(line)
        if opening:
            end = opening[2]
    return "\n".join(kept)


def _unquoted(word: str) -> str:
    if "'" not in word and '"' not in word and "\\" not in word:
        return word
    return _UNQUOTE.sub(
        lambda found: next(part for part in found.groups() if part is not None), word
    )


def _step(words: Sequence[str], piped: bool) -> Step | None:
    """The program a step really runs: without assignments, keywords and what merely starts it."""
    rest = list(words)
    while rest:
        name = program(rest[0])
        if name in _DROPPED or rest[0].startswith("#"):
            return None
        if _ASSIGNMENT.match(rest[0]) or name in _KEYWORDS:
            rest.pop(0)
        elif name in _PREFIXES and len(rest) > 1:
            rest = _started(name, rest[1:]) or [name]
        elif name in _RUNNERS and len(rest) > 2 and rest[1] in ("run", "exec") and name != "npm":
            rest = _after_options(rest[2:], _STARTERS["uv"]) or [name]
        elif name in ("npx", "uvx", "bunx", "pipx") and len(rest) > 1:
            rest = _after_options(rest[1:], _STARTERS["npx"]) or [name]
        else:
            break
    return Step(tuple(rest), piped) if rest and rest[0] else None


def _started(name: str, words: list[str]) -> list[str]:
    """What a program that merely starts another is given to start."""
    rest = _after_options(words, _STARTERS.get(name, frozenset()))
    return rest[1:] if name in _FIRST_A_VALUE else rest


def _after_options(words: list[str], valued: frozenset[str]) -> list[str]:
    """The words after the options and the values that stand apart from them."""
    rest = list(words)
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option == "--":
            break
        if _takes_next(option, valued) and rest:
            rest.pop(0)
    return rest


def _takes_next(option: str, valued: frozenset[str]) -> bool:
    if option.startswith("--") or option in valued:
        return option in valued
    # Short ones may be joined (`-nu me`); the value of one that takes it ends the word (`-ume`).
    for place, letter in enumerate(option[1:], start=1):
        if f"-{letter}" in valued:
            return place == len(option) - 1
    return False


@lru_cache(maxsize=4096)
def program(word: str) -> str:
    """A program's name: the base name in lower case, without `.exe`."""
    name = word.replace("\\", "/").rpartition("/")[2].lower()
    for ending in (".exe", ".cmd", ".bat"):
        name = name.removesuffix(ending)
    return _VERSIONED.sub(r"\g<1>3", name) if name[-1:].isdigit() else name


# ── names ─────────────────────────────────────────────────────────────────────────────────


def _named(step: Step) -> tuple[str, str, str]:
    """(root, child, family) of a step."""
    name = step.name
    family = FAMILY.get(name)
    if family is None:
        return _unknown(step.words[0], name)
    if family == "python":
        return _python(step)
    if name in ("git", "gh"):
        found = _interaction(step)
        return name, found[1] if found else NOTHING, family
    return name, _child(name, step.words[1:]), family


def _unknown(word: str, name: str) -> tuple[str, str, str]:
    if "/" in word or "\\" in word or name.endswith((".sh", ".py", ".js", ".ps1", ".rb", ".pl")):
        return SCRIPT, NOTHING, "script"
    # A bare word is the base name of a program; anything else could be text.
    root = name if _PROGRAM.match(name) and not _SECRET.search(name) else ARGUMENT
    return root, NOTHING, UNKNOWN


def _python(step: Step) -> tuple[str, str, str]:
    root = "python" if step.name.startswith("py") else step.name
    for place, word in enumerate(step.words[1:], start=1):
        if word == "-m" and place + 1 < len(step.words):
            module = step.words[place + 1]
            child = f"-m:{module}" if module in _MODULES else "-m:<module>"
            return root, child, _TESTERS.get(module, "python")
        if word == "-c":
            return root, "-c", "python"
        if word == "-":
            return root, "-", "python"
        if word in ("--version", "-V"):
            return root, "--version", "python"
        if not word.startswith("-"):
            return root, SCRIPT, "python"
    return root, NOTHING, "python"


def _child(name: str, words: Sequence[str]) -> str:
    if not words:
        return NOTHING
    known = _CHILDREN.get(_SAME_CHILDREN.get(name, name))
    word = next((word for word in words if not word.startswith("-")), None)
    if known and word in known.split():
        return str(word)
    return ARGUMENT


def _interaction(step: Step) -> tuple[str, str] | None:
    """(git or gh, its operation) of a step."""
    if step.name not in ("git", "gh"):
        return None
    words = iter(step.words[1:])
    for word in words:
        if word in _GIT_VALUED:
            next(words, None)
        elif not word.startswith("-"):
            known = GIT_KINDS if step.name == "git" else GH_KINDS
            # What is none of git's own words may be an alias of the user's.
            return step.name, word if word in known else "other"
    return step.name, "other"


# ── files ─────────────────────────────────────────────────────────────────────────────────


def hashed(path: str, cwd: str = "") -> tuple[str, str, str]:
    """(base name, hash, extension) of a path, which is seen from `cwd`."""
    plain = path.replace("\\", "/").removeprefix("file://")
    if not (plain.startswith(("/", "~")) or plain[1:2] == ":"):
        plain = posixpath.join(cwd.replace("\\", "/").removeprefix("file://"), plain)
    plain = posixpath.normpath(plain)
    base = posixpath.basename(plain)
    label = base if _SAFE.match(base) and not _SECRET.search(base) else "path"
    extension = posixpath.splitext(base)[1].lower()
    if not re.fullmatch(r"\.[a-z0-9_+-]{1,12}", extension):
        extension = NOTHING
    return label, sha256(plain.encode(errors="replace")).hexdigest()[:12], extension


def patched(text: str, cwd: str = "") -> Iterator[tuple[str, str, str]]:
    """(label, hash, extension) of each file that a patch names."""
    names = re.findall(r"^\*\*\* (?:Add|Update|Delete) File: (.{1,1000})$", text, re.MULTILINE)
    for name in dict.fromkeys(names[:1000]):
        yield hashed(name.strip(), cwd)


def _reads(found: Sequence[Step], cwd: str) -> Iterator[Read]:
    here = cwd
    seen: set[str] = set()
    for step in found:
        name = step.name
        if name == "cd" and len(step.words) > 1:
            here = posixpath.join(here, step.words[1])
        if name not in _READERS:
            continue
        kind = "search_path_scan" if name in _SCANS else "direct_file_read"
        for path in _operands(step):
            label, place, _ = hashed(path, here)
            if place not in seen and len(seen) < _MOST_PATHS:
                seen.add(place)
                yield Read(f"{kind}:{name}", label, place)


def _operands(step: Step) -> list[str]:
    """The paths a reader is given; the current folder where it takes that by itself."""
    name, words = step.name, list(step.words[1:])
    if name == "sed" and any(re.match(r"-[a-zE]*i|--in-place", word) for word in words):
        return []  # it writes
    if name == "find":
        paths = []
        for word in words:
            if word.startswith(("-", "(", "!", "\\(")):
                break
            paths.append(word)
        return _plain(paths) or ["."]
    paths, pattern = _after_pattern(name, words)
    if not paths and name in _SCANS and not step.piped and (pattern or "--files" in words):
        return ["."]
    return _plain(paths)


def _after_pattern(name: str, words: Sequence[str]) -> tuple[list[str], bool]:
    """(operands without the pattern, whether there was one)."""
    valued = set(_VALUED.get("grep" if name.endswith("grep") else name, "").split())
    given = "--files" in words
    operands, rest = [], iter(words)
    for word in rest:
        if word == "--":
            operands += list(rest)
        elif word.startswith("-") and word != "-":
            given = given or word in _GIVES_PATTERN
            if word in valued:
                next(rest, None)
        else:
            operands.append(word)
    if name in _PATTERN_FIRST and not given:
        return operands[1:], bool(operands)
    return operands, True


def _plain(paths: Sequence[str]) -> list[str]:
    # What the shell fills in cannot be known.
    return [path for path in paths if path not in ("", "-") and not re.search(r"[$`\n{]", path)]
