"""What a command line is about, and that nothing else of it gets out."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from server.ingest import shell
from server.ingest.shell import described

REAL = sorted((Path(__file__).parent / "data" / "rollouts").glob("*.jsonl"))


@pytest.mark.parametrize(
    ("command", "root", "child", "family"),
    [
        pytest.param("pytest -q tests", "pytest", "<arg>", "pytest", id="a program"),
        pytest.param("FOO=1 pytest", "pytest", "<none>", "pytest", id="variables before it"),
        pytest.param("cd ui && npm run build", "npm", "run", "npm", id="a folder first"),
        pytest.param("cd /x", "cd", "<arg>", "shell", id="only a folder"),
        pytest.param("sudo -n apt-get install -y x", "apt-get", "install", "packages", id="sudo"),
        pytest.param("timeout 30 uv run pytest -q", "pytest", "<arg>", "pytest", id="runners"),
        pytest.param("sudo -u me python3 -m pytest", "python", "-m:pytest", "pytest", id="a user"),
        pytest.param("sudo -nu me -g you -- git log", "git", "log", "git", id="joined options"),
        pytest.param("sudo -ume --user=me --chdir /x git log", "git", "log", "git", id="with it"),
        pytest.param("sudo -h box -p ask -C 3 -r a -t b -T 5 -U c -D /x ls", "ls", "<none>", "list",
                     id="all of sudo's options"),
        pytest.param("sudo -u me", "sudo", "<none>", shell.UNKNOWN, id="nothing to start"),
        pytest.param("env -u HOME -C /x A=1 git log", "git", "log", "git", id="env"),
        pytest.param("nice -n 5 ionice -c 3 git log", "git", "log", "git", id="nice"),
        pytest.param("timeout -k 5 -s KILL 30s git log", "git", "log", "git", id="timeout"),
        pytest.param("timeout 5 sudo -u me git log", "git", "log", "git", id="one after another"),
        pytest.param("ls | xargs -0 -n 1 -P 4 -I {} git log {}", "ls", "<none>", "list", id="pipe"),
        pytest.param("xargs -n 1 -I{} git log {}", "git", "log", "git", id="xargs"),
        pytest.param("taskset -c 0-3 git log", "git", "log", "git", id="taskset"),
        pytest.param("exec -a acme git log", "git", "log", "git", id="exec under a name"),
        pytest.param("uv run --with acme --python 3.12 pytest", "pytest", "<none>", "pytest",
                     id="uv's values"),
        pytest.param("npx -p acme tsc", "tsc", "<none>", "javascript_tools", id="npx's values"),
        pytest.param("npx -y tsc --noEmit", "tsc", "<arg>", "javascript_tools", id="npx"),
        pytest.param("python3.11 -m pytest", "python", "-m:pytest", "pytest", id="a module"),
        pytest.param("python -m acme_secret", "python", "-m:<module>", "python", id="own module"),
        pytest.param("python tools/leak.py x", "python", "<script>", "python", id="a script"),
        pytest.param("python - <<'EOF'\ngit push\nEOF", "python", "-", "python", id="a document"),
        pytest.param("./deploy-acme.sh prod", "<script>", "<none>", "script", id="own script"),
        pytest.param("frobnicate --now", "frobnicate", "<none>", "unknown_command", id="unknown"),
        pytest.param("git -C /x --no-pager log", "git", "log", "git", id="git's own options"),
        pytest.param("git acme-alias", "git", "other", "git", id="an alias may tell a name"),
        pytest.param("gh pr view 12", "gh", "pr", "git", id="GitHub"),
        pytest.param("for f in *; do cat $f; done", "cat", "<arg>", "read", id="a loop"),
        pytest.param("if [ -f x ]; then cat x; fi", "cat", "<arg>", "read", id="a condition"),
        pytest.param("(rg x | head)", "rg", "<arg>", "search", id="brackets and a pipe"),
        pytest.param("bash -lc 'ls -la'", "ls", "<arg>", "list", id="a shell in a shell"),
        pytest.param(["bash", "-lc", "ls; pwd"], "ls", "<none>", "list", id="argv"),
        pytest.param(["git", "status"], "git", "status", "git", id="argv without a shell"),
        pytest.param(
            ["powershell.exe", "-NoProfile", "-Command", "Get-Content a.txt"],
            "get-content", "<arg>", "read", id="PowerShell",
        ),
        pytest.param(r"C:\Tools\git.exe status", "<arg>", "<none>", shell.UNKNOWN, id="unquoted"),
        pytest.param('"C:\\Tools\\rg.exe" x', "rg", "<arg>", "search", id="a program by its path"),
        pytest.param('echo "not closed', "echo", "<arg>", "shell", id="an open quote"),
    ],
)  # fmt: skip
def test_programs(command: str | list[str], root: str, child: str, family: str) -> None:
    found = described(command)
    assert found is not None
    assert (found.root, found.child, found.family) == (root, child, family)


@pytest.mark.parametrize("command", ["", "   ", "\n", "# only words", [], "FOO=1", "&& ;", "\0"])
def test_nothing_is_no_command(command: str | list[str]) -> None:
    found = described(command)
    assert found is None or found.root in ("<arg>",)


def test_git_steps_of_one_line() -> None:
    found = described("ls && git add -A && git commit -m 'git push' ; gh pr create --title x")
    assert found is not None
    assert found.git == (("git", "add"), ("git", "commit"), ("gh", "pr"))
    assert not found.git_first
    first = described("git status --short")
    assert first is not None
    assert first.git_first


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        pytest.param("cat a.py b.py", [("cat", "a.py"), ("cat", "b.py")], id="several"),
        pytest.param("sed -n 1,20p src/a.py", [("sed", "a.py")], id="the script is no path"),
        pytest.param("sed -i s/a/b/ a.py", [], id="sed that writes"),
        pytest.param("head -n 5 a.py", [("head", "a.py")], id="a value is no path"),
        pytest.param("grep -e x -e y a.py", [("grep", "a.py")], id="patterns by option"),
        pytest.param("grep -rn secret .", [("grep", ".")], id="the folder itself"),
        pytest.param("rg -n 'x|y' src", [("rg", "src")], id="a folder"),
        pytest.param("rg --files", [("rg", ".")], id="where it stands"),
        pytest.param("cat a.py | rg x", [("cat", "a.py")], id="a pipe is no file"),
        pytest.param("find src -name '*.py'", [("find", "src")], id="find"),
        pytest.param("cat a.py > b.py", [("cat", "a.py")], id="what is written"),
        pytest.param("cat $HOME/x a.py", [("cat", "a.py")], id="what the shell fills in"),
        pytest.param("cat a.py a.py", [("cat", "a.py")], id="once"),
        pytest.param("cat " + "x" * 40 + ".py", [("cat", "path")], id="like a secret"),
    ],
)
def test_reads(command: str, expected: list[tuple[str, str]]) -> None:
    found = described(command, "")
    assert found is not None
    assert [(read.reader.split(":")[1], read.label) for read in found.reads] == expected


def test_a_file_has_one_hash_from_wherever_it_is_seen() -> None:
    one = described("cat src/a.py", "/home/me/code")
    two = described("cd src && cat ./a.py", "/home/me/code")
    assert one is not None
    assert two is not None
    whole = shell.hashed("/home/me/code/src/a.py")
    assert one.reads[0].path == two.reads[0].path == whole[1]
    assert whole[0] == "a.py"
    assert whole[2] == ".py"
    assert len(whole[1]) == 12


SECRETS = ("hunter2", "sk-live-abcdef123456", "feature/acme", "fix the acme bug", "acme.internal")


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "form",
    [
        "git checkout '{0}'", "git commit -m '{0}'", "curl -H 'X: {0}' https://{0}/x",
        "echo '{0}'", "grep '{0}' a.py", "export TOKEN='{0}' && ls", "python -c '{0}'",
        "psql -c '{0}'", "gh pr create --title '{0}'", "ssh '{0}'", "npm run '{0}'",
        "sudo -u '{0}' ls", "env -u '{0}' ls", "xargs -I '{0}' ls", "nice -n '{0}' ls",
        "cat <<EOF\n{0}\nEOF", "docker run '{0}'", "'{0}' --version",
    ],
)  # fmt: skip
def test_no_argument_gets_out(form: str, secret: str) -> None:
    found = described(form.format(secret))
    told = repr(found and (found.root, found.child, found.family, found.git, found.reads))
    if form.startswith("'"):  # a program's own base name is no argument
        assert "/" not in told.replace("'<script>'", "")
        assert " " not in (found.root if found else "")
        return
    assert secret not in told


def commands_of(path: Path) -> list[str]:
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        payload = json.loads(line).get("payload") or {}
        if payload.get("type") == "function_call":
            given = json.loads(payload["arguments"])
            if "cmd" in given:
                found.append(given["cmd"])
    return found


# As sessions hold them: long lines, pipes, documents, tools of many languages.
USUAL = (
    "rg -n \"def main\" -S src | head -50", "sed -n '1,200p' src/app.py", "ls -la && git status",
    "git diff --stat HEAD~1", "nl -ba src/app.py | sed -n '10,40p'", "npm test -- --run",
    "cargo test --workspace 2>&1 | tail -30", "go vet ./...", "make -j4 test", "pwd",
    "find . -maxdepth 2 -type f | sort | head", "jq '.a' x.json", "docker compose up -d",
    "kubectl get pods -n prod", "sqlite3 data.db '.tables'", "which node && node --version",
    "mkdir -p build && cp a b", "uv run ruff check .", "poetry run mypy src", "pip install -e .",
    "curl -sS http://127.0.0.1:8000/health", "ps aux | grep server", "tail -f log.txt",
    "awk '{print $1}' x", "chmod +x run.sh && ./run.sh", "python manage.py migrate", "env | sort",
    "bundle exec rspec", "mvn -q test", "terraform plan", "tree -L 2", "wc -l src/*.py", "date",
    "apply_patch <<'EOF'\n*** Begin Patch\n*** End Patch\nEOF", "pnpm -r build", "test -f x",
    "npx playwright test", "sleep 2; echo done", "perl -pi -e 's/a/b/' x", "systemctl status x",
)  # fmt: skip


def test_families_cover_the_samples() -> None:
    real = [command for path in REAL for command in commands_of(path)]
    assert len(real) >= 7
    for sample in (real, USUAL):
        known = [found for command in sample if (found := described(command))]
        named = [found for found in known if found.family != shell.UNKNOWN]
        assert len(named) >= 0.9 * len(sample)


def test_hostile_commands_are_quick() -> None:
    began = time.process_time()
    for text in ("'" * 100_000, "a;" * 100_000, '"\\' * 50_000, "$(" * 50_000, "<<A\n" * 5000):
        described(text)
    described("bash -c " * 50 + "ls")
    assert time.process_time() - began < 1
