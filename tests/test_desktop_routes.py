"""Start at login by the page: the system's own record, through a real server."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.test_runtime import Server


def put(server: Server, value: Any) -> tuple[int, Any]:
    said = json.loads((server.folder / "server.json").read_text())
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/api/desktop",
        json.dumps(value).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {said['token']}"},
        method="PUT",
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_start_at_login_is_the_systems_record(tmp_path: Path) -> None:
    settings = tmp_path / "settings"
    entry = settings / "autostart" / "brimline.desktop"
    server = Server(tmp_path / "data", DISPLAY=":99", XDG_CONFIG_HOME=str(settings))
    try:
        assert server.get("/api/desktop")[1] == {"startAtLogin": False}
        assert put(server, {"startAtLogin": True}) == (200, {"startAtLogin": True})
        assert "Exec=" in entry.read_text()
        entry.unlink()  # the user's own hand
        assert server.get("/api/desktop")[1] == {"startAtLogin": False}
        put(server, {"startAtLogin": True})
        assert put(server, {"startAtLogin": False}) == (200, {"startAtLogin": False})
        assert not entry.exists()
        for wrong in ({"startAtLogin": "yes"}, {}, {"startAtLogin": None}):
            assert put(server, wrong)[0] == 422
        entry.parent.chmod(0o555)
        entry.parent.rmdir()
        entry.parent.write_text("a file where the folder should be")
        status, answer = put(server, {"startAtLogin": True})
        assert status == 409
        assert "could not be changed" in answer["error"]["message"]
    finally:
        server.end()


def test_without_a_desktop_there_is_no_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    server = Server(tmp_path / "data")
    try:
        assert server.get("/api/desktop")[1] == {"startAtLogin": None}
        assert put(server, {"startAtLogin": True})[0] == 409
    finally:
        server.end()
