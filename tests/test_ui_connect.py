"""Connecting a client in the pages: the change is shown, written, and taken back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from server.config import Config
from server.store import settings
from tests import test_ui
from tests.serving import Served
from tests.test_ui import Watched, chromium, provider, served, watched, watching

__all__ = ["chromium", "provider", "served", "watched"]
pytestmark = test_ui.pytestmark

MINE = 'model = "gpt-5.5"\n'


@pytest.fixture
def file(config: Config) -> Iterator[Path]:
    path = config.codex_home / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(MINE)
    yield path


def test_codex_is_connected_and_disconnected(file: Path, served: Served, watched: Watched) -> None:
    page = watched.open(f"{served.url}/settings#connect", "Settings")
    row = page.get_by_role("group", name="Codex", exact=True)
    expect(row).to_contain_text("Not connected")
    row.get_by_role("button", name="Connect Codex").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("[data-sign='+']")).to_contain_text(f'"{served.url}/v1"')
    watched.check()
    assert file.read_text() == MINE
    dialog.get_by_role("button", name="Write this change").click()
    expect(dialog.get_by_role("status")).to_have_text("Codex now goes to Brimline.")
    expect(dialog).to_contain_text("A backup is at")
    dialog.get_by_role("button", name="Close").last.click()
    expect(row).to_contain_text("Connected")
    assert file.read_text() != MINE
    row.get_by_role("button", name="Disconnect Codex").click()
    dialog.get_by_role("button", name="Write this change").click()
    expect(dialog).to_contain_text("everything else is as it was")
    dialog.get_by_role("button", name="Close").last.click()
    expect(row).to_contain_text("Not connected")
    assert file.read_text() == MINE
    watched.check()


def test_what_leads_elsewhere_is_asked_about(file: Path, served: Served, watched: Watched) -> None:
    watched.refused.add("connect/codex/preview")
    file.write_text('model_provider = "azure"\n[model_providers.azure]\nname = "Azure"\n')
    page = watched.open(f"{served.url}/settings", "Settings")
    row = page.get_by_role("group", name="Codex", exact=True)
    expect(row).to_contain_text("Your own lines point it elsewhere")
    row.get_by_role("button", name="Connect Codex").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("alert")).to_contain_text("leads elsewhere")
    dialog.get_by_role("button", name="Put it aside and look again").click()
    expect(dialog.locator("[data-sign='-']")).to_contain_text('model_provider = "azure"')
    dialog.get_by_role("button", name="Write this change").click()
    expect(dialog.get_by_role("status")).to_be_visible()
    assert "# Brimline put this aside: model_provider" in file.read_text()
    watched.check()


def test_a_key_that_is_asked_for_is_named(file: Path, served: Served, watched: Watched) -> None:
    settings.change({"apiKeyAuthEnabled": True})
    page = watched.open(f"{served.url}/settings", "Settings")
    expect(page.locator("#connect")).to_contain_text("BRIMLINE_API_KEY")
    expect(page.locator("#connect")).not_to_contain_text("put this line at the top")
    page.get_by_text("Other clients, by hand").click()
    expect(page.locator(".by-hand")).to_contain_text('env_key = "BRIMLINE_API_KEY"')
    expect(page.locator(".by-hand")).to_contain_text("{env:BRIMLINE_API_KEY}")
    watched.check()


def test_the_empty_request_log_offers_it(file: Path, served: Served, watched: Watched) -> None:
    page = watched.open(f"{served.url}/requests", "Requests")
    page.get_by_role("button", name="Connect Codex").click()
    page.get_by_role("button", name="Write this change").click()
    expect(page.get_by_role("dialog")).to_contain_text("now goes to Brimline")
    assert served.url in file.read_text()
    watched.check()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [880, 1400])
def test_every_state_is_sound(
    chromium: Browser, file: Path, served: Served, theme: str, width: int
) -> None:
    home = Path(os.environ["HOME"])
    file.write_text(f'profile = "x"\nchatgpt_base_url = "{served.url}/backend-api"\n')
    broken = home / ".openclaw" / "openclaw.json"
    broken.parent.mkdir(parents=True)
    broken.write_text("{")
    with watching(chromium, theme, width) as watched:
        page = watched.open(f"{served.url}/settings", "Settings")
        expect(page.locator("#connect")).to_contain_text("sends its requests past it")
        expect(page.get_by_role("group", name="OpenClaw")).to_contain_text("mend it first")
        page.get_by_text("Other clients, by hand").click()
        watched.check()
