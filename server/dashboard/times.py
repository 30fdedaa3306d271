"""Times as the dashboard's JSON writes them."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(at: int | None) -> str | None:
    """Milliseconds UTC as ISO-8601 with `Z`; None stays None."""
    if at is None:
        return None
    moment = datetime.fromtimestamp(at / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse(text: str) -> int:
    """Milliseconds UTC of an ISO-8601 time; one without a zone is UTC. Raises `ValueError`."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)
