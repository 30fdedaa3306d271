"""Whole lines of a log file, in pieces that fit in memory, folded into batches of rows."""

from __future__ import annotations

import io
import os
import stat
import time

from server.ingest import claude, codex
from server.ingest.lines import BOM, MAX_NUMBER
from server.lazy import field, record
from server.usage.days import QUARTER, Days
from server.usage.pricing import costs, tariff

TYPE_CHECKING = False  # not imported from `typing`: see server/lazy.py
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, BinaryIO

    from server.ingest.crew import Crew

    Row = tuple[Any, ...]

MAX_LINE = 16 << 20
CUT_OFF = "cut_off"  # the packed log ends before its end
_PIECE = 1 << 20
_EARLIEST = 1_577_836_800_000  # 2020: nothing that we read is older than its program
_NO_RATES = (-1, -1, -1, -1, -1)
_DAY_MS = 86_400_000

# A row as it leaves the reader is a call's own columns (see `Ledger.store`).
COLUMNS = (
    "id, turn_id, model, effort, initiator, started_at, duration_ms, input, cached, "
    "cache_written, output, reasoning, running, context_window, offset, cost, credits, price_status"
)
# Claude's calls say more, after their place and so at the end of a row; so do Codex' calls with a
# service tier. All rows of a batch are as long.
CLAUDE_COLUMNS = "cache_written_1h, tier"
_COUNT = COLUMNS.count(",") + 1
_NO_MORE = (0, None)
_OWN = 15  # columns of a call before its price
# How rows travel: as the table `call` has them, of the session and the source that a new database
# gives the job they come from. Where both tables are alike and the other has no index, SQLite
# copies rows as they lie, in a tenth of the time.
TABLE = (
    'CREATE TABLE "row" ("id" TEXT NOT NULL, "provider" TEXT NOT NULL, "session" INTEGER, '
    '"turn_id" TEXT, "model" TEXT, "effort" TEXT, "tier" TEXT, "initiator" TEXT NOT NULL, '
    '"started_at" INTEGER NOT NULL, "duration_ms" INTEGER, "input" INTEGER NOT NULL, '
    '"cached" INTEGER NOT NULL, "cache_written" INTEGER NOT NULL, '
    '"cache_written_1h" INTEGER NOT NULL DEFAULT 0, "output" INTEGER NOT NULL, '
    '"reasoning" INTEGER NOT NULL, "running" INTEGER, "context_window" INTEGER, "cost" INTEGER, '
    '"credits" INTEGER, "price_status" TEXT NOT NULL, "source" INTEGER, "offset" INTEGER, '
    '"account" TEXT, "seen" INTEGER NOT NULL)'
)
FIRST = 1  # the session and the source of the job 0 in a new database
SUMS = 7  # calls input cached output reasoning cost unpriced


@record
class Batch:
    """What a stretch of a file said, and where to go on."""

    rows: list[Row] = field(default_factory=list)
    compactions: list[str] = field(default_factory=list)
    limits: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    warnings: dict[str, int] = field(default_factory=dict)
    days: dict[tuple[str, str], list[int]] = field(default_factory=dict)  # (day, model) → sums
    state: dict[str, Any] = field(default_factory=dict)
    offset: int = 0
    read: int = 0  # bytes
    last: int | None = None  # when the last call was
    more: bool = False  # the file goes on
    held: Held | None = None  # the calls, where they are no rows yet
    # Where the lines of calls begin that are told no time that can be.
    guessed: list[int] = field(default_factory=list)

    def take_rows(self) -> None:
        """Have the calls as rows."""
        held, self.held = self.held, None
        if held is not None:
            self.days = {}
            held.add_to(self)

    def plain(self) -> tuple[Any, ...]:
        """As plain values, for the way between processes."""
        return tuple(vars(self).values())


