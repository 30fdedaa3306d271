"""The roster: every account in memory, and the rows that it is written through to.

The other modules of this room change accounts only by what stands here, so that what is stored and
what counts cannot part.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import peewee

from server.accounts import allowance, summary
from server.accounts.allowance import SIGN_IN_NEEDED, Standing, Usage
from server.accounts.copies import Copies
from server.accounts.history import History
from server.accounts.pins import Pins
from server.accounts.provider import RefreshFailed, SignInNeeded
from server.accounts.refresh import Credentials, Held
from server.accounts.states import aside, closed, current, fields, without_tokens
from server.accounts.summary import Profile
from server.config import Config
from server.errors import NotFound
from server.sentences import say
from server.store import db, settings

log = logging.getLogger(__name__)

_REMEMBERED = 40  # ends of requests, per account
_COLUMNS = tuple(Profile.__dataclass_fields__)
_UPSERT = (
    f"replace into account ({', '.join(_COLUMNS)}) "  # noqa: S608
    f"values ({', '.join('?' * len(_COLUMNS))})"
)


@dataclass
class Live:
    """What is known of an account only while the server runs."""

    usage: Usage = field(default_factory=Usage)
    last_used: int = 0
    streams: int = 0
    errors: int = 0
    error_at: int = 0
    good_at: int = 0
    recent: deque[tuple[int, bool]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    asking: threading.Event | None = None  # set when the question that is under way has ended
    ask_after: float = 0.0  # monotonic
    refusals: int = 0
    usage_error: str | None = None
    doubts: int = 0  # new tokens in a row that the provider refused
    doubted: int = 0  # the last of them, hashed
    doubted_since: int = 0


class Roster:
    """All accounts: what is stored of them, and what is known only while the server runs."""

    def __init__(self, config: Config) -> None:
        self.notices: list[str] = []  # what had to be mended, for the user
        self.lock = threading.RLock()  # guards memory; never held around disk or network
        self.changing = threading.RLock()  # orders what is written
        self.profiles: dict[str, Profile] = {}
        self.live: dict[str, Live] = {}
        self.history = History()
        self.pins = Pins()
        self.credentials = Credentials(config)
        self._dirty: set[str] = set()
        self._removed: dict[str, str] = {}  # what accounts were called whose requests are kept
        self._copies = Copies()
        self._folder = config.data_dir

    def load(self, notices: list[str] | None = None) -> None:
        """Read the accounts, their newest snapshots, pins and sealed tokens.

        An account that one of the two databases lost is made again from the other, as far as that
        goes; `notices` then get a sentence about it.
        """
        columns = ", ".join(_COLUMNS)
        rows = db.rows(f"select {columns} from account order by created_at, id")  # noqa: S608
        self.credentials.load()
        self._copies.load()
        self.notices = [] if notices is None else notices
        self._dirty.clear()
        profiles = self._whole([Profile(*row) for row in rows])
        used = dict(
            db.rows(
                "select account, max(started_at) from request_log "
                "where account is not null group by account"
            )
        )
        known = self.history.load()
        self.pins.load()
        with self.lock:
            self.profiles = {profile.id: profile for profile in profiles}
            self.live = {
                p.id: Live(known.get(p.id, Usage()), int(used.get(p.id, 0))) for p in profiles
            }
            self._removed = dict(db.rows("select id, name from removed_account"))
        for profile in profiles:
            ended = profile.status in (SIGN_IN_NEEDED, allowance.DEACTIVATED)
            if ended and not closed(profile) and not aside(profile):
                reason = profile.status_reason or say("state.ended")
                self.credentials.give_up(profile.id, reason, profile.status)

    def _whole(self, known: list[Profile]) -> list[Profile]:
        """The stored accounts, and those of which only the tokens are there; all stored again.

        A stop between the two files (an import that was cut in two) looks the same, in small.
        """
        now = db.now_ms()
        signed_in = self.credentials.accounts()
        lost = sorted(signed_in - {profile.id for profile in known})
        made = [self._copies.rebuilt(account, self.opened(account), now) for account in lost]
        found = [without_tokens(p, now) if p.id not in signed_in else p for p in known]
        changed = [new for new, old in zip(found, known, strict=True) if new is not old] + made
        if changed:
            with stored(), db.writing("accounts") as connection:
                connection.executemany(_UPSERT, [_row(profile) for profile in changed])
            log.info("accounts made again: %d, without tokens: %d", len(made), len(changed))
        for file, key, gone in (
            ("usage.db", "notice.noUsage", bool(made) and not known),
            ("secrets.db", "notice.noSecrets", len(changed) > len(made) and not signed_in),
        ):
            if gone and not any(text.startswith(file) for text in self.notices):
                self.notices.append(say(key, folder=self._folder))
        self._remember([*found, *made])
        return sorted([*found, *made], key=lambda profile: (profile.created_at, profile.id))

    def opened(self, account: str) -> Held | None:
        """The tokens of an account, for what they tell of it; None when they cannot be opened."""
        try:
            return self.credentials.held(account)
        except (SignInNeeded, RefreshFailed):
            return None

    def _remember(self, profiles: list[Profile]) -> None:
        """Keep what accounts are called and how they are set beside their tokens, too."""
        try:
            self._copies.keep(profiles)
        except (sqlite3.Error, OSError) as error:
            log.warning("the copy of an account waits for the data folder: %s", error)
            with self.lock:
                self._dirty.update(profile.id for profile in profiles)

    # ── one account ───────────────────────────────────────────────────────────────────────

    def profile(self, account: str) -> Profile:
        """The account as it stands now. Raises `NotFound`."""
        with self.lock:
            profile = self.profiles.get(account)
        if profile is None:
            raise unknown(account)
        return current(profile, db.now_ms())

    def name(self, account: str) -> str:
        """What people call the account, or called it; the id when nobody knows it."""
        with self.lock:
            known = summary.names(list(self.profiles.values()))
        return known.get(account) or self.removed().get(account, account)

    def removed(self) -> dict[str, str]:
        """What accounts were called that are gone and whose requests are kept, by id.

        In the strict privacy mode that is a piece of the id.
        """
        strict = settings.get("privacyMode") == "strict"
        with self.lock:
            gone = {a: name for a, name in self._removed.items() if a not in self.profiles}
        return {a: summary.hidden(a) if strict else name for a, name in gone.items()}

    def called(self, *, hidden: bool) -> dict[str, str]:
        """What every account is or was called, by id; `hidden`, each has a piece of its id."""
        with self.lock:
            known = {**self._removed, **summary.names(list(self.profiles.values()))}
        return {a: summary.hidden(a) if hidden else name for a, name in known.items()}

    # ── changes ───────────────────────────────────────────────────────────────────────────

    def stand(self, account: str, standing: Standing) -> None:
        """Change an account's standing in memory; the lock is held."""
        if standing.status == allowance.DEACTIVATED and account in self.live:
            self.live[account].usage_error = None  # an older trouble explains nothing any more
        self.change(account, **fields(standing))

    def change(self, account: str, **changes: Any) -> None:
        """Change an account in memory, to be stored by `flush`; the lock is held."""
        self.profiles[account] = replace(self.profiles[account], updated_at=db.now_ms(), **changes)
        self._dirty.add(account)
        db.touch("accounts")

    def save(
        self,
        profile: Profile,
        *,
        also: Callable[[sqlite3.Connection], None] | None = None,
        **changes: Any,
    ) -> None:
        """Store changes of an account, then make them count."""
        changes["updated_at"] = db.now_ms()
        self.write(replace(profile, **changes), also)
        with self.lock:
            if profile.id in self.profiles:
                self.profiles[profile.id] = replace(self.profiles[profile.id], **changes)

    def write(
        self, profile: Profile, also: Callable[[sqlite3.Connection], None] | None = None
    ) -> None:
        """Store an account as it is given."""
        with stored(), db.writing("accounts") as connection:
            connection.execute(_UPSERT, _row(profile))
            if also is not None:
                also(connection)
        self._remember([profile])

    def remove(self, account: str, *, erase: bool = False) -> None:
        """Forget an account and its tokens; with `erase` also its name, snapshots and requests."""
        with self.changing:
            profile = self.profile(account)
            name = self.name(account)
            with stored(), db.writing("accounts", "requests") as connection:
                self.credentials.remove(profile.id)
                self._copies.drop(profile.id)
                connection.execute("delete from account where id = ?", (profile.id,))
                self.pins.drop(profile.id, connection)
                if erase:
                    connection.execute("delete from request_log where account = ?", (profile.id,))
                    connection.execute("delete from removed_account where id = ?", (profile.id,))
                else:
                    connection.execute(
                        "replace into removed_account (id, name, removed_at) values (?, ?, ?)",
                        (profile.id, name, db.now_ms()),
                    )
                self.history.forget(profile.id, connection if erase else None)
            with self.lock:
                for known in (self.profiles, self.live):
                    known.pop(profile.id, None)
                self._dirty.discard(profile.id)
                self._removed.pop(profile.id, None)
                if not erase:
                    self._removed[profile.id] = name

    def flush(self) -> None:
        """Store what the request path left in memory; when the disk refuses, it stays there."""
        with self.changing:
            with self.lock:
                dirty = [self.profiles[a] for a in self._dirty if a in self.profiles]
                self._dirty.clear()
            try:
                if dirty:
                    with db.writing() as connection:
                        connection.executemany(_UPSERT, [_row(profile) for profile in dirty])
                    self._remember(dirty)
                self.history.flush()
                self.pins.flush()
            except BaseException:
                with self.lock:
                    self._dirty.update(profile.id for profile in dirty)
                raise


@contextmanager
def stored() -> Iterator[None]:
    """What the disk refuses is an error that says what to do."""
    try:
        yield
    except (sqlite3.Error, peewee.PeeweeException, OSError) as error:
        raise db.StoreError(
            say("store.damaged") if db.damaged(error) else say("store.refused", why=error),
            title="The data folder cannot be written",
        ) from error


def _row(profile: Profile) -> tuple[Any, ...]:
    return tuple(getattr(profile, column) for column in _COLUMNS)


def unknown(name: str) -> NotFound:
    """What to raise for an account that is not here."""
    return NotFound(say("account.gone", name=name[:80]), code="account_not_found")
