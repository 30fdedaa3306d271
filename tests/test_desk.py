"""Small favours of the desktop: waking up is noticed, and a report holds no secret."""

from __future__ import annotations

import threading
from datetime import UTC
from typing import Any

import pytest

from desktop import desk
from desktop.display import View
from server.config import Config
from tests.rig import wait_until
from tests.test_display import account, snapshot, week, window

tray = pytest.importorskip("desktop.tray", exc_type=ImportError)


@pytest.mark.parametrize(
    ("steps", "slept"),
    [
        pytest.param([(0, 0), (0.5, 0.5), (1.0, 1.0)], False, id="awake"),
        pytest.param([(0, 0), (3600, 0.6)], True, id="the wall's clock went on alone"),
        pytest.param([(0, 0), (3600, 3600)], True, id="Windows: both went on, the look is late"),
        pytest.param([(0, 0), (12, 12)], False, id="a slow answer is no sleep"),
        pytest.param([(3600, 0), (0, 0.5)], False, id="the clock was put back"),
        pytest.param([(0, 0)], False, id="the first look knows nothing"),
    ],
)
def test_waking_up_is_noticed(steps: list[tuple[float, float]], slept: bool) -> None:
    sleep = tray.Sleep()
    assert [sleep.over(*step) for step in steps][-1] is slept


def test_a_report_names_parts_and_states_but_nobody(config: Config) -> None:
    shot: dict[str, Any] = snapshot(
        account("me@example.com", plan="plus", windows=[window(71), week(48)]),
        pool={"windows": [], "state": "ok", "accounts": {"total": 1}},
    )
    said = desk.diagnostics(config, View(shot, trouble="It does not answer", zone=UTC))
    assert "Account 1: plus, active, 5 h 71%, week 48%" in said
    assert "Server: not running" in said
    assert "Trouble: It does not answer" in said
    assert "example.com" not in said


def test_a_report_before_anything_is_known(config: Config) -> None:
    assert "Pool: unknown; accounts unknown" in desk.diagnostics(config, View())


def test_a_refresh_under_way_is_not_doubled(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten clicks would ask the provider ten times for the same."""
    asked: list[str] = []
    answered = threading.Event()

    class Slow:
        address = None

        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def post(self, path: str) -> None:
            asked.append(path)
            assert answered.wait(30)

        def close(self) -> None:
            pass

    config.data_dir.mkdir(parents=True)
    monkeypatch.setattr(tray, "Client", Slow)
    found = tray.Tray(config, 30.0)
    found._client = Slow()
    found.view = View(snapshot(account("me@example.com")))
    for _ in range(3):
        found._refresh_now()
    wait_until(lambda: asked, "the first", 30)
    answered.set()
    wait_until(lambda: not found._refreshing.locked(), "its end", 30)
    assert len(asked) == 1
    found._refresh_now()
    wait_until(lambda: len(asked) == 2, "another, once the first is done", 30)
    wait_until(lambda: not found._refreshing.locked(), "its end", 30)