@record
class Held:
    """Calls of a whole file that lie in a crew, priced: those from `first` on."""

    crew: Crew
    place: int  # in the crew's list
    number: int  # of the job
    names: tuple[str, str]  # of `codex.named`
    count: int
    path: str
    first: int = 0
    new: int = 0  # calls that no other log told as well, once they are priced

    def __len__(self) -> int:
        return max(0, self.count - self.first)

    def __bool__(self) -> bool:
        return True

    def emitted(self) -> list[tuple[int, tuple[Any, ...], int]]:
        """As `forks.emissions`."""
        found: list[tuple[int, tuple[Any, ...], int]]
        found = codex.usual.emitted(self.crew.crew, self.place, self.first)
        return found

    def cut(self, batch: Batch, count: int) -> None:
        """Take the first calls out of a batch that these are held of."""
        self.first += count
        self.crew.priced(batch, self)

    def add_to(self, batch: Batch) -> None:
        """Add these calls as rows, and forget them here."""
        calls = codex.usual.calls(self.crew.crew, self.place, *self.names)
        add_up(batch, codex.Records(calls=calls[self.first :]), self.crew.days, self.path)

    def forget(self) -> None:
        """Let go of the calls, which are stored."""
        codex.usual.forget(self.crew.crew, self.place)


def table(held: Sequence[tuple[Held, int]]) -> bytes:
    """Calls as a database with the table `row` (`TABLE`), of each the first so many left out.

    Raises `ValueError` for what does not fit, because a text in it is too long.
    """
    files = [(one.place, one.first + head, one.number + FIRST, *one.names) for one, head in held]
    made: bytes = codex.usual.pages(TABLE, held[0][0].crew.crew, files)
    return made


class Changed(OSError):
    """The file is no longer what it was when the read began."""


def packed(path: str) -> bool:
    """Whether a log is compressed, by its name."""
    return path[-4:].lower() == ".zst"


def open_log(path: str) -> BinaryIO:
    """The bytes of a log, uncompressed. Raises `OSError` for what is no regular file."""
    # Without O_NONBLOCK, opening a FIFO waits for a writer for ever.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(f"{os.path.basename(path)} is not a regular file")
    file = io.FileIO(handle, "rb")  # quicker than `open`, which looks at it again
    if not packed(path):
        return file
    import zstandard

    # Bounded, so that a bomb cannot ask for all memory.
    reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
        file, read_across_frames=True, closefd=True
    )
    return _Unpacked(reader)  # type: ignore[return-value]


