"""Every table. Times are integer milliseconds UTC, money integer micro-dollars.

Enumerations are short text; JSON columns hold only what is never filtered on. Models carry
columns and nothing else; rules live in the rooms. After a change here, run
`python -m server.store.makeschema`: tables are made from the SQL that it writes.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from peewee import (
    SQL,
    BlobField,
    BooleanField,
    CompositeKey,
    FloatField,
    IntegerField,
    Model,
    SqliteDatabase,
    TextField,
)

from server.store import db


class _Bound(SqliteDatabase):
    """Peewee on the store's own connections."""

    def __init__(self, store: db.Database) -> None:
        super().__init__(":memory:")  # never opened
        self._store = store

    def connection(self) -> sqlite3.Connection:
        return self._store.connection()

    def execute_sql(self, sql: str, params: Any = None) -> sqlite3.Cursor:
        self._store.check(sql)
        return self._store.connection().execute(sql, params or ())


class _Secrets(Model):
    class Meta:
        database = _Bound(db.secrets)
        legacy_table_names = False


class _Usage(Model):
    class Meta:
        database = _Bound(db.usage)
        legacy_table_names = False


# ── secrets.db ────────────────────────────────────────────────────────────────────────────


class Credential(_Secrets):
    """The tokens of one account; each column is a sealed blob (see `store.vault`)."""

    account = TextField(primary_key=True)
    access_token = BlobField()
    refresh_token = BlobField(null=True)
    id_token = BlobField(null=True)
    expires_at = IntegerField(null=True)
    refreshed_at = IntegerField()
    # SHA-256 of a refresh token that was sent and whose answer is not yet stored.
    refreshing = TextField(null=True)


class AccountCopy(_Secrets):
    """What an account is called and how it is set, for the day usage.db is lost."""

    account = TextField(primary_key=True)
    profile = TextField()  # JSON


class Secret(_Secrets):
    """One named secret of the installation: cookie key, password hash, TOTP, tray token."""

    name = TextField(primary_key=True)
    value = BlobField()


class Login(_Secrets):
    """One open dashboard session; `digest` is the SHA-256 of the cookie."""

    digest = TextField(primary_key=True)
    created_at = IntegerField()
    used_at = IntegerField()
    method = TextField()  # ticket token password
    verified = BooleanField()  # the second step was passed, or never asked


# ── usage.db: state ───────────────────────────────────────────────────────────────────────


class Account(_Usage):
    """One signed-in ChatGPT identity: a user in a workspace."""

    id = TextField(primary_key=True)
    label = TextField(null=True)  # the user's alias; None shows the e-mail
    email = TextField()
    plan = TextField(null=True)
    upstream_id = TextField(null=True)  # chatgpt_account_id
    user_id = TextField(null=True)
    workspace = TextField(null=True)
    workspace_name = TextField(null=True)  # as the provider calls it
    status = TextField(default="active")  # active paused rate_limited quota_exceeded
    #                                       sign_in_needed deactivated
    status_reason = TextField(null=True)
    blocked_until = IntegerField(null=True)  # rate_limited, quota_exceeded: when it ends
    paused_until = IntegerField(null=True)  # None with status paused: until the user resumes
    covered = TextField(null=True)  # paused: JSON [status, until, reason] of the block beneath
    priority = IntegerField(default=0)  # higher serves first
    policy = TextField(default="normal")  # burn_first normal preserve
    created_at = IntegerField()
    updated_at = IntegerField()


class RemovedAccount(_Usage):
    """What an account was called that was removed and whose requests were kept."""

    id = TextField(primary_key=True)
    name = TextField()
    removed_at = IntegerField()


class Snapshot(_Usage):
    """One observation of one allowance window of one account."""

    account = TextField()  # an account's id; "" for what logs say without an account
    source = TextField()  # api headers log
    window = TextField()  # primary (5 h) secondary (weekly) monthly, or a named limit
    used_percent = FloatField()
    window_minutes = IntegerField(null=True)
    resets_at = IntegerField(null=True)
    credits = FloatField(null=True)
    plan = TextField(null=True)
    observed_at = IntegerField()

    class Meta:
        indexes = ((("account", "window", "observed_at"), False),)


