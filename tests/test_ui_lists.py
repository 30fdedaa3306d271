"""The lists of accounts in Chromium: what they say of an unknown allowance, and of long names."""

from __future__ import annotations

from contextlib import suppress

import pytest
from playwright.sync_api import Browser, expect

from server.errors import AppError
from server.store import db
from tests import test_ui
from tests.serving import Served
from tests.test_ui import watching
from tests.upstream import Provider, refusal

pytestmark = test_ui.pytestmark
chromium, provider, served = test_ui.chromium, test_ui.provider, test_ui.served


@pytest.mark.parametrize("width", [900, 1400])
def test_a_refused_question_and_a_long_name_are_whole(
    served: Served, provider: Provider, chromium: Browser, width: int
) -> None:
    """Both lists say why an allowance is unknown, and a long e-mail widens no page."""
    ended, refused = "a" * 60 + ".of.a.long.company", "b" * 60 + ".of.another"
    pool = served.services.pool
    provider.token_answer = refusal(401, "refresh_token_invalidated")
    provider.usage_answer = refusal(401, "token_expired")
    with suppress(AppError):
        pool.probe(served.account(ended))
    provider.usage_answer = refusal(500, "server_error")
    account = served.account(refused)
    with suppress(AppError):
        pool.probe(account)
    said = pool.summary(account, db.now_ms())["usageError"]
    assert said
    with watching(chromium, width=width) as watched:
        for path in ("/", "/accounts"):
            page = watched.open(f"{served.url}{path}")
            expect(page.get_by_text(said, exact=True).first).to_be_visible()
            expect(page.get_by_text(ended).first).to_be_visible()
            watched.check()
            wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wider <= 0, f"{path} scrolls sideways"
