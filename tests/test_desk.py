"""Small favours of the desktop: waking up is noticed, and a report holds no secret."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest

from desktop import desk
from desktop.display import View
from server.config import Config
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