class AllowanceNow(_Usage):
    """What the provider last said that an account has; any other window of its is gone."""

    account = TextField(primary_key=True)
    windows = TextField()  # JSON list of keys; what is left of each is in its newest snapshot
    credits = TextField(null=True)  # JSON [has, unlimited, balance]
    reset_credits = IntegerField(null=True)


class StickySession(_Usage):
    """The memory that keeps a thread on an account."""

    key = TextField()
    kind = TextField()  # session prompt_cache file owner
    account = TextField(index=True)
    created_at = IntegerField()
    used_at = IntegerField(index=True)

    class Meta:
        primary_key = CompositeKey("kind", "key")


class ApiKey(_Usage):
    """A key of ours for a client."""

    id = TextField(primary_key=True)
    name = TextField()
    prefix = TextField()
    hash = TextField(unique=True)  # SHA-256 of the key
    active = BooleanField(default=True)
    allowed_models = TextField(null=True)  # JSON list
    accounts = TextField(null=True)  # JSON list of account ids it may use
    expires_at = IntegerField(null=True)
    used_at = IntegerField(null=True)
    created_at = IntegerField()


class KeyLimit(_Usage):
    """A ceiling of a key; `used` counts tokens, requests or micro-dollars."""

    key = TextField(index=True)
    measure = TextField()  # total_tokens input_tokens output_tokens cost_usd requests credits
    window = TextField()  # 5h daily weekly 7d monthly
    model = TextField(null=True)
    maximum = IntegerField()
    used = IntegerField(default=0)
    resets_at = IntegerField()


class RequestLog(_Usage):
    """One HTTP exchange through our proxy."""

    id = TextField(primary_key=True)  # our request id
    response_id = TextField(null=True, index=True)
    session_id = TextField(null=True)
    account = TextField(null=True)  # the account that answered last
    key = TextField(null=True)
    endpoint = TextField()
    model = TextField(null=True)
    effort = TextField(null=True)
    tier = TextField(null=True)
    status = TextField()  # success error cancelled incomplete
    error_code = TextField(null=True)
    error_message = TextField(null=True)  # ours or the provider's short sentence, no content
    http_status = IntegerField(null=True)
    reason = TextField(null=True)  # why the account was chosen
    attempts = TextField()  # JSON [{account, outcome, status, ms, reason}]
    input = IntegerField(null=True)
    cached = IntegerField(null=True)
    output = IntegerField(null=True)
    reasoning = IntegerField(null=True)
    cost = IntegerField(null=True)
    first_event_ms = IntegerField(null=True)
    duration_ms = IntegerField(null=True)
    client = TextField(null=True)  # the client's name and version
    started_at = IntegerField()

    class Meta:
        indexes = (
            (("started_at",), False),
            (("account", "started_at"), False),
            (("key", "started_at"), False),
        )


# The failures of a span, and whether a conversation came through the proxy at all.
RequestLog.add_index(
    RequestLog.started_at, where=RequestLog.status == "error", name="request_log_failed"
)
RequestLog.add_index(RequestLog.session_id, RequestLog.started_at)


class Setting(_Usage):
    """A runtime setting that differs from its default; `value` is JSON."""

    name = TextField(primary_key=True)
    value = TextField()


# ── usage.db: index (the ledger) ──────────────────────────────────────────────────────────


class SourceFile(_Usage):
    """A log file, how far it has been read, and what was found in it."""

    provider = TextField()  # codex claude
    name = TextField()  # the rollout's name: the same after an archive move or compression
    path = TextField()
    inode = IntegerField()
    size = IntegerField()
    mtime_ns = IntegerField()
    offset = IntegerField()  # the (uncompressed) byte after the last whole line that was read
    fingerprint = TextField()  # of the head and of the bytes before `offset`
    state = TextField()  # the parser's JSON state
    archived = BooleanField(default=False)
    missing = BooleanField(default=False)  # gone from disk; its rows stay
    calls = IntegerField(default=0)  # what this file added to the ledger
    input = IntegerField(default=0)
    cached = IntegerField(default=0)
    output = IntegerField(default=0)
    reasoning = IntegerField(default=0)
    skipped = IntegerField(default=0)  # lines that could not be used
    warnings = TextField()  # JSON {kind: count}
    indexed_at = IntegerField()
    alone = BooleanField(null=True)  # it has calls of its own beside copied ones; None: not asked

    class Meta:
        indexes = ((("provider", "name"), True),)


