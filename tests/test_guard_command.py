"""`brimline guard`: whether enough is left, as an exit code."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from desktop import cli
from desktop.commands import figures
from tests import upstream

ROOT = Path(__file__).resolve().parent.parent


def window(left: float | None, name: str = "5 h", **more: Any) -> dict[str, Any]:
    return {"key": name, "name": name, "remainingPercent": left, "stale": False, **more}


@pytest.mark.parametrize(
    ("of", "code"),
    [
        pytest.param({"state": "ok", "windows": [window(50), window(30, "week")]}, 0, id="enough"),
        pytest.param({"state": "ok", "windows": [window(50), window(10, "week")]}, 0, id="just"),
        pytest.param(
            {"state": "ok", "windows": [window(50), window(9.9, "week")]}, 1, id="every window"
        ),
        pytest.param({"state": "unknown", "windows": []}, 69, id="nothing is known"),
        pytest.param(
            {"state": "ok", "windows": [window(50), window(None, "week")]},
            69,
            id="an unknown window might be empty",
        ),
        pytest.param({"state": "stale", "windows": [window(50, stale=True)]}, 69, id="old figures"),
        pytest.param({"state": "paused", "windows": [window(50)]}, 1, id="all are paused"),
        pytest.param({"status": "paused", "windows": [window(50)]}, 1, id="a paused account"),
        pytest.param({"state": "empty", "windows": []}, 1, id="no account serves nobody"),
        pytest.param(
            {"status": "active", "windows": [window(50), window(1, key="codex_spark:primary")]},
            0,
            id="a limit on one model is not the account's",
        ),
    ],
)
def test_verdicts(of: dict[str, Any], code: int) -> None:
    verdict = figures.guarded(of, 10)
    assert verdict["exitCode"] == code
    assert verdict["ok"] is (code == 0)


def test_credits_are_told_but_are_no_allowance() -> None:
    paid = {"state": "low", "windows": [window(0, longName="5-hour")], "onCredits": True}
    verdict = figures.guarded(paid, 10)
    assert verdict["exitCode"] == 1
    assert verdict["message"] == (
        "0% of the 5-hour allowance is left; asked for 10%. Work goes on, served by credits."
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A data folder with a running server and one account with 71 and 48% left."""
    data = tmp_path / "data"
    with upstream.Provider() as provider:
        now = int(time.time())
        windows = {
            "primary_window": {
                "used_percent": 29,
                "limit_window_seconds": 18000,
                "reset_at": now + 7500,
            },
            "secondary_window": {
                "used_percent": 52,
                "limit_window_seconds": 604800,
                "reset_at": now + 300000,
            },
        }
        provider.usage = {"plan_type": "plus", "rate_limit": windows}
        monkeypatch.setenv("BRIMLINE_UPSTREAM_BASE_URL", provider.url)
        monkeypatch.setenv("BRIMLINE_AUTH_BASE_URL", provider.auth_url)
        sign_in = tmp_path / "work.json"
        sign_in.write_bytes(upstream.auth_json("work"))
        assert cli.main(["accounts", "import", str(sign_in), "--data-dir", str(data)]) == 0
        words = [sys.executable, "-m", "desktop", "serve", "--port", "0", "--data-dir", str(data)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT)
        assert process.stdout is not None
        with process.stdout:
            assert process.stdout.readline().startswith(b"Brimline is ready")
            yield str(data)
            process.terminate()
        assert process.wait(60) == 0


def test_a_script_asks(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    def ask(*words: str) -> int:
        return cli.main(["guard", *words, "--data-dir", folder])

    capsys.readouterr()
    assert ask("--min-remaining", "10") == 0
    assert capsys.readouterr().out.startswith("48% of the weekly allowance is left")
    assert ask("--min-remaining", "60") == 1
    assert ask("--min-remaining", "10", "--account", "work") == 0
    capsys.readouterr()
    assert ask("--min-remaining", "50", "--json") == 1
    said = json.loads(capsys.readouterr().out)
    assert said["remaining"] == {"5 h": 71.0, "week": 48.0}
    assert ask("--min-remaining", "10", "--account", "") == 64, "an unset variable of a script"
    capsys.readouterr()
    assert ask("--min-remaining", "10", "--account", "nobody") == 64
    assert "There is no account “nobody”" in capsys.readouterr().err


def test_without_a_server_nothing_is_known(tmp_path: Path) -> None:
    assert cli.main(["guard", "--min-remaining", "10", "--data-dir", str(tmp_path)]) == 69


@pytest.mark.parametrize(
    "words",
    [
        pytest.param([], id="how much is missing"),
        pytest.param(["--min-remaining", "plenty"], id="not a number"),
        pytest.param(["--min-remaining", "110"], id="more than all"),
        pytest.param(["--min-remaining", "nan"], id="no number at all"),
    ],
)
def test_a_slip_of_the_pen_is_no_verdict(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["guard", *words])
    assert end.value.code == 64
    said = capsys.readouterr().err
    assert "--min-remaining" in said
    assert not words or "give a percentage from 0 to 100" in said