class _Unpacked(io.RawIOBase):
    """A zstd stream that can skip forward; damage ends it like an end of file."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def readinto(self, buffer: Any) -> int:
        from zstandard import ZstdError

        try:
            return int(self._reader.readinto(buffer))
        except ZstdError as error:
            raise OSError(f"the compressed log is damaged: {error}") from error

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self._reader.close()
        super().close()


def cut_off(path: str) -> bool:
    """Whether a packed log ends before its end, as after a copy that broke off.

    Unpacking it does not say so: it ends like one that is whole. The blocks of each frame are
    stepped over here, three bytes of each are read. Raises `OSError`.
    """
    if not packed(path):
        return False
    with open(path, "rb") as file:  # noqa: PTH123 - a scan loads no `pathlib` for it
        size = file.seek(0, os.SEEK_END)
        place = 0
        while 0 <= place < size:
            file.seek(place)
            place = _after_frame(file, place, size)
    return place != size


def _after_frame(file: BinaryIO, place: int, size: int) -> int:
    """Where a zstd frame ends; -1 when the file ends before."""
    from zstandard import ZstdError, frame_header_size, get_frame_parameters

    head = file.read(18)
    if head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5:  # to be skipped
        return place + 8 + int.from_bytes(head[4:8], "little") if len(head) >= 8 else -1
    try:
        sealed = get_frame_parameters(head).has_checksum
        place += frame_header_size(head)
    except ZstdError:
        return -1
    last = False
    while not last:
        file.seek(place)
        block = file.read(3)
        if len(block) < 3:
            return -1
        told = int.from_bytes(block, "little")
        last = bool(told & 1)
        repeated = told >> 1 & 3 == 1  # one byte stands for all of them
        place += 3 + (1 if repeated else told >> 3)
    place += 4 if sealed else 0
    return place if place <= size else -1


# Buffers to use again: fresh memory costs as much as reading into it.
_spare: list[bytearray] = []


def _take(size: int) -> bytearray:
    buffer = _spare.pop() if _spare else b""
    return buffer if isinstance(buffer, bytearray) and len(buffer) == size else bytearray(size)


def _give_back(buffer: bytearray) -> None:
    if len(buffer) <= _PIECE and len(_spare) < 4:
        _spare.append(buffer)


def pieces(file: BinaryIO, offset: int, size: int = _PIECE) -> Iterator[tuple[memoryview, int]]:
    """Whole lines from `offset` on, as (bytes, where they begin); what is torn stays unread.

    A line longer than `MAX_LINE` comes as an empty piece that begins after it; a file's byte order
    mark belongs to no line.
    """
    buffer = _take(size)
    start, filled = offset, 0
    while True:
        got = file.readinto(memoryview(buffer)[filled:])  # type: ignore[attr-defined]
        if not got:
            _give_back(buffer)
            return
        filled += got
        end = buffer.rfind(b"\n", 0, filled) + 1
        if end:
            mark = len(BOM) if not start and buffer.startswith(BOM) else 0
            yield memoryview(buffer)[mark:end], start + mark
            # The same buffer again: whoever asked for the piece is done with it.
            rest = buffer[end:filled]
            buffer[: len(rest)] = rest
            start, filled = start + end, len(rest)
        elif filled >= MAX_LINE:
            skipped = _skip_line(file, buffer)
            if skipped is None:
                return
            start += filled + skipped[0]
            yield memoryview(b""), start
            end = skipped[1].rfind(b"\n") + 1
            if end:
                yield memoryview(skipped[1])[:end], start
            rest = bytearray(skipped[1][end:])
            start, filled = start + end, len(rest)
            buffer = bytearray(max(size, filled * 2))
            buffer[:filled] = rest
        elif filled == len(buffer):
            buffer = buffer + bytearray(len(buffer))


def _skip_line(file: BinaryIO, buffer: bytearray) -> tuple[int, bytes] | None:
    """Read to the end of an endless line: bytes passed and what follows; None if it is torn."""
    passed = 0
    view = memoryview(bytearray(_PIECE))
    while True:
        got = file.readinto(view)  # type: ignore[attr-defined]
        if not got:
            return None
        part = bytes(view[:got])
        end = part.find(b"\n") + 1
        if end:
            return passed + end, part[end:]
        passed += got


def read(
    path: str, offset: int, state: dict[str, Any], days: Days, limit: int | None
) -> Iterator[Batch]:
    """Fold a log from `offset` on, in batches of about `limit` calls (None: one batch).

    The state says whose log it is: Claude's has a `project` of its own; its owner is whom the
    file's name tells, until a head says more (`codex.whose`). The last batch may hold no rows; it
    says how far the file was read.
    """
    parser: Any = claude if state.get("claude") else codex
    bounds = [(_EARLIEST, _latest())] if parser is claude else []
    now = parser.State.load(state)
    named = None if state.get("claude") or offset or now.meta else now.owner
    batch = Batch(offset=offset)
    size = _PIECE if limit is None else _PIECE // 4
    with open_log(path) as file:
        _skip_to(file, offset)
        for data, start in pieces(file, offset, size):
            if not len(data):
                batch.warnings["too_long"] = batch.warnings.get("too_long", 0) + 1
            records, now = parser.fold(data, start, now, *bounds)
            if named and now.meta:
                if now.owner != named and (begun := _whose(path, named)):
                    yield from read(path, 0, begun.dump(), days, limit)
                    return
                named = None
            add_up(batch, records, days, path)
            now.meta = dated(now.meta)
            batch.read += start + len(data) - batch.offset
            batch.offset = start + len(data)
            if limit is not None and len(batch.rows) >= limit:
                level(batch)
                batch.state, batch.more = now.dump(), True
                yield batch
                batch, named = Batch(offset=batch.offset), None
    batch.state = now.dump()
    if cut_off(path):
        batch.warnings[CUT_OFF] = 1
    level(batch)
    yield batch


def level(batch: Batch) -> None:
    """Let all rows be as long, where some tell of a tier."""
    if batch.rows and min(map(len, batch.rows)) < max(map(len, batch.rows)):
        batch.rows = [widened(row) for row in batch.rows]


def widened(row: Row) -> Row:
    """A row with the columns that not all have."""
    return (*row, *_NO_MORE[len(row) - _COUNT :])


def _whose(path: str, name: str) -> codex.State | None:
    with open_log(path) as file:
        return codex.whose((data for data, _ in pieces(file, 0)), name)


def speaks_of(path: str, offset: int, thread: str) -> bool:
    """Whether a thread is named in a log behind `offset`. Raises `OSError`."""
    word = f'"{thread}"'.encode()
    with open_log(path) as file:
        _skip_to(file, offset)
        return any(word in bytes(data) for data, _ in pieces(file, offset))


def _skip_to(file: BinaryIO, offset: int) -> None:
    if not isinstance(file, _Unpacked):
        file.seek(offset)
        return
    left = offset
    buffer = memoryview(bytearray(1 << 16))
    while left:
        got = file.readinto(buffer[: min(left, len(buffer))])
        if not got:
            raise Changed("the compressed log is shorter than what was read")
        left -= got


def _latest() -> int:
    """The first moment that no line can have been written at: clocks differ, but by no day."""
    return time.time_ns() // 1_000_000 + _DAY_MS


def _possible(at: int | None) -> int | None:
    """A time, unless it is long before any log or in the future."""
    return at if at is not None and _EARLIEST <= at < _latest() else None


def dated(meta: dict[str, Any] | None) -> dict[str, Any] | None:
    """A session's facts; a start in the future would make every call a copy of an older one's."""
    if meta is None:
        return None
    written = _possible(meta["written"])
    return {**meta, "written": written, "started": _possible(meta["started"]) or written}


def mended(call: Row, batch: Batch, path: str) -> Row:
    """A call whose parts are no larger than their whole, at a time that can be; the batch counts
    what had to be mended.
    """  # noqa: D205
    warnings = batch.warnings
    at, first, cached, written, output, reasoning = call[5], *call[7:12]
    cached = min(cached, first)
    figures = first, cached, min(written, first - cached), output, min(reasoning, output)
    more = call[_OWN:] and (min(call[_OWN], figures[2]), *call[_OWN + 1 :])
    if figures != call[7:12] or more != call[_OWN:]:
        warnings["mended_number"] = warnings.get("mended_number", 0) + 1
    if _possible(at) is None:
        # The tokens were used all the same: when the file was last written is the nearest guess.
        warnings["mended_time"] = warnings.get("mended_time", 0) + 1
        batch.guessed.append(call[14])
        at = _possible(os.stat(path).st_mtime_ns // 1_000_000) or time.time_ns() // 1_000_000
    return (*call[:5], at, call[6], *figures, *call[12:_OWN], *more)


def add_up(batch: Batch, records: codex.Records, days: Days, path: str) -> None:
    """Price the calls of some lines and add them up by day and model."""
    if records.calls:
        _add_calls(batch, records.calls, days, path)
    batch.compactions += records.compactions
    if records.limits:
        batch.limits += [one for one in records.limits if _possible(one[0])]
    for kind, count in records.warnings.items():
        batch.warnings[kind] = batch.warnings.get(kind, 0) + count
    if records.decoded:
        batch.warnings["unusual_shape"] = batch.warnings.get("unusual_shape", 0) + records.decoded


def _add_calls(batch: Batch, calls: list[codex.Call], days: Days, path: str) -> None:
    begun = len(batch.rows)
    if codex.usual is None or len(calls[0]) > _OWN:
        _add_exactly(batch, calls, days, path)
    else:
        place = 0
        while place < len(calls):
            place = _add_run(batch, calls, place, days, path)
    # The last line may repeat a response that began before another.
    newest = max(row[5] for row in batch.rows[begun:])
    batch.last = newest if batch.last is None else max(batch.last, newest)


def _add_run(batch: Batch, calls: list[codex.Call], place: int, days: Days, path: str) -> int:
    """Price the next calls that cost by the same rates; returns the first that does not."""
    model, at = calls[place][2:6:3]
    status, told = rates_of(model, at)
    after, quarters = codex.usual.price(calls, place, batch.rows, model, status, told)
    if after == place:  # this call is not as it should be
        _add_exactly(batch, calls[place : place + 1], days, path)
        return place + 1
    for quarter, *sums in quarters:
        total = batch.days.setdefault((days.of(quarter * QUARTER), model or ""), [0] * SUMS)
        for number, value in enumerate(sums):
            total[number] += value
        if told[0] == _NO_RATES:
            total[6] += sums[0]
    return after


def rates_of(model: str | None, at: int) -> tuple[str, tuple[Any, ...]]:
    """What the compiled part has to know of a model's price at a time."""
    since, until, rates, credit, longest = tariff(model, at)
    normal = rates.normal if rates else _NO_RATES
    long = rates.long if rates and rates.long else normal
    return rates.status if rates else "unpriced", (
        normal, long, credit or _NO_RATES,
        int(min(longest, MAX_NUMBER)), max(since, _EARLIEST), int(min(until, _latest())),
    )  # fmt: skip