# Which ones Codex put aside, without a look at any other.
SourceFile.add_index(
    SourceFile._meta.primary_key,
    where=SourceFile.archived,
    name="source_file_archived",
)


class ToldTwice(_Usage):
    """Two logs that told of the same call: either is read anew only together with the other."""

    one = IntegerField()  # SourceFile
    other = IntegerField(index=True)  # SourceFile, of a higher number

    class Meta:
        primary_key = CompositeKey("one", "other")


class ToldAgain(_Usage):
    """A call that several logs told of."""

    call = TextField(primary_key=True)


class ToldLoosely(_Usage):
    """A call of Claude to which lines without a request added something. Should its message turn
    out to have several, nothing says whose that was.
    """

    call = TextField(primary_key=True)
    alone = TextField()  # JSON: the row without it


class Session(_Usage):
    """One rollout file's conversation."""

    key = TextField(unique=True)  # the provider's id
    provider = TextField()
    source = IntegerField(null=True)  # SourceFile
    thread = TextField(index=True)
    parent = TextField(null=True)  # the key of the session that it came from
    attached = TextField(null=True)  # …or, of a review that names none, most likely belongs to
    forked = BooleanField(default=False)  # it continues a copy of its parent's history
    inherited = IntegerField(default=0)  # leading calls that are the parent's
    guessed = BooleanField(default=False)  # …counted without the parent's log
    # Of a sub-agent of Claude's, whose id tells it: the session (id) that both count as one with.
    head = IntegerField(null=True)
    kind = TextField(default="user")  # user subagent review title
    role = TextField(null=True)  # a sub-agent's role or nickname
    project = TextField(null=True)
    cwd = TextField(null=True)
    branch = TextField(null=True)
    client = TextField(null=True)  # originator
    client_version = TextField(null=True)
    terminal = TextField(null=True)
    started_at = IntegerField(null=True)
    ended_at = IntegerField(null=True)

    class Meta:
        indexes = ((("parent",), False), (("kind",), False), (("head",), False))


class Project(_Usage):
    """A folder that sessions with calls worked in. What rows call `project` is the key."""

    key = TextField(unique=True)  # usage/roots.py
    root = TextField()


class Thread(_Usage):
    """The session a person would name, with its sub-agents and reviews."""

    id = TextField(primary_key=True)
    title = TextField(null=True)
    title_source = TextField(null=True)  # name title index first_message kind
    project = TextField(null=True)
    provider = TextField()
    started_at = IntegerField(null=True)
    last_at = IntegerField(null=True, index=True)


class Call(_Usage):
    """One model response with its usage: a row of the ledger."""

    # The provider's response id, else a stable hash. No primary key, but a unique index of its
    # own: a first load makes that at its end, at a third of what it costs row by row.
    id = TextField(unique=True)
    provider = TextField()  # codex claude
    session = IntegerField(null=True)  # Session
    turn_id = TextField(null=True)
    model = TextField(null=True)
    effort = TextField(null=True)
    tier = TextField(null=True)
    initiator = TextField(default="unknown")  # user agent tool compaction unknown
    started_at = IntegerField()  # when the response was complete, as logs record it
    duration_ms = IntegerField(null=True)
    input = IntegerField()
    cached = IntegerField()
    cache_written = IntegerField(default=0)
    # The part of it that is kept for an hour, which costs more; the rest is for five minutes.
    cache_written_1h = IntegerField(default=0, constraints=[SQL("DEFAULT 0")])
    output = IntegerField()
    reasoning = IntegerField()
    running = IntegerField(null=True)  # the session's total tokens after this call
    context_window = IntegerField(null=True)
    cost = IntegerField(null=True)
    credits = IntegerField(null=True)  # micro-credits
    price_status = TextField()  # exact estimated unpriced
    source = IntegerField(null=True)  # SourceFile
    offset = IntegerField(null=True)  # byte offset of its line
    account = TextField(null=True)
    seen = IntegerField()  # bits: 1 log, 2 proxy, 4 telemetry

    class Meta:
        primary_key = False
        indexes = ((("started_at",), False), (("session", "started_at"), False))


