"""The pool: what the proxy asks, what the user does, what survives a restart."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from server.accounts import history
from server.accounts.allowance import DAY, HOUR, MINUTE, Credits, Usage, Window
from server.accounts.pool import Pool, RefreshFailed, SignInNeeded, Unopened, UsageFailed
from server.config import Config
from server.errors import BadRequest, Conflict, NotFound
from server.store import db, settings, vault
from tests.auth_server import Provider, Reply, access_token, auth_json, provider, usage


class Clock:
    """The wall clock of a test."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(db, "now_ms", found)
    return found


@pytest.fixture
def upstream() -> Iterator[Provider]:
    with provider() as fake:
        yield fake


@pytest.fixture
def here(config: Config, upstream: Provider) -> Config:
    base = f"{upstream.url}/backend-api"
    return replace(config, auth_base_url=upstream.url, upstream_base_url=base)


@pytest.fixture
def pool(here: Config, database: None, clock: Clock) -> Iterator[Pool]:
    vault.forget()
    found = Pool(here)
    found.load()
    yield found
    quiet(found)
    vault.forget()


def until(true: Callable[[], Any], seconds: float = 30.0) -> None:
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, "it did not come about"
        time.sleep(0.005)


def quiet(pool: Pool) -> None:
    """Wait until no question to the provider is under way."""
    until(lambda: all(live.asking is None for live in pool._roster.live.values()))


def restarted(pool: Pool, config: Config) -> Pool:
    quiet(pool)
    pool.flush()
    found = Pool(config)
    found.load()
    return found


def add(pool: Pool, name: str = "ada", **who: Any) -> str:
    values = {"email": f"{name}@example.com", "user": name, "account": f"ws-{name}", **who}
    return pool.add(auth_json(access_token(name), f"refresh-{name}", **values)).id


def state(pool: Pool, account: str) -> str:
    return next(c.status for c in pool.candidates() if c.id == account)


def window(now: int, used: float, key: str = "primary", left: int = HOUR) -> Window:
    return Window(key, used, {"primary": 300, "secondary": 10_080}[key], now + left, now)


# ── adding ────────────────────────────────────────────────────────────────────────────────


def test_an_added_account_has_its_allowance_at_once(pool: Pool, upstream: Provider) -> None:
    found = pool.add(auth_json())
    assert (found.email, found.plan, found.status) == ("ada@example.com", "plus", "active")
    (shown,) = pool.summaries(db.now_ms(), auth=True)
    assert shown["usage"]["primaryRemainingPercent"] == 75.0
    assert shown["usage"]["secondaryRemainingPercent"] == 60.0
    assert shown["usage"]["monthlyRemainingPercent"] is None
    assert shown["auth"]["refresh"] == {"expiresAt": None, "state": "stored"}
    ((_, headers, _),) = upstream.calls
    assert headers["authorization"] == f"Bearer {access_token()}"
    assert headers["chatgpt-account-id"] == "ws-1"


def test_a_provider_that_hangs_does_not_hold_the_import(
    pool: Pool, upstream: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.accounts.pool.ANSWER_SECONDS", 0.2)
    go, answered = threading.Event(), threading.Event()

    def slow(headers: dict[str, str]) -> Reply:
        go.wait(60)
        answered.set()
        return 200, usage()

    upstream.usage = slow
    add(pool)
    assert not answered.is_set()
    (shown,) = pool.summaries(db.now_ms(), auth=False)
    assert shown["usage"]["primaryRemainingPercent"] is None  # unknown, not 0 and not 100
    go.set()
    quiet(pool)
    assert pool.candidates()[0].windows


def test_the_tokens_are_sealed_on_disk(pool: Pool, here: Config) -> None:
    add(pool)
    pool.flush()
    db.close_databases()
    for file in here.data_dir.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert b"refresh-ada" not in content
            assert access_token("ada").encode() not in content


def test_the_same_identity_signs_in_again_and_keeps_its_settings(
    pool: Pool, upstream: Provider
) -> None:
    first = add(pool)
    pool.rename(first, "work")
    upstream.usage = lambda _: (200, {})
    upstream.token = lambda _: (401, {"error": {"code": "refresh_token_reused"}})
    with pytest.raises(SignInNeeded):
        pool.refresh(first, access_token("ada"))
    assert state(pool, first) == "sign_in_needed"
    renewed = auth_json(
        access_token("again"), email="new@example.com", user="ada", account="ws-ada"
    )
    assert pool.add(renewed).id == first
    (shown,) = pool.summaries(db.now_ms(), auth=False)
    assert (shown["alias"], shown["email"], shown["status"]) == (
        "work",
        "new@example.com",
        "active",
    )
    assert pool.token(first).access_token == access_token("again")


def test_two_workspaces_of_one_email_live_side_by_side(pool: Pool) -> None:
    add(pool, account="ws-1")
    add(pool, account="ws-2", plan="team")
    shown = pool.summaries(db.now_ms(), auth=False)
    assert len({account["accountId"] for account in shown}) == 2
    assert len({account["displayName"] for account in shown}) == 2


def organization(title: str, **more: Any) -> list[dict[str, Any]]:
    return [{"id": "org-other", "title": "Other"}, {"id": "org-1", "title": title, **more}]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param({}, {"plan": "team"}, ["(plus)", "(team)"], id="the plan tells them apart"),
        pytest.param(
            {"organizations": organization("Acme", is_default=True)},
            {"organizations": organization("Home", is_default=True)},
            ["(Acme, plus)", "(Home, plus)"],
            id="the workspace does",
        ),
        pytest.param(
            {"organizations": organization("Acme"), "organization_id": "org-1"},
            {"organizations": organization("Acme"), "plan": "team"},
            ["(Acme, plus)", "(Other, team)"],
            id="the one that the sign-in is for, else the first",
        ),
        pytest.param(
            {"organizations": organization("Personal", is_default=True)},
            {"organizations": organization("Personal", is_default=True), "plan": "team"},
            ["(plus)", "(team)"],
            id="a name that all have says nothing",
        ),
        pytest.param({}, {}, ["(plus, {})", "(plus, {})"], id="nothing does but the id"),
        pytest.param(
            {"plan": None}, {"plan": None}, ["({})", "({})"], id="nothing is known of them"
        ),
        pytest.param(
            {"organizations": [5, {"title": "\ud800"}, {"title": "x" * 500}]},
            {"organizations": "Acme", "plan": "team"},
            ["(plus)", "(team)"],
            id="odd claims",
        ),
    ],
)
def test_accounts_of_one_email_are_told_apart_by_what_they_are(
    pool: Pool,
    upstream: Provider,
    first: dict[str, Any],
    second: dict[str, Any],
    expected: list[str],
) -> None:
    upstream.usage = lambda _: (200, usage(plan_type=None))
    ids = [add(pool, account="ws-1", **first), add(pool, account="ws-2", **second)]
    shown = {a["accountId"]: a["displayName"] for a in pool.summaries(db.now_ms(), auth=False)}
    wanted = [f"ada@example.com {e.format(i[:4])}" for e, i in zip(expected, ids, strict=True)]
    assert [shown[account] for account in ids] == wanted
    tray = pool.snapshot(db.now_ms())["accounts"]
    assert sorted(each["name"] for each in tray) == sorted(wanted)
    assert sorted(candidate.label for candidate in pool.candidates()) == sorted(wanted)


