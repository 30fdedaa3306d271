"""How an allowance window is known: by its length, never by the slot it came in."""

from __future__ import annotations

PRIMARY, SECONDARY, MONTHLY = "primary", "secondary", "monthly"
STANDARD = (PRIMARY, SECONDARY, MONTHLY)
MINUTES = {PRIMARY: 300, SECONDARY: 10_080, MONTHLY: 43_200}


def classify(minutes: int | None, slot: str) -> str:
    """The key of a window of this length; the slot decides only when the length is unknown."""
    if minutes is None or minutes <= 0:
        return slot if slot in STANDARD else PRIMARY
    for key, length in MINUTES.items():
        # A month has 28 to 31 days; the other lengths were only ever seen exact.
        if abs(minutes - length) <= length * (0.07 if key == MONTHLY else 0.02):
            return key
    return f"{minutes}m"