class LedgerNote(_Usage):
    """What the ledger remembers about itself, such as the zone its days are counted in."""

    name = TextField(primary_key=True)
    value = TextField()


class DailyUsage(_Usage):
    """A rollup: the calls of one local day under one heading."""

    day = TextField()  # YYYY-MM-DD in the ledger's zone
    heading = TextField()  # model project account
    provider = TextField()
    name = TextField()
    calls = IntegerField()
    input = IntegerField()
    cached = IntegerField()
    output = IntegerField()
    reasoning = IntegerField()
    cost = IntegerField()
    unpriced = IntegerField()  # calls without a price

    class Meta:
        primary_key = CompositeKey("heading", "day", "provider", "name")


class _Measures(_Usage):
    """What is summed up of a group of calls; the counts follow the thresholds."""

    calls = IntegerField()
    input = IntegerField()
    cached = IntegerField()
    output = IntegerField()
    reasoning = IntegerField()
    cost = IntegerField()
    credits = IntegerField(null=True)  # micro-credits; None when no call has a rate
    credited = IntegerField()  # calls that cost credits
    unpriced = IntegerField()  # calls without a price
    unpriced_tokens = IntegerField()
    estimated = IntegerField()  # calls whose price is an estimate
    estimated_tokens = IntegerField()
    duration = IntegerField(null=True)
    first_at = IntegerField()
    last_at = IntegerField()
    max_context = IntegerField(null=True)  # hundredths of a percent of the context window
    bloat = IntegerField()  # calls with much context
    grown = IntegerField()  # those, and calls late in a large session
    misses = IntegerField()  # calls that reused little
    least_cache = IntegerField(null=True)  # the lowest reuse among those, hundredths of a percent
    spikes = IntegerField()  # calls that mostly reasoned
    most_reasoning = IntegerField(null=True)  # the most reasoning tokens of one of those
    dear = IntegerField()  # calls that cost much
    idle = IntegerField()  # large calls with hardly any output


class Slice(_Measures):
    """A rollup: one session's calls within a quarter of an hour, by model, effort and account.

    No zone begins a day within a quarter, so that every viewer's days are whole slices.
    """

    session = IntegerField()  # Session; 0 for calls that belong to none
    quarter = IntegerField()  # of started_at, in 15 minutes since 1970
    model = TextField()
    effort = TextField()
    account = TextField()
    price_status = TextField()
    provider = TextField()
    archived = BooleanField()

    class Meta:
        primary_key = CompositeKey(
            "session", "quarter", "model", "effort", "account", "price_status", "provider"
        )
        # Not WITHOUT ROWID: quick_check of SQLite 3.40 finds damage in such tables that is none.
        # The second holds all that a map of hours needs.
        indexes = (
            (("quarter", "session"), False),
            (("quarter", "provider", "archived", "calls", "input", "output"), False),
        )


class Stretch(_Measures):
    """A rollup: one session's slices within a local day, by the same and by the project.

    Its days are those of the zone in the settings. A third of the slices' rows, and few of a
    month's: what lists and charts are summed up from.
    """

    day = IntegerField()  # the proleptic day number: date.toordinal()
    session = IntegerField()
    model = TextField()
    effort = TextField()
    project = TextField()
    account = TextField()
    price_status = TextField()
    provider = TextField()
    archived = BooleanField()

    class Meta:
        indexes = (
            (("day", "session", "archived"), False),
            (("session", "day", "archived"), False),
        )


class ArchivedSession(_Usage):
    """A session that the rollups have summed up as one that Codex put aside."""

    session = IntegerField(primary_key=True)


class Unsummed(_Usage):
    """A session whose calls are others than those that were summed up (0: of calls of none;
    -1: logs were archived or taken back). Filled by triggers, in whatever transaction it is.
    """

    session = IntegerField(primary_key=True)


class UnsummedThread(_Usage):
    """A thread that a session left since it was summed up."""

    thread = TextField(primary_key=True)


class ThreadUsage(_Measures):
    """A rollup: all calls of one thread; where some of its sessions are archived, two rows."""

    thread = TextField()
    everything = BooleanField()  # the sums are those of all its sessions
    active = BooleanField()  # … of those that are not archived
    provider = TextField()
    sessions = IntegerField()
    subagents = IntegerField()
    reviews = IntegerField()
    model = TextField()  # of most of its calls
    effort = TextField()

    class Meta:
        primary_key = CompositeKey("thread", "everything")
        indexes = ((("last_at",), False),)