def test_the_provider_says_what_a_workspace_is_called(pool: Pool, upstream: Provider) -> None:
    upstream.usage = lambda _: (200, usage(workspace_label="Acme Research"))
    account = add(pool, account="ws-1", organizations=organization("Acme"))
    quiet(pool)
    upstream.usage = lambda _: (200, usage())
    add(pool, account="ws-2")
    names = {a["accountId"]: a["displayName"] for a in pool.summaries(db.now_ms(), auth=False)}
    assert names[account] == "ada@example.com (Acme Research, plus)"
    pool.flush()
    pool.load()
    assert pool.summary(account, db.now_ms())["workspaceLabel"] == "Acme Research"


def test_copies_are_made_only_when_asked_for(pool: Pool) -> None:
    first = add(pool)
    settings.change({"importWithoutOverwrite": True})
    try:
        second = add(pool)
        assert second != first
    finally:
        settings.change({"importWithoutOverwrite": False})
    with pytest.raises(Conflict) as caught:
        add(pool)
    assert caught.value.code == "duplicate_identity_conflict"
    pool.remove(second)
    assert add(pool) == first


def test_a_broken_file_changes_nothing(pool: Pool) -> None:
    with pytest.raises(BadRequest):
        pool.add(b"{}")
    assert pool.candidates() == []
    assert pool.snapshot(db.now_ms())["pool"]["state"] == "empty"


# ── restart ───────────────────────────────────────────────────────────────────────────────


def test_everything_that_counts_survives_a_restart(pool: Pool, here: Config, clock: Clock) -> None:
    one, two = add(pool, "ada"), add(pool, "bob")
    pool.rename(one, "work")
    pool.tune(one, priority=3, policy="preserve")
    pool.pause(two, clock.now + HOUR)
    pool.block(one, "rate_limited", clock.now + MINUTE, "The provider said so.")
    pool.pin("session", "thread-1", one, clock.now)
    again = restarted(pool, here)
    assert {c.id: c for c in again.candidates()} == {c.id: c for c in pool.candidates()}
    assert again.pinned("session", "thread-1") == one
    assert again.token(one) == pool.token(one)
    assert again.summaries(clock.now, auth=True) == pool.summaries(clock.now, auth=True)


def test_what_the_provider_took_away_does_not_come_back_with_a_restart(
    pool: Pool, here: Config, clock: Clock
) -> None:
    account = add(pool)
    quiet(pool)  # a late answer would say it all again
    five, week = window(clock.now, 30), window(clock.now, 40, "secondary", 6 * DAY)
    pool.observe(account, Usage((five, week), None, Credits(True, False, 5.0), 2), "api")
    pool.flush()
    later = replace(week, used_percent=41.0, observed_at=clock.now + 1)
    pool.observe(account, Usage((later,)), "api")
    pool.flush()
    (after,) = restarted(pool, here).summaries(clock.now, auth=True)
    assert [w["key"] for w in after["windows"]] == ["secondary"]
    assert after["credits"] is None
    assert after["availableResetCredits"] == 2  # an answer without a word of them says nothing
    # The trend still knows what there was.
    assert set(history.observed(account, 0)) == {"primary", "secondary"}


def test_what_came_back_is_there_after_a_restart(pool: Pool, here: Config, clock: Clock) -> None:
    account = add(pool)
    quiet(pool)
    five, week = window(clock.now, 30), window(clock.now, 40, "secondary", 6 * DAY)
    for each in ((five, week), (week,), (five, week)):
        pool.observe(account, Usage(each, None, Credits(False, True, None)), "api")
        pool.flush()
    (after,) = restarted(pool, here).summaries(clock.now, auth=True)
    assert [w["key"] for w in after["windows"]] == ["primary", "secondary"]
    assert after["credits"] == {"has": False, "unlimited": True, "balance": None}