def _add_exactly(batch: Batch, calls: Sequence[codex.Call], days: Days, path: str) -> None:
    earliest, latest = _EARLIEST, _latest()
    add, sums = batch.rows.append, batch.days
    total: list[int] = []
    known: Any = -1, None  # the quarter and the model that `total` is for
    rates = _Sums()
    for call in calls:
        model, at, first, cached, written, output = *call[2:6:3], *call[7:11]
        fresh = first - cached - written
        if fresh < 0 or call[11] > output or not earliest <= at < latest or call[_OWN:]:
            call = mended(call, batch, path)  # noqa: PLW2901
            at, first, cached, written, output = call[5], *call[7:11]
        price = rates.of(call)
        cost = price[0]
        add((*call[:_OWN], *price, *call[_OWN:]))
        if known != (at // QUARTER, model):
            known = at // QUARTER, model
            total = sums.setdefault((days.of(at), model or ""), [0] * SUMS)
        total[0] += 1
        total[1] += first
        total[2] += cached
        total[3] += output
        total[4] += call[11]
        if cost is None:
            total[6] += 1
        else:
            total[5] += cost


class _Sums:
    """The sums of `pricing`, which is too far away for each of a million calls."""

    def __init__(self) -> None:
        self._model: str | None = ""  # that and the time that `_rates` are for
        self._since, self._until, self._longest = 0, 0.0, 0.0
        self._rates: Any = None
        self._credit: Any = None

    def of(self, call: Row) -> tuple[int | None, int | None, str]:
        """What a call costs: (cost, credits, status)."""
        model, at, first, cached, written, output = *call[2:6:3], *call[7:11]
        if model != self._model or not self._since <= at < self._until:
            self._model = model
            self._since, self._until, self._rates, self._credit, self._longest = tariff(model, at)
        hour, tier = call[_OWN:] or (0, None)
        rates, credit = self._rates, self._credit
        if rates is None or credit is None or hour or tier:
            return costs(model, tier, at, (first, cached, output, call[11], written, hour))
        fresh = first - cached - written
        a, b, c, d, _ = (rates.long if first > self._longest else None) or rates.normal
        cost = (fresh * a + cached * b + written * c + output * d + 500) // 1000
        a, b, c, d, _ = credit
        credits = (fresh * a + cached * b + written * c + output * d + 500) // 1000
        return cost, credits, rates.status