class SessionUsage(_Measures):
    """A rollup: all calls of one session, for the sums of what a text is found in."""

    session = IntegerField(primary_key=True)  # Session; calls that belong to none are not in it
    provider = TextField()
    archived = BooleanField()
    # The first of its calls by what calls are sorted by (`slices.ORDERS`).
    top_tokens = IntegerField()
    top_input = IntegerField()
    top_cached = IntegerField()
    top_uncached = IntegerField()
    top_output = IntegerField()
    top_reasoning = IntegerField()
    top_cost = IntegerField()
    top_cache = FloatField()
    top_duration = IntegerField()
    top_context = FloatField()
    top_credits = IntegerField()


class CallBefore(_Usage):
    """What was before a call, to sort by; -1 where that is unknown (`usage.before`)."""

    call = IntegerField(primary_key=True)  # its row
    gap = IntegerField()  # ms since the call before it in its thread
    tokens = IntegerField()  # of its session, it included


class SessionName(_Usage):
    """What is kept in memory of a session with calls, to look for texts in: `usage.names`."""

    session = IntegerField(primary_key=True)  # Session
    thread = TextField(null=True)  # None: it has no calls any more
    key = TextField(null=True)
    change = IntegerField(index=True)  # goes up with each change


class QuarterUsage(_Usage):
    """A rollup: all calls of a quarter of an hour, for maps of hours in any zone."""

    quarter = IntegerField()  # in 15 minutes since 1970
    provider = TextField()
    archived = BooleanField()
    calls = IntegerField()
    tokens = IntegerField()

    class Meta:
        primary_key = CompositeKey("quarter", "provider", "archived")
        # All that is read.
        indexes = ((("quarter", "provider", "archived", "calls", "tokens"), False),)


class DaySessions(_Usage):
    """A rollup: how many sessions had a call on a day of the zone in the settings."""

    day = IntegerField()  # date.toordinal()
    provider = TextField()
    archived = BooleanField()
    sessions = IntegerField()

    class Meta:
        primary_key = CompositeKey("day", "provider", "archived")


class ArchivedUsage(_Usage):
    """A rollup: what of `DailyUsage` is of archived sessions."""

    heading = TextField()  # model project account
    day = TextField()
    provider = TextField()
    name = TextField()
    calls = IntegerField()
    input = IntegerField()
    cached = IntegerField()
    output = IntegerField()
    reasoning = IntegerField()
    cost = IntegerField()
    unpriced = IntegerField()

    class Meta:
        primary_key = CompositeKey("heading", "day", "provider", "name")


class HeadingUsage(_Usage):
    """A rollup: all calls under one heading."""

    heading = TextField()  # model effort project account provider
    name = TextField()
    provider = TextField()
    archived = BooleanField()
    sessions = IntegerField()
    calls = IntegerField()
    input = IntegerField()
    cached = IntegerField()
    output = IntegerField()
    reasoning = IntegerField()
    cost = IntegerField()
    credits = IntegerField()  # micro-credits
    rated = IntegerField()  # stretches that have a credit rate
    unpriced = IntegerField()  # calls without a price
    unpriced_tokens = IntegerField()
    estimated = IntegerField()  # calls whose price is an estimate

    class Meta:
        primary_key = CompositeKey("heading", "name", "provider", "archived")


class TelemetryEvent(_Usage):
    """One OTLP record that a client sent us; never holds a prompt, argument or output."""

    key = BlobField(unique=True)  # the same record delivered again has the same key
    name = TextField()  # codex.sse_event, claude_code.api_request, …
    kind = TextField(null=True)  # SSE event kind, endpoint, startup phase or who decided
    provider = TextField()  # codex claude
    session_id = TextField(null=True)  # the provider's id: Session.key
    at = IntegerField()
    service = TextField(null=True)
    version = TextField(null=True)
    model = TextField(null=True)
    user = TextField(null=True)
    terminal = TextField(null=True)
    tool = TextField(null=True)
    call_id = TextField(null=True)  # of a tool call; unique only inside its session
    decision = TextField(null=True)
    success = BooleanField(null=True)
    status = IntegerField(null=True)  # HTTP
    duration_ms = IntegerField(null=True)
    count = IntegerField(default=1)  # more than one: a run of delta events, folded
    attributes = TextField()  # JSON, allow-listed
    ending = TextField(null=True)  # how a model request went: refused failed cut done (a retry)
    # Its tool worked, and what it ran failed (FailedRun).
    failed = BooleanField(default=False, constraints=[SQL("DEFAULT 0")])

    class Meta:
        indexes = (
            (("at",), False),
            (("name", "at"), False),
            (("session_id", "at"), False),
        )