def test_a_disk_that_refuses_keeps_old_and_new_together(
    pool: Pool, here: Config, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = add(pool)
    quiet(pool)
    five, week = window(clock.now, 30), window(clock.now, 40, "secondary", 6 * DAY)
    pool.observe(account, Usage((five, week)), "api")
    pool.flush()
    with db.writing() as connection:
        connection.execute(
            "create trigger full before insert on allowance_now "
            "begin select raise(abort, 'disk full'); end"
        )
    later = replace(week, used_percent=60.0, observed_at=clock.now + 1)
    pool.observe(account, Usage((later,)), "api")
    with pytest.raises(sqlite3.Error):
        pool.flush()
    assert db.rows("select max(used_percent) from snapshot where window = 'secondary'") == [(40.0,)]
    with db.writing() as connection:
        connection.execute("drop trigger full")
    pool.flush()
    (after,) = restarted(pool, here).summaries(clock.now, auth=True)
    assert [(w["key"], w["usedPercent"]) for w in after["windows"]] == [("secondary", 60.0)]


def forgotten(*tables: str) -> None:
    """Take everything out of tables, as a lost file would."""
    for table in tables:
        usual = table in ("account", "snapshot")
        with db.writing() if usual else db.writing_secrets() as connection:
            connection.execute(f"delete from {table}")  # noqa: S608


def test_an_import_that_a_crash_cut_in_two_is_whole_at_the_next_start(
    pool: Pool, here: Config
) -> None:
    add(pool, "bob")
    ada = add(pool)
    with db.writing() as connection:
        connection.execute("delete from account where id = ?", (ada,))
    with db.writing_secrets() as connection:
        connection.execute("delete from account_copy where account = ?", (ada,))
    again = restarted(pool, here)
    assert again.token(ada) == pool.token(ada)
    assert again.name(ada) == "ada@example.com"
    assert again.notices == []  # nothing was lost


def test_without_usage_db_the_accounts_are_as_they_were(pool: Pool, here: Config) -> None:
    ada, bob = add(pool), add(pool, "bob")
    pool.rename(ada, "work")
    pool.tune(ada, priority=7, policy="preserve")
    pool.pause(bob)
    before = {each["accountId"]: each for each in pool.summaries(0, auth=True)}
    forgotten("account", "snapshot")
    again = restarted(pool, here)
    after = {each["accountId"]: each for each in again.summaries(0, auth=True)}
    kept = ("displayName", "email", "planType", "status", "priority", "routingPolicy", "auth")
    assert {a: [each[k] for k in kept] for a, each in after.items()} == {
        a: [each[k] for k in kept] for a, each in before.items()
    }
    assert after[bob]["status"] == "paused"  # a pause is the user's wish
    assert again.token(ada) == pool.token(ada)
    assert len(again.notices) == 1 and "usage.db was missing in" in again.notices[0]
    quiet(again)
    third = restarted(again, here)
    assert third.notices == [] and len(third.candidates()) == 2


def test_without_copies_the_tokens_tell_who_they_are_of(pool: Pool, here: Config) -> None:
    ada = add(pool)
    forgotten("account", "account_copy")
    again = restarted(pool, here)
    (found,) = again.summaries(0, auth=True)
    assert (found["accountId"], found["email"]) == (ada, "ada@example.com")
    assert found["chatgptAccountId"] == "ws-ada"
    assert again.add(auth_json(access_token("ada"), "r-2", email="ada@example.com", user="ada",
                               account="ws-ada")).id == ada  # fmt: skip


def test_with_the_key_lost_too_an_account_can_still_be_signed_in(pool: Pool, here: Config) -> None:
    ada = add(pool)
    quiet(pool)
    forgotten("account", "account_copy")
    (key,) = vault.keys_folder().iterdir()
    key.unlink()
    vault.forget()
    again = restarted(pool, here)
    assert again.name(ada) == f"account {ada[:6]}"
    with pytest.raises(Unopened):
        again.token(ada)
    (found,) = again.summaries(0, auth=True)
    assert found["status"] == "sign_in_needed"
    assert "key in" in found["deactivationReason"]
    assert add(again) == ada
    assert state(again, ada) == "active" and again.name(ada) == "ada@example.com"
    assert again.token(ada).upstream_id == "ws-ada"


def test_without_secrets_db_every_account_says_that_its_sign_in_is_lost(
    pool: Pool, here: Config
) -> None:
    ada, bob = add(pool), add(pool, "bob")
    pool.pause(bob)
    quiet(pool)
    forgotten("credential", "account_copy", "secret")
    vault.forget()
    again = restarted(pool, here)
    for found in again.summaries(0, auth=True):
        assert found["status"] == "sign_in_needed"
        assert "secrets.db was damaged or missing" in found["deactivationReason"]
    assert (
        len(again.notices) == 1
        and "secrets.db, which holds the sign-ins, was missing" in (again.notices[0])
    )
    with pytest.raises(SignInNeeded):
        again.token(ada)
    add(again)
    assert state(again, ada) == "active" and again.token(ada)


def test_a_key_that_comes_back_brings_the_accounts_back(pool: Pool, here: Config) -> None:
    ada = add(pool)
    quiet(pool)
    (key,) = vault.keys_folder().iterdir()
    aside = key.rename(key.with_suffix(".away"))
    vault.forget()
    lost = restarted(pool, here)
    lost.poll_usage()
    until(lambda: state(lost, ada) == "sign_in_needed")
    (found,) = lost.summaries(0, auth=True)
    assert str(vault.keys_folder()) in found["deactivationReason"]
    assert found["usageError"] is None  # said once
    quiet(lost)
    again = restarted(lost, here)  # a restart alone does not help …
    again.keep_tokens_fresh()
    assert state(again, ada) == "sign_in_needed"
    aside.rename(key)  # … the key does
    again.keep_tokens_fresh()
    until(lambda: state(again, ada) == "active")
    quiet(again)
    assert again.token(ada) == pool.token(ada)


def test_a_removed_account_stays_removed_when_usage_db_is_lost(pool: Pool, here: Config) -> None:
    add(pool, "bob")
    pool.remove(add(pool))
    forgotten("account")
    again = restarted(pool, here)
    assert [each["email"] for each in again.summaries(0, auth=True)] == ["bob@example.com"]


# ── pause and resume ──────────────────────────────────────────────────────────────────────


def test_pause_drops_the_threads_and_resume_brings_the_account_back(
    pool: Pool, clock: Clock
) -> None:
    account = add(pool)
    pool.pin("session", "thread-1", account, clock.now)
    pool.flush()
    before = db.revisions().get("accounts", 0)
    pool.pause(account)
    assert state(pool, account) == "paused"
    assert pool.pinned("session", "thread-1") is None
    assert db.rows("select count(*) from sticky_session") == [(0,)]
    assert db.revisions()["accounts"] > before
    assert pool.snapshot(clock.now)["pool"]["state"] == "paused"  # the last one may be paused
    pool.resume(account)
    assert state(pool, account) == "active"


def test_a_pause_with_an_end_ends(pool: Pool, clock: Clock) -> None:
    account = add(pool)
    pool.pause(account, clock.now + HOUR)
    clock.now += HOUR - 1
    pool.expire_blocks()
    assert state(pool, account) == "paused"
    clock.now += 1
    assert state(pool, account) == "active"  # even before the job ran
    pool.expire_blocks()
    assert db.rows("select status, paused_until from account") == [("active", None)]


def test_a_resumed_account_whose_window_is_spent_is_blocked(
    pool: Pool, clock: Clock, upstream: Provider
) -> None:
    upstream.usage = lambda _: (200, usage(100))
    account = add(pool)
    assert state(pool, account) == "rate_limited"
    pool.pause(account)
    pool.resume(account)
    assert state(pool, account) == "rate_limited"
    assert pool.earliest_reset(clock.now) == clock.now + 9_000_000


def test_windows_and_blocks_leave_a_paused_account_alone(pool: Pool, clock: Clock) -> None:
    account = add(pool)
    pool.pause(account)
    pool.block(account, "quota_exceeded", clock.now + DAY, "x")
    pool.observe(account, Usage((window(clock.now, 100),)), "headers")
    assert state(pool, account) == "paused"


def blocked(pool: Pool, account: str) -> tuple[str, int | None]:
    """An account's status and the end of its block, as the balancer sees them."""
    found = next(c for c in pool.candidates() if c.id == account)
    return found.status, found.blocked_until


@pytest.mark.parametrize("status", ["rate_limited", "quota_exceeded"])
def test_a_pause_lifts_no_block(pool: Pool, clock: Clock, here: Config, status: str) -> None:
    ada, bob = add(pool), add(pool, "bob")
    end = clock.now + 3 * HOUR
    pool.block(ada, status, end, "quota")
    pool.pause_all()
    assert blocked(pool, ada) == ("paused", None)
    assert pool.earliest_reset(clock.now) is None  # nothing comes back by itself
    clock.now += HOUR
    pool.pause(ada)  # once more, as a script may
    pool = restarted(pool, here)  # and it outlives a restart
    pool.resume_all()
    assert (blocked(pool, ada), state(pool, bob)) == ((status, end), "active")
    assert "quota" in pool.summary(ada, clock.now)["statusReason"]
    assert pool.earliest_reset(clock.now) == end
    pool.resume(ada)  # who resumes an account that is not paused means its block
    assert blocked(pool, ada) == ("active", None)
    quiet(pool)


def test_a_block_that_ended_during_the_pause_is_over(pool: Pool, clock: Clock) -> None:
    account = add(pool)
    pool.block(account, "quota_exceeded", clock.now + HOUR, "quota")
    pool.pause(account)
    clock.now += HOUR
    pool.resume(account)
    assert blocked(pool, account) == ("active", None)


def test_a_pause_that_ends_by_itself_lifts_no_block(pool: Pool, clock: Clock) -> None:
    account = add(pool)
    end = clock.now + 3 * HOUR
    pool.block(account, "rate_limited", end, "rate limit")
    pool.pause(account, clock.now + HOUR)
    clock.now += HOUR
    assert blocked(pool, account) == ("rate_limited", end)  # even before the job ran
    pool.expire_blocks()
    assert db.rows("select status, blocked_until, covered from account") == [
        ("rate_limited", end, None)
    ]
    clock.now = end
    pool.expire_blocks()
    assert blocked(pool, account) == ("active", None)


def test_a_window_that_starts_afresh_during_the_pause_ends_the_block(
    pool: Pool, clock: Clock
) -> None:
    account = add(pool)
    pool.observe(account, Usage((window(clock.now, 100),)), "headers")
    pool.block(account, "rate_limited", clock.now + DAY, "usage limit")
    pool.pause(account)
    clock.now += MINUTE
    pool.observe(account, Usage((window(clock.now, 25),)), "headers")  # a banked reset, say
    assert state(pool, account) == "paused"
    pool.resume(account)
    assert blocked(pool, account) == ("active", None)


def test_a_refusal_that_a_paused_account_still_meets_counts_after_it(
    pool: Pool, clock: Clock
) -> None:
    account = add(pool)
    pool.pause(account)  # with a stream open
    pool.block(account, "quota_exceeded", clock.now + HOUR, "quota")
    pool.block(account, "rate_limited", clock.now + MINUTE, "rate limit")  # the longer one stays
    assert state(pool, account) == "paused"
    pool.resume(account)
    assert blocked(pool, account) == ("quota_exceeded", clock.now + HOUR)


def test_a_new_sign_in_lifts_the_block_beneath_a_pause(pool: Pool, clock: Clock) -> None:
    account = add(pool)
    pool.block(account, "quota_exceeded", clock.now + HOUR, "quota")
    pool.pause(account)
    assert add(pool) == account
    assert state(pool, account) == "paused"
    pool.resume(account)
    assert state(pool, account) == "active"


def test_pause_all_and_resume_all(pool: Pool, upstream: Provider) -> None:
    one, two = add(pool, "ada"), add(pool, "bob")
    upstream.token = lambda _: (401, {"error": {"code": "refresh_token_expired"}})
    with pytest.raises(SignInNeeded):
        pool.refresh(two, access_token("bob"))
    pool.pause_all()
    assert [state(pool, a) for a in (one, two)] == ["paused", "sign_in_needed"]
    with pytest.raises(Conflict, match="expired"):
        pool.pause(two)
    pool.resume_all()
    assert [state(pool, a) for a in (one, two)] == ["active", "sign_in_needed"]


def test_nothing_is_changed_when_the_disk_refuses(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = add(pool)

    def full(*topics: str) -> Any:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(db, "writing", full)
        for verb in (pool.pause, pool.remove, lambda _: add(pool, "bob")):
            with pytest.raises(db.StoreError, match="has space") as caught:
                verb(account)
            assert caught.value.status == 507
        assert state(pool, account) == "active"
        pool.block(account, "rate_limited", db.now_ms() + HOUR, "x")  # in memory only
        with pytest.raises(OSError):
            pool.flush()
    assert db.rows("select status from account") == [("active",)]
    pool.flush()
    assert db.rows("select status from account") == [("rate_limited",)]


# ── blocks and observations ───────────────────────────────────────────────────────────────


def test_a_block_ends_at_its_time(pool: Pool, clock: Clock) -> None:
    account = add(pool)
    pool.block(account, "rate_limited", clock.now + MINUTE, "Too fast.")
    pool.block(account, "rate_limited", clock.now + 1000, "A shorter one changes nothing.")
    assert pool.earliest_reset(clock.now) == clock.now + MINUTE
    clock.now += MINUTE
    assert pool.earliest_reset(clock.now) is None
    pool.expire_blocks()
    assert db.rows("select status, blocked_until, status_reason from account") == [
        ("active", None, None)
    ]


@pytest.mark.parametrize("ahead", [-HOUR, 400 * DAY])
def test_an_implausible_block_is_an_hour(pool: Pool, clock: Clock, ahead: int) -> None:
    account = add(pool)
    pool.block(account, "quota_exceeded", clock.now + ahead, "x")
    assert pool.earliest_reset(clock.now) == clock.now + HOUR


def test_live_headers_count_at_once_and_reach_the_disk_later(
    pool: Pool, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = add(pool)
    pool.flush()

    def no_disk(*args: Any) -> Any:
        raise AssertionError("the request path touched the disk")

    with monkeypatch.context() as patch:
        patch.setattr(db, "writing", no_disk)
        patch.setattr(db, "rows", no_disk)
        clock.now += 1000
        pool.observe(account, Usage((window(clock.now, 100),)), "headers")
        pool.used(account, clock.now)
        pool.opened(account)
        pool.pin("session", "t", account, clock.now)
        assert pool.pinned("session", "t") == account
        (candidate,) = pool.candidates()
        assert (candidate.status, candidate.streams) == ("rate_limited", 1)
        assert candidate.last_used == clock.now
        pool.token(account)
        pool.snapshot(clock.now)
        pool.summaries(clock.now, auth=False)
    pool.flush()
    assert db.rows("select status from account") == [("rate_limited",)]


def test_snapshots_are_kept_at_a_sane_density(pool: Pool, clock: Clock) -> None:
    account = add(pool)
    pool.flush()

    def count() -> int:
        return int(db.rows("select count(*) from snapshot where window = 'primary'")[0][0])

    first = count()
    reset = clock.now + 3 * HOUR
    for second in range(3600):  # an hour of answers, one each second, 3 % used
        clock.now += 1000
        seen = Window("primary", 30 + second / 1200, 300, reset, clock.now)
        pool.observe(account, Usage((seen,)), "headers")
        if second % 5 == 0:
            pool.flush()
    assert first == 1
    assert 3 <= count() - first <= 16
    before = count()
    for _ in range(100):  # nothing changes any more
        clock.now += MINUTE
        pool.observe(account, Usage((replace(seen, observed_at=clock.now),)), "headers")
        pool.flush()
    assert count() - before <= 1


def test_unchanged_values_do_not_wake_the_pages(pool: Pool, clock: Clock) -> None:
    account = add(pool)
    pool.observe(account, Usage((window(clock.now, 30),)), "headers")
    pool.flush()
    before = db.revisions()["accounts"]
    clock.now += 1000
    pool.observe(account, Usage((window(clock.now, 30, left=HOUR - 1000),)), "headers")
    pool.flush()
    assert db.revisions()["accounts"] == before


def test_credits_keep_an_account_serving(pool: Pool, clock: Clock) -> None:
    account = add(pool)
    rich = Usage((window(clock.now, 100),), None, Credits(True, False, 5.0))
    pool.observe(account, rich, "api")
    assert state(pool, account) == "active"


def test_errors_are_counted_until_a_success(pool: Pool, clock: Clock) -> None:
    account = add(pool)
    pool.failed(account, clock.now)
    pool.failed(account, clock.now)
    assert (pool.candidates()[0].errors, pool.candidates()[0].error_at) == (2, clock.now)
    pool.succeeded(account)
    assert pool.candidates()[0].errors == 0


def test_a_removed_account_disturbs_nobody(pool: Pool, clock: Clock) -> None:
    account = add(pool)
    pool.opened(account)
    pool.pin("session", "t", account, clock.now)
    pool.remove(account)
    for verb in (pool.opened, pool.closed, pool.succeeded):
        verb(account)
    pool.failed(account, clock.now)
    pool.used(account, clock.now)
    pool.block(account, "rate_limited", clock.now + HOUR, "x")
    pool.observe(account, Usage((window(clock.now, 1),)), "headers")
    pool.flush()
    assert pool.pinned("session", "t") is None
    assert pool.candidates() == []
    for ask in (pool.token, pool.pause, pool.resume, pool.remove, pool.probe):
        with pytest.raises(NotFound):
            ask(account)
    assert db.rows("select count(*) from account") == [(0,)]


def test_history_returns_with_the_account_unless_it_was_erased(
    pool: Pool, upstream: Provider
) -> None:
    account = add(pool)
    pool.flush()
    pool.remove(account)
    upstream.usage = lambda _: (500, {})
    assert add(pool) == account
    assert pool.candidates()[0].windows
    pool.remove(account, erase=True)
    assert add(pool) == account
    assert pool.candidates()[0].windows == ()


# ── pins ──────────────────────────────────────────────────────────────────────────────────


def test_pins_end_in_time(pool: Pool, clock: Clock, here: Config) -> None:
    account = add(pool)
    start = clock.now
    pool.pin("session", "s", account, start)
    pool.pin("prompt_cache", "c", account, start)
    pool.expire_blocks()
    clock.now = start + 30 * MINUTE
    assert pool.pinned("session", "s") == account
    assert pool.pinned("prompt_cache", "c") is None
    clock.now = start + DAY
    assert pool.pinned("session", "s") is None
    pool.expire_blocks()
    assert db.rows("select count(*) from sticky_session") == [(0,)]


def test_pins_are_bounded(pool: Pool, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.accounts.pins.MOST", 10)
    account = add(pool)
    for number in range(25):
        pool.pin("session", str(number), account, clock.now)
    assert pool.pinned("session", "14") is None
    assert pool.pinned("session", "15") == account
    pool.flush()
    assert db.rows("select count(*) from sticky_session") == [(10,)]


# ── old snapshots ─────────────────────────────────────────────────────────────────────────


def test_old_snapshots_are_thinned_and_the_newest_stay(pool: Pool, clock: Clock) -> None:
    account = add(pool)
    with db.writing() as connection:
        connection.execute("delete from snapshot")
        connection.executemany(
            "insert into snapshot (account, source, window, used_percent, observed_at) "
            "values (?, 'api', ?, ?, ?)",
            [
                *[(account, "primary", n % 100, clock.now - n * HOUR) for n in range(60 * 24)],
                *[(account, "secondary", n, clock.now - (500 + n) * DAY) for n in range(3)],
                ("", "primary", 1, clock.now - 900 * DAY),
            ],
        )
    pool.forget_old()
    stored = {
        (window, (clock.now - at) // HOUR)
        for window, at in db.rows("select window, observed_at from snapshot where account != ''")
    }
    recent = {hours for window, hours in stored if window == "primary" and hours <= 35 * 24}
    older = [hours for window, hours in stored if window == "primary" and hours > 35 * 24]
    assert recent == set(range(35 * 24 + 1)), "what trends look at closely is whole"
    assert 100 <= len(older) <= 102, "one in six hours of the 25 days before"
    assert [hours for window, hours in stored if window == "secondary"] == [500 * 24]
    assert db.rows("select count(*) from snapshot where account = ''") == [(1,)]
    before = len(stored)
    pool.forget_old()
    assert db.rows("select count(*) from snapshot")[0][0] == before + 1


# ── finding ───────────────────────────────────────────────────────────────────────────────


def test_an_account_is_found_by_what_people_call_it(pool: Pool) -> None:
    ada, bob = add(pool, "ada"), add(pool, "bob")
    pool.rename(bob, "Work")
    for name in (ada, "ada@example.com", "ADA@example.com", "ad", " ada "):
        assert pool.find(name) == ada
    for name in ("work", "bob", "wo"):
        assert pool.find(name) == bob
    for name in ("", "nobody", "\ud800", "%", "x" * 9999):
        with pytest.raises(NotFound):
            pool.find(name)


def test_a_name_that_is_shown_wins_over_an_e_mail_that_two_have(pool: Pool) -> None:
    first, second = add(pool, account="ws-1"), add(pool, account="ws-2")
    for account in (first, second):
        assert pool.find(pool.name(account)) == account, "told apart as they are shown"
    pool.rename(first, "Work")
    assert pool.find("work") == first
    assert pool.find("ada@example.com") == second


def test_an_unclear_name_lists_what_fits(pool: Pool) -> None:
    add(pool, account="ws-1")
    add(pool, account="ws-2")
    with pytest.raises(Conflict, match="Several accounts"):
        pool.find("ada@example.com")


# ── asking the provider ───────────────────────────────────────────────────────────────────


def test_a_refused_token_is_renewed_once(pool: Pool, upstream: Provider) -> None:
    account = add(pool)
    upstream.calls.clear()
    fresh = access_token("fresh")
    upstream.token = lambda _: (200, {"access_token": fresh, "refresh_token": "r2"})
    upstream.usage = lambda headers: (
        (200, usage(50)) if headers["authorization"].endswith(fresh) else (401, {})
    )
    pool.probe(account)
    assert [path.rpartition("/")[2] for path, _, _ in upstream.calls] == ["usage", "token", "usage"]
    assert pool.candidates()[0].windows[0].used_percent == 50


def test_a_sign_in_that_cannot_be_renewed_now_shows_why(pool: Pool, upstream: Provider) -> None:
    account = add(pool)
    upstream.token = lambda _: (503, {})
    with pytest.raises(RefreshFailed):
        pool.refresh(account, pool.token(account).access_token)
    shown = pool.summary(account, db.now_ms())
    assert (shown["status"], "sign-in server" in shown["usageError"]) == ("active", True)
    pool.probe(account)
    assert pool.summary(account, db.now_ms())["usageError"] is None


def test_the_plan_in_the_answer_counts(pool: Pool, upstream: Provider) -> None:
    upstream.usage = lambda _: (200, usage(plan_type="pro"))
    account = add(pool)
    assert pool.candidates()[0].plan == "pro"
    assert pool.candidates()[0].capacity == 50_400
    upstream.usage = lambda _: (200, usage(plan_type=None))
    pool.probe(account)
    assert pool.candidates()[0].plan == "pro"


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param((500, {}), id="500"),
        pytest.param((403, b"<html>"), id="403 is not the account's end"),
        pytest.param((200, b"<html>hello</html>"), id="HTML"),
        pytest.param((200, b"[]"), id="a list"),
        pytest.param((302, {}), id="a redirect"),
        pytest.param((0, {}), id="hung up"),
        pytest.param((200, b"{" * 50_000), id="deep"),
    ],
)
def test_a_failed_question_keeps_what_is_known(
    pool: Pool, upstream: Provider, reply: Reply
) -> None:
    account = add(pool)
    upstream.usage = lambda _: reply
    with pytest.raises(UsageFailed):
        pool.probe(account)
    (shown,) = pool.summaries(db.now_ms(), auth=False)
    assert shown["status"] == "active"
    assert shown["usage"]["primaryRemainingPercent"] == 75.0
    assert shown["usageError"]
    upstream.usage = lambda _: (200, usage(30))
    pool.probe(account)
    (shown,) = pool.summaries(db.now_ms(), auth=False)
    assert (shown["usageError"], shown["usage"]["primaryRemainingPercent"]) == (None, 70.0)


def test_a_page_instead_of_the_allowance_says_what_to_do(pool: Pool, upstream: Provider) -> None:
    account = add(pool)
    upstream.usage = lambda _: (200, b"<html>Welcome to the Wi-Fi</html>")
    with pytest.raises(UsageFailed):
        pool.probe(account)
    shown = pool.summary(account, db.now_ms())
    assert "sign in to the network" in shown["usageError"]
    assert shown["usageErrorSaid"]["key"] == "error.page"


def test_a_deactivated_workspace_outlasts_an_older_trouble(pool: Pool, upstream: Provider) -> None:
    account = add(pool)
    upstream.usage = lambda _: (500, {})
    with pytest.raises(UsageFailed):
        pool.probe(account)
    upstream.usage = lambda _: (402, {"detail": {"code": "deactivated_workspace"}})
    with pytest.raises(SignInNeeded):
        pool.probe(account)
    shown = pool.summary(account, db.now_ms())
    assert (shown["status"], shown["usageError"]) == ("deactivated", None)
    assert shown["statusSaid"]["key"] == "state.workspace"


def test_a_deactivated_account_says_so(pool: Pool, upstream: Provider) -> None:
    account = add(pool)
    message = "Your account has been deactivated. Contact support."
    upstream.usage = lambda _: (403, {"error": {"message": message}})
    with pytest.raises(SignInNeeded):
        pool.probe(account)
    assert state(pool, account) == "deactivated"
    asked = len(upstream.calls)
    pool.poll_usage()
    quiet(pool)
    assert len(upstream.calls) == asked


def test_an_empty_answer_is_unknown_not_zero(pool: Pool, upstream: Provider) -> None:
    upstream.usage = lambda _: (200, {})
    add(pool)
    snapshot = pool.snapshot(db.now_ms())
    assert snapshot["pool"]["windows"] == []
    assert snapshot["pool"]["state"] == "unknown"


@pytest.mark.parametrize(
    ("seconds", "key", "name"),
    [
        pytest.param(604_800, "secondary", "week", id="weekly only"),
        pytest.param(2_592_000, "monthly", "month", id="monthly only"),
    ],
)
def test_plans_with_one_window(
    pool: Pool, upstream: Provider, seconds: int, key: str, name: str
) -> None:
    payload = usage(30, None, plan_type="free")
    payload["rate_limit"]["primary_window"]["limit_window_seconds"] = seconds
    upstream.usage = lambda _: (200, payload)
    add(pool)
    (shown,) = pool.summaries(db.now_ms(), auth=False)
    assert shown["usage"]["primaryRemainingPercent"] is None
    assert shown["usage"][f"{key}RemainingPercent"] == 70.0
    (averaged,) = pool.snapshot(db.now_ms())["pool"]["windows"]
    assert (averaged["name"], averaged["remainingPercent"]) == (name, 70.0)


def test_polling_asks_everyone_a_few_at_a_time_and_returns_at_once(
    pool: Pool, upstream: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.accounts.asking.random.random", lambda: 0.0)
    for name in ("ada", "bob", "cy", "dee", "eve", "fay"):
        add(pool, name)
    pool.pause(pool.find("fay"))
    inside, most, lock, go = 0, 0, threading.Lock(), threading.Event()

    def slow(headers: dict[str, str]) -> Reply:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        go.wait(60)
        with lock:
            inside -= 1
        return 200, usage(1)

    upstream.usage = slow
    upstream.calls.clear()
    pool.poll_usage()
    pool.poll_usage()  # those under way are not asked twice
    until(lambda: inside == 4)  # nobody was answered yet
    go.set()
    quiet(pool)
    assert (len(upstream.calls), most) == (6, 4)


def test_an_account_that_is_refused_is_asked_less_often(
    pool: Pool, upstream: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monotonic = [1000.0]
    account = add(pool)
    monkeypatch.setattr("server.accounts.asking.time.monotonic", lambda: monotonic[0])
    upstream.usage = lambda _: (429, {})
    upstream.calls.clear()
    for _ in range(20):
        pool.poll_usage()
        pool.ask(account).wait(30) if pool._roster.live[account].asking else None
        monotonic[0] += 60
    assert 3 <= len(upstream.calls) <= 8


def test_no_network_is_nobodys_fault(config: Config, database: None) -> None:
    vault.forget()
    pool = Pool(config)
    pool.load()
    account = add(pool)
    (shown,) = pool.summaries(db.now_ms(), auth=False)
    assert shown["status"] == "active"
    assert "Check the network" in shown["usageError"]
    assert pool.candidates()[0].errors == 0
    with pytest.raises(UsageFailed):
        pool.probe(account)
    vault.forget()


def test_tokens_are_renewed_ahead_in_the_background(
    pool: Pool, upstream: Provider, clock: Clock
) -> None:
    soon = access_token("soon", clock.now // 1000 + 8 * 60)
    upstream.token = lambda _: (200, {"access_token": access_token("new"), "refresh_token": "r"})
    account = pool.add(auth_json(soon)).id
    pool.pause(account)
    pool.keep_tokens_fresh()
    until(lambda: pool.token(account).access_token == access_token("new"))
    pool.keep_tokens_fresh()
    assert len(upstream.asked("/oauth/token")) == 1


def test_accounts_that_end_together_are_all_renewed_in_one_round(
    pool: Pool, upstream: Provider, clock: Clock
) -> None:
    ends = clock.now // 1000 + 8 * 60

    def token(body: dict[str, Any]) -> Reply:
        time.sleep(0.01)  # long enough that the others arrive meanwhile
        return 200, {"access_token": access_token("new"), "refresh_token": "r"}

    upstream.token = token
    names = ["ada", "bob", "cy", "dee", "eve"]
    accounts = [
        pool.add(auth_json(access_token(n, ends), n, email=n, user=n, account=n)).id for n in names
    ]

    def renewed(account: str) -> bool:
        return pool.token(account).access_token == access_token("new")

    pool.keep_tokens_fresh()
    for account in accounts:
        until(partial(renewed, account))
    assert len(upstream.asked("/oauth/token")) == 5


def test_stopping_waits_for_the_rotated_token(
    pool: Pool, upstream: Provider, here: Config, clock: Clock
) -> None:
    account = add(pool)
    asked, go = threading.Event(), threading.Event()

    def token(body: dict[str, Any]) -> Reply:
        asked.set()
        go.wait(60)
        return 200, {"access_token": access_token("new"), "refresh_token": "r2"}

    upstream.token = token
    stale = access_token("ada")
    threading.Thread(target=pool.refresh, args=(account, stale), daemon=True).start()
    assert asked.wait(30)
    pool.pin("session", "t", account, clock.now)
    threading.Timer(0.05, go.set).start()
    pool.stop()
    again = Pool(here)
    again.load()
    assert again.token(account).access_token == access_token("new")
    assert again.pinned("session", "t") == account


def test_a_failed_renewal_for_good_takes_the_account_out(
    pool: Pool, upstream: Provider, here: Config
) -> None:
    account = add(pool)
    upstream.token = lambda _: (401, {"error": {"code": "refresh_token_invalidated"}})
    for _ in range(3):
        with pytest.raises(SignInNeeded):
            pool.refresh(account, access_token("ada"))
    (shown,) = pool.summaries(db.now_ms(), auth=True)
    assert shown["status"] == "sign_in_needed"
    assert shown["statusReason"] == "Its sign-in was revoked."
    again = restarted(pool, here)
    with pytest.raises(SignInNeeded):
        again.token(account)
    again.poll_usage()
    again.keep_tokens_fresh()
    assert len(upstream.asked("/oauth/token")) == 1


def test_a_passing_failure_leaves_the_account_in(pool: Pool, upstream: Provider) -> None:
    account = add(pool)
    with pytest.raises(RefreshFailed):
        pool.refresh(account, access_token("ada"))
    assert state(pool, account) == "active"


def test_nothing_shown_holds_a_token(pool: Pool, clock: Clock) -> None:
    account = add(pool)
    shown = json.dumps([pool.summaries(clock.now, auth=True), pool.snapshot(clock.now)])
    shown += repr(pool.token(account)) + repr(pool.candidates()) + repr(vars(pool))
    assert access_token("ada") not in shown
    assert "refresh-ada" not in shown


def test_many_threads_at_once(pool: Pool, clock: Clock) -> None:
    accounts = [add(pool, name) for name in ("ada", "bob")]
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(60):
                account = accounts[step % 2]
                pool.opened(account)
                pool.used(account, clock.now)
                pool.observe(account, Usage((window(clock.now, step),)), "headers")
                pool.pin("session", f"{number}-{step}", account, clock.now)
                pool.candidates()
                if number == 0:
                    pool.pause(account)
                    pool.resume(account)
                if number == 1:
                    pool.flush()
                pool.closed(account)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [c.streams for c in pool.candidates()] == [0, 0]
