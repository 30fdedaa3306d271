"""Clients' files on disk: backed up, changed in one step, and brought back byte for byte."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from server import clientfiles
from server.clientfiles import Change, Clients, FileProblem, places, target
from server.clients import Target, Wish
from server.config import Config
from server.errors import AppError, Conflict, NotFound

HERE = Target("http://127.0.0.1:2455", models=(("gpt-5.5", "GPT-5.5"),))


class User:
    """Somebody with a home folder, whose clients we configure."""

    def __init__(self, folder: Path) -> None:
        self.home = folder
        self.data = folder / "data"
        self.where = places(folder / ".codex", {"HOME": str(folder)})
        self.clients = Clients(self.data, self.where)

    def write(self, client: str, content: bytes, mode: int = 0o644) -> Path:
        path = self.where[client]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
        return path

    def connect(self, client: str, wish: Wish | None = None) -> Change:
        change = self.clients.connect(client, HERE, wish)
        self.clients.apply(change, connecting=True)
        return change

    def disconnect(self, client: str) -> Change:
        change = self.clients.disconnect(client)
        self.clients.apply(change, connecting=False)
        return change

    def state(self, client: str) -> str:
        return self.clients.look(client, HERE).state


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


CONTENTS = [
    pytest.param("codex", b'model = "x"\n', id="a plain file"),
    pytest.param("codex", b"", id="an empty file"),
    pytest.param("codex", b'model = "x"\r\n[a]\r\nb = 1\r\n', id="Windows lines"),
    pytest.param("codex", b'\xef\xbb\xbfmodel = "x"', id="a byte order mark, no final newline"),
    pytest.param("codex", b'a = { b = "c" }\n[otel]\nexporter = "none"\n', id="inline, [otel]"),
    pytest.param("telemetry", b'model = "x"', id="telemetry, no final newline"),
    pytest.param("telemetry", b"\xef\xbb\xbf[a]\r\nb = 1", id="telemetry, Windows, a mark"),
    pytest.param("opencode", b'{}', id="an empty object"),
    pytest.param("opencode", b'{\n  // mine\n  "model": "a/b",\n}\n', id="comments"),
    pytest.param("opencode", b' \n', id="blanks alone"),
    pytest.param("openclaw", b"{ models: { providers: {} } } // end", id="JSON5"),
]  # fmt: skip


@pytest.mark.parametrize(("client", "content"), CONTENTS)
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664])
def test_it_comes_back_byte_for_byte(user: User, client: str, content: bytes, mode: int) -> None:
    path = user.write(client, content, mode)
    user.connect(client, Wish(replace=True))
    assert user.state(client) == "connected"
    assert path.read_bytes() != content
    assert stat.S_IMODE(path.stat().st_mode) == mode
    kept = [p for p in (user.data / "clients").iterdir() if p.read_bytes() == content]
    assert [stat.S_IMODE(p.stat().st_mode) for p in kept] == [0o600]
    assert "byte for byte" in user.disconnect(client).text
    assert path.read_bytes() == content
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # nothing is left beside it


@pytest.mark.parametrize("client", ["codex", "telemetry", "opencode", "openclaw"])
def test_a_file_that_came_with_us_goes_again(user: User, client: str) -> None:
    assert user.state(client) == "missing"
    user.connect(client)
    path = user.where[client]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert user.state(client) == "connected"
    assert "came with Brimline" in user.disconnect(client).text
    assert not path.exists()
    assert user.disconnect(client).changes is False


@pytest.mark.parametrize("first", [("codex", "telemetry"), ("telemetry", "codex")])
def test_two_in_one_file_that_came_with_us(user: User, first: tuple[str, str]) -> None:
    for client in ("codex", "telemetry"):
        user.connect(client)
    user.disconnect(first[0])
    assert user.state(first[1]) == "connected"
    user.disconnect(first[1])
    assert not user.where["codex"].exists()


def test_a_file_of_ours_that_the_user_wrote_in_stays(user: User) -> None:
    user.connect("codex")
    path = user.where["codex"]
    path.write_text(path.read_text() + 'model = "x"\n')
    assert "all else stays" in user.disconnect("codex").text
    assert path.read_text() == 'model = "x"\n'


def test_what_changed_meanwhile_stays(user: User) -> None:
    path = user.write("opencode", b'{\n  "model": "a/b"\n}\n')
    user.connect("opencode", Wish(replace=True))
    path.write_text(path.read_text().replace("{\n", '{\n  "theme": "dark",\n', 1))
    change = user.disconnect("opencode")
    assert "all else stays" in change.text
    assert path.read_text() == '{\n  "theme": "dark",\n  "model": "a/b"\n}\n'


def test_without_the_data_folder_it_is_undone_all_the_same(user: User) -> None:
    path = user.write("codex", b'model_provider = "x"\n')
    user.connect("codex", Wish(replace=True))
    stranger = Clients(user.data / "another", user.where)
    stranger.apply(stranger.disconnect("codex"), connecting=False)
    assert path.read_bytes() == b'model_provider = "x"\n'


def test_a_lost_backup_loses_nothing(user: User) -> None:
    path = user.write("codex", b'model = "x"\n')
    user.connect("codex")
    for backup in (user.data / "clients").glob("*.toml"):
        backup.unlink()
    user.disconnect("codex")
    assert path.read_bytes() == b'model = "x"\n'


def test_another_address_replaces_ours_and_the_way_back_stays(user: User) -> None:
    path = user.write("codex", b'model = "x"\n')
    user.connect("codex")
    moved = user.clients.connect("codex", Target("http://127.0.0.1:9999"))
    user.clients.apply(moved, connecting=True)
    assert "9999" in path.read_text() and "2455" not in path.read_text()
    user.disconnect("codex")
    assert path.read_bytes() == b'model = "x"\n'


def test_a_symlink_stays_one(user: User) -> None:
    real = user.home / "dotfiles" / "codex.toml"
    real.parent.mkdir()
    real.write_bytes(b"a = 1\n")
    link = user.where["codex"]
    link.parent.mkdir()
    link.symlink_to(os.path.relpath(real, link.parent))
    user.connect("codex")
    assert link.is_symlink() and b"openai_base_url" in real.read_bytes()
    user.disconnect("codex")
    assert link.is_symlink() and real.read_bytes() == b"a = 1\n"


def _folder(path: Path) -> None:
    path.mkdir(parents=True)


def _pipe(path: Path) -> None:
    path.parent.mkdir(parents=True)
    os.mkfifo(path)


def _latin(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b'model = "\xe4"\n')


def _huge(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"#" * (clientfiles.LARGEST + 1))


def _read_only(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"a = 1\n")
    path.chmod(0o444)


def _broken(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"[a\n")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_folder, "not an ordinary file"),
        (_pipe, "not an ordinary file"),
        (_latin, "not UTF-8"),
        (_huge, "larger than 1 MB"),
        (_read_only, "read-only"),
        (_broken, "not valid TOML"),
    ],
)
def test_what_cannot_be_used_is_left_alone(user: User, make: object, said: str) -> None:
    path = user.where["codex"]
    make(path)  # type: ignore[operator]
    before = path.stat()
    with pytest.raises(AppError, match=said):
        user.connect("codex")
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    look = user.clients.look("codex", HERE)
    assert look.text and look.state in ("unusable", "broken", "absent")


def test_a_file_that_changed_since_it_was_seen_is_left_alone(user: User) -> None:
    path = user.write("codex", b"a = 1\n")
    change = user.clients.connect("codex", HERE)
    path.write_bytes(b"a = 2\n")
    with pytest.raises(Conflict, match="changed"):
        user.clients.apply(change, connecting=True)
    with pytest.raises(Conflict, match="since you saw"):
        user.clients.apply(user.clients.connect("codex", HERE), connecting=True, seen=change.seen)
    assert path.read_bytes() == b"a = 2\n"


def test_without_room_for_a_backup_nothing_is_changed(user: User) -> None:
    path = user.write("codex", b"a = 1\n")
    user.data.write_bytes(b"a file where the folder should be")
    with pytest.raises(FileProblem, match="Nothing was changed"):
        user.connect("codex")
    assert path.read_bytes() == b"a = 1\n"


def test_the_first_backup_outlives_many(user: User) -> None:
    path = user.write("codex", b"a = 1\n")
    for port in range(9000, 9030):
        change = user.clients.connect("codex", Target(f"http://127.0.0.1:{port}"))
        user.clients.apply(change, connecting=True)
    assert len(list((user.data / "clients").iterdir())) < 20
    user.disconnect("codex")
    assert path.read_bytes() == b"a = 1\n"


def test_an_unknown_client_is_not_found(user: User) -> None:
    with pytest.raises(NotFound, match="codex, telemetry, opencode, openclaw"):
        user.clients.look("emacs", HERE)


def test_places_follow_the_clients_own_variables(tmp_path: Path) -> None:
    named = {"HOME": "/h", "OPENCODE_CONFIG": "/x/o.json", "OPENCLAW_STATE_DIR": "/claw"}
    found = places(Path("/c"), named)
    assert [str(found[name]) for name in ("codex", "opencode", "openclaw")] == [
        "/c/config.toml", "/x/o.json", "/claw/openclaw.json",
    ]  # fmt: skip
    folder = tmp_path / "opencode"
    folder.mkdir()
    own = {"HOME": "/h", "XDG_CONFIG_HOME": str(tmp_path)}
    assert places(Path("/c"), own)["opencode"].name == "opencode.json"
    (folder / "opencode.jsonc").touch()
    assert places(Path("/c"), own)["opencode"].name == "opencode.jsonc"


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("127.0.0.1", "http://127.0.0.1:2455"),
        ("::1", "http://[::1]:2455"),
        ("0.0.0.0", "http://127.0.0.1:2455"),
        ("::", "http://[::1]:2455"),
        ("192.168.0.2", "http://192.168.0.2:2455"),
    ],
)
def test_clients_of_this_machine_reach_it(host: str, base: str) -> None:
    found = target(Config(host=host, admin_token="t" * 32), False, [])
    assert target(Config(host=host), False, []).token == ("" if found.token else None)
    assert (found.base, bool(found.token)) == (base, host not in ("127.0.0.1", "::1"))