TelemetryEvent.add_index(
    TelemetryEvent.provider, TelemetryEvent.at, where=TelemetryEvent.ending.is_null(False)
)
TelemetryEvent.add_index(
    TelemetryEvent.call_id, TelemetryEvent.session_id, where=TelemetryEvent.call_id.is_null(False)
)


class TelemetryUsage(_Usage):
    """What a telemetry event says of one model response's tokens."""

    key = BlobField(primary_key=True)  # TelemetryEvent.key
    provider = TextField()
    session_id = TextField(null=True)
    at = IntegerField(index=True)
    model = TextField(null=True)
    user = TextField(null=True)
    input = IntegerField()
    cached = IntegerField()
    cache_written = IntegerField()
    output = IntegerField()
    reasoning = IntegerField()
    ttft_ms = IntegerField(null=True)
    call = TextField(null=True, index=True)  # Call; None: the ledger has no such response


# Whatever a panel asks of the responses that nobody else saw, without looking at the others.
TelemetryUsage.add_index(
    TelemetryUsage.provider, TelemetryUsage.at, TelemetryUsage.session_id, TelemetryUsage.model,
    TelemetryUsage.user, TelemetryUsage.input, TelemetryUsage.cached, TelemetryUsage.output,
    where=TelemetryUsage.call.is_null(), name="telemetry_usage_alone",
)  # fmt: skip


class TelemetrySession(_Usage):
    """A conversation that telemetry saw, and what kind it was taken for."""

    session_id = TextField(primary_key=True)
    provider = TextField()
    kind = TextField(default="user")  # user helper
    prompts = IntegerField(default=0)
    prompt_length = IntegerField(null=True)  # of its first prompt
    sandbox = TextField(null=True)
    first_at = IntegerField(index=True)
    last_at = IntegerField()


class TelemetryCount(_Usage):
    """How many batches, records and drops there were on a day (UTC), by kind and name."""

    day = TextField()
    kind = TextField()  # batches records stored repeated dropped version signal
    name = TextField()
    count = IntegerField()
    last_at = IntegerField()

    class Meta:
        primary_key = CompositeKey("kind", "name", "day")


class FactFile(_Usage):
    """How far a log has been read for facts, which is never further than the ledger has read."""

    source = IntegerField(primary_key=True)  # SourceFile
    name = TextField()  # the file's provider and name: a number may be another file's later
    offset = IntegerField()
    fingerprint = TextField()
    state = TextField()  # the fold's JSON state


class FactCall(_Usage):
    """A stretch of a log that ends with a call; what happened in it belongs to that call."""

    source = IntegerField()  # SourceFile
    number = IntegerField()  # how many calls lie before it in the file
    offset = IntegerField()  # byte offset of the call's line
    at = IntegerField()
    call = TextField(null=True)  # Call; None: the ledger has no such call (a copied head)

    class Meta:
        primary_key = CompositeKey("source", "number")


class Fact(_Usage):
    """A counted, privacy-safe event in a call's stretch; the names are words of programs."""

    source = IntegerField()
    number = IntegerField()  # FactCall
    type = TextField()  # tool function command_family activity mcp_tool skill loop …
    name = TextField()
    category = TextField()
    count = IntegerField()
    first_at = IntegerField()
    last_at = IntegerField()

    class Meta:
        primary_key = CompositeKey("source", "number", "type", "name")
        indexes = ((("type", "name"), False),)


