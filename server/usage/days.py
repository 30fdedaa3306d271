"""Which local day a moment belongs to."""

from __future__ import annotations

import time as clock

from server.errors import Unprocessable
from server.lazy import UTC, date, datetime, time, timedelta, tzinfo

# No zone changes its offset within a quarter of an hour that starts on the quarter.
QUARTER = 900_000
_DAY = 25 * 4  # quarters of the longest day
_LONGEST = 32_503_680_000_000  # the year 3000


class Days:
    """Local days of a zone; an empty name is this computer's zone."""

    def __init__(self, zone: str = "") -> None:
        self.zone = zone
        self._zone: tzinfo | None = _find(zone) if zone else None
        self._known: dict[int, str] = {}
        self._numbers: dict[int, int] = {}

    @property
    def mark(self) -> str:
        """What changes when the days become others: the zone, or what this computer says of its."""
        return self.zone or f"{'/'.join(clock.tzname)}/{clock.timezone}"

    def number(self, quarter: int) -> int:
        """The day of a quarter of an hour since 1970, as `date.toordinal` counts."""
        found = self._numbers.get(quarter)
        if found is None:
            if len(self._numbers) > 100_000:
                self._numbers.clear()
            day = self._local(quarter * QUARTER).date().toordinal()
            found = self._numbers[quarter] = day
        return found

    def begins(self, at: int | None) -> bool:
        """Whether a moment is the start of a day; so are the ends of all time."""
        return at is None or self.start(self._local(at).date()) == at

    def of(self, at: int) -> str:
        """The day (YYYY-MM-DD) of a time in ms."""
        quarter = at // QUARTER
        day = self._known.get(quarter)
        if day is None:
            if len(self._known) > 100_000:
                self._known.clear()
            # Without a zone it is that of this computer, whose offset nobody asks for here.
            moment = min(max(quarter * QUARTER, 0), _LONGEST) / 1000
            day = datetime.fromtimestamp(moment, self._zone).date().isoformat()
            self._known[quarter] = day
        return day

    def start(self, day: date) -> int:
        """The moment (ms) a day begins."""
        midnight = datetime.combine(day, time(), tzinfo=self._zone)
        return round(midnight.timestamp() * 1000)

    def hour(self, at: int) -> tuple[int, int]:
        """The weekday (Monday is 0) and the hour of a time in ms."""
        moment = self._local(at)
        return moment.weekday(), moment.hour

    def shifts(self, first: date, last: date) -> list[tuple[int, int, int]]:
        """The quarters of some days by their distance from UTC: `(from, until, quarters)`."""
        begin, end = (self.start(day) // QUARTER for day in (first, last + timedelta(days=1)))
        found, at, shift = [], begin, self._shift(begin)
        for day in range(first.toordinal() + 1, last.toordinal() + 2):
            place = self.start(date.fromordinal(day)) // QUARTER
            if (now := self._shift(place)) != shift:
                low, high = place - _DAY, place  # the hour changes in between
                while high - low > 1:
                    middle = (low + high) // 2
                    low, high = (middle, high) if self._shift(middle) == shift else (low, middle)
                found.append((at, high, shift))
                at, shift = high, now
        return [*found, (at, end, shift)]

    def _shift(self, quarter: int) -> int:
        away = self._local(quarter * QUARTER).utcoffset() or timedelta()
        return round(away.total_seconds() * 1000) // QUARTER

    def last(self, count: int, now: int) -> list[str]:
        """The `count` days that end with today, oldest first."""
        today = self._local(now).date()
        return [(today - timedelta(days=n)).isoformat() for n in range(count - 1, -1, -1)]

    def _local(self, at: int) -> datetime:
        moment = min(max(at, 0), _LONGEST) / 1000
        if self._zone is not None:
            return datetime.fromtimestamp(moment, self._zone)
        return datetime.fromtimestamp(moment, UTC).astimezone()


_last: list[Days] = []


def chosen() -> Days:
    """The days of the zone in the settings; one that this computer does not know is ours."""
    from server.store import settings  # here, so that other processes can do without a database

    zone = str(settings.get("timeZone") or "")
    if not _last or _last[0].zone != zone:
        _last[:] = [of_zone(zone)]
    return _last[0]


def of_zone(zone: str) -> Days:
    """The days of a zone; of this computer's where it does not know that one."""
    try:
        return Days(zone)
    except Unprocessable:
        days = Days("")
        days.zone = zone
        return days


def _find(zone: str) -> tzinfo:
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(zone)
    except (KeyError, ValueError, OSError) as error:
        raise Unprocessable(
            f"“{zone[:60]}” is not a time zone. Use a name such as Europe/Berlin or UTC."
        ) from error
