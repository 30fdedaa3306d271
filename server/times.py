"""Times as JSON writes them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

_LONGEST = 253_402_300_799_999  # the last millisecond of the year 9999


def iso(at: int | None) -> str | None:
    """Milliseconds UTC as ISO-8601 with `Z`; None stays None."""
    if at is None:
        return None
    moment = datetime.fromtimestamp(min(max(at, 0), _LONGEST) / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse(text: str) -> int:
    """Milliseconds UTC of an ISO-8601 time; one without a zone is UTC. Raises `ValueError`."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)