class ToolRun(_Usage):
    """One call of a tool; a shell command's further git steps are rows of their own."""

    source = IntegerField()
    offset = IntegerField()  # byte offset of the line that asked for it
    part = IntegerField()  # 0; more for the further git steps of one command line
    number = IntegerField()  # FactCall
    function = TextField()
    root = TextField(null=True)  # the program of a shell command; never an argument
    child = TextField(null=True)  # its subcommand
    operation = TextField(null=True)  # of git and gh
    told = BooleanField(default=True)  # whether the output belongs to this row
    outputs = IntegerField(default=0)
    tokens = IntegerField(null=True)  # of the output, as the client counted them
    missing = TextField(null=True)  # why not: string_no_header non_string_output no_token_count

    class Meta:
        primary_key = CompositeKey("source", "offset", "part")
        indexes = ((("root", "child"), False), (("source", "number"), False))


class FileRead(_Usage):
    """A file that a tool read; its base name and a short hash of its path."""

    source = IntegerField()
    offset = IntegerField()  # of its ToolRun
    path = TextField()  # 12 hex digits
    part = IntegerField()
    number = IntegerField()  # FactCall
    label = TextField()
    reader = TextField()
    tokens = IntegerField(null=True)  # this file's share of the output

    class Meta:
        primary_key = CompositeKey("source", "offset", "path")
        indexes = ((("path",), False), (("source", "number"), False))


class FileChange(_Usage):
    """A file that a tool changed; its base name and a short hash of its path."""

    source = IntegerField()
    offset = IntegerField()  # of the patch's line
    path = TextField()
    number = IntegerField()  # FactCall
    label = TextField()
    extension = TextField()

    class Meta:
        primary_key = CompositeKey("source", "offset", "path")
        indexes = ((("path",), False), (("source", "number"), False))


class FailedRun(_Usage):
    """A tool call whose command or patch failed, as the log tells; telemetry says it went well."""

    source = IntegerField()
    offset = IntegerField()  # of the line that tells it
    key = IntegerField(index=True)  # of its conversation and call id (ingest/failed.py)
    since = IntegerField()  # when it was asked for
    at = IntegerField()

    class Meta:
        primary_key = CompositeKey("source", "offset", "key")


class FactTouched(_Usage):
    """A log whose facts changed since they were summed up."""

    source = IntegerField(primary_key=True)


class FactDay(_Usage):
    """A rollup: a log's calls of one local day that have facts, by what can be filtered by."""

    source = IntegerField()  # SourceFile
    session = IntegerField()  # Session; 0 for none
    day = IntegerField()  # date.toordinal(), of the zone in the settings
    model = TextField()
    effort = TextField()
    account = TextField()
    provider = TextField()
    calls = IntegerField()
    shells = IntegerField()  # command lines with a step of git or gh
    patches = IntegerField()  # edits of one file or more

    class Meta:
        indexes = (
            (("source", "session", "day", "model", "effort", "account", "provider"), True),
            (("day",), False),
        )


class DayFact(_Usage):
    """A rollup: one fact of a day's calls; without a name, each call once for its type."""

    day = IntegerField(index=True)  # FactDay
    type = TextField()
    name = TextField()
    category = TextField()
    count = IntegerField()
    calls = IntegerField()
    input = IntegerField()
    cached = IntegerField()
    output = IntegerField()
    reasoning = IntegerField()
    latest = IntegerField()
    ratios = FloatField()  # the cached shares of the calls that have one, added up
    rated = IntegerField()  # how many these are
    largest = IntegerField()  # tokens of the largest call, and below them its row

    class Meta:
        primary_key = False


class DayRun(_Usage):
    """A rollup: a day's tool runs by everything that a section tells them apart by."""

    day = IntegerField(index=True)  # FactDay
    function = TextField()
    root = TextField(null=True)
    child = TextField(null=True)
    operation = TextField(null=True)
    missing = TextField(null=True)
    first = BooleanField()  # no further git step of a command line
    count = IntegerField()
    outputs = IntegerField()
    counted = IntegerField()
    uncounted = IntegerField()
    tokens = IntegerField(null=True)

    class Meta:
        primary_key = False


class DayRead(_Usage):
    """A rollup: a day's readings of one file by one reader."""

    day = IntegerField(index=True)  # FactDay
    path = TextField()
    reader = TextField()
    label = TextField()
    events = IntegerField()
    counted = IntegerField()
    tokens = IntegerField(null=True)
    productive = IntegerField()  # readings of a file that the log changes further on

    class Meta:
        primary_key = False


class DayChange(_Usage):
    """A rollup: a day's changes of one file."""

    day = IntegerField(index=True)  # FactDay
    path = TextField()
    extension = TextField()
    label = TextField()
    count = IntegerField()
    latest = IntegerField()

    class Meta:
        primary_key = False


class DayTop(_Usage):
    """A rollup: the largest readings and edits of a day, single ones."""

    day = IntegerField(index=True)  # FactDay
    kind = TextField()  # read change
    size = IntegerField()  # tokens of the output, or files
    label = TextField()
    reader = TextField(null=True)
    paths = IntegerField()
    call = TextField()
    at = IntegerField()

    class Meta:
        primary_key = False


class DiagnosticSnapshot(_Usage):
    """A section of the diagnostics as it was computed last."""

    section = TextField()
    scope = TextField()  # active all
    computed_at = IntegerField()
    body = TextField()  # JSON

    class Meta:
        primary_key = CompositeKey("section", "scope")


class TelemetrySlice(_Usage):
    """A rollup: what the telemetry of a quarter of an hour adds up to under one heading."""

    provider = TextField()
    heading = TextField()  # usage (by model) · model tool decision success (records) ·
    #                        tool_succeeded tool_failed tool_ended user_decision configured_decision
    quarter = IntegerField()  # in 15 minutes since 1970
    name = TextField()
    count = IntegerField()
    input = IntegerField()  # tokens, of usage
    cached = IntegerField()
    output = IntegerField()

    class Meta:
        primary_key = CompositeKey("provider", "heading", "quarter", "name")


class TelemetryTalk(_Usage):
    """A rollup: one conversation's quarter of an hour, by user and terminal ("" unknown)."""

    session_id = TextField()  # "" for events without one
    quarter = IntegerField()
    user = TextField()
    terminal = TextField()
    provider = TextField()
    prompts = IntegerField()
    calls = IntegerField()  # tool calls first heard of in it
    timed = IntegerField()  # tool calls that first had a duration in it
    duration = IntegerField()  # ms of all its events
    results = IntegerField()  # tool calls that ended
    tool_ms = IntegerField()

    class Meta:
        primary_key = CompositeKey("session_id", "quarter", "user", "terminal")
        indexes = ((("provider", "quarter"), False),)


class TelemetryHistogram(_Usage):
    """A rollup: how often each duration came in a quarter of an hour, an hour, a day (UTC)."""

    provider = TextField()
    series = TextField()  # all request, and “tool ” with the tool's name
    unit = IntegerField()  # of how many quarters
    quarter = IntegerField()  # its first
    counts = BlobField()  # usage/histogram.py

    class Meta:
        primary_key = CompositeKey("provider", "series", "unit", "quarter")


# Calls that more than their log has seen (those of a first scan are not in it).
Call.add_index(Call.provider, Call.started_at, Call.seen, where=Call.seen != 1, name="call_seen")

SECRET_TABLES = [Credential, AccountCopy, Secret, Login]
USAGE_TABLES = [
    Account,
    RemovedAccount,
    Snapshot,
    AllowanceNow,
    StickySession,
    ApiKey,
    KeyLimit,
    RequestLog,
    Setting,
    SourceFile,
    ToldTwice,
    ToldAgain,
    ToldLoosely,
    Session,
    Project,
    Thread,
    Call,
    LedgerNote,
    DailyUsage,
    Slice,
    Stretch,
    ArchivedSession,
    Unsummed,
    UnsummedThread,
    ArchivedUsage,
    ThreadUsage,
    SessionUsage,
    SessionName,
    CallBefore,
    QuarterUsage,
    DaySessions,
    HeadingUsage,
    TelemetryEvent,
    TelemetryUsage,
    TelemetrySession,
    TelemetryCount,
    TelemetrySlice,
    TelemetryTalk,
    TelemetryHistogram,
    FactFile,
    FactCall,
    Fact,
    ToolRun,
    FileRead,
    FileChange,
    FailedRun,
    FactTouched,
    FactDay,
    DayFact,
    DayRun,
    DayRead,
    DayChange,
    DayTop,
    DiagnosticSnapshot,
]
