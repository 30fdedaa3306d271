"""The tray's icon: the headroom meter in small, or the percentage as a number.

Pure: a `Mark` comes in, a picture goes out. The shorter window stands over the longer one, each
bar filled with the percent left (or used, if the user likes that better), and a tick where an
even pace would be. A state is a shape as well as a colour, so that it can be told without colour.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import Image, ImageChops, ImageDraw


@dataclass(frozen=True)
class Bar:
    """One window in the icon: percent filled, where an even pace would be, and its level."""

    fill: float | None
    even: float | None = None
    level: str = "ok"


@dataclass(frozen=True)
class Mark:
    """What the icon says; two equal marks are one picture."""

    bars: tuple[Bar, ...] = field(default=(Bar(None), Bar(None)))
    state: str = "unknown"
    digits: str | None = None  # a whole percentage, shown instead of the upper bar


# The program's own icon: a good day.
EMBLEM = Mark((Bar(71, 56), Bar(48, 60)), "ok")


def whole(value: float, top: int) -> int:
    """`value` percent in steps of 100/top; only a true 0 is 0 and only a true 100 is full."""
    if value <= 0:
        return 0
    if value >= 100:
        return top
    return min(top - 1, max(1, round(value * top / 100)))


# Each has a contrast of at least 3:1 on white and on #131517, since a tray does not tell which
# of the two it is.
_INK = (122, 130, 138)
_COLOURS = {
    "ok": (24, 140, 157),
    "low": (186, 112, 8),
    "critical": (214, 66, 54),
    "spent": (214, 66, 54),
    "quiet": (122, 130, 138),
}
STATES = (
    "ok",
    "low",
    "critical",
    "spent",
    "paused",
    "unknown",
    "stale",
    "down",
    "sign_in_needed",
    "empty",
)
_QUIET = ("paused", "unknown", "down", "empty")
_OVERSAMPLE = 8


def draw(shown: Mark, size: int = 64) -> Image.Image:
    """The icon as a square RGBA picture that reads on light and on dark panels, 16 to 64 px."""
    pen = _Pen(size)
    as_number = shown.digits is not None and shown.state in _NUMBERED
    if as_number:
        _draw_number(pen, shown)
    else:
        bars = shown.bars[:2]
        for bar, place in zip(bars, _PLACES[len(bars)], strict=True):
            _draw_bar(pen, bar, place, shown.state)
    if shown.state == "stale":
        pen.dim(0.5)
    badge = None if as_number else _BADGES.get(shown.state)
    if badge:
        badge(pen)
    return pen.picture()


# In sixteenths: top and bottom of the bar, then of its tick, which stands out on one side.
_PLACES = {
    0: (),
    1: ((4, 12, 3, 13),),
    2: ((1, 8, 0, 8), (10, 15, 10, 16)),
}
# Beside a number these states have a sign of their own; the others hide it behind theirs.
_NUMBERED = ("ok", "low", "critical")

# Three cells wide and five high; a 1 needs one cell.
_GLYPHS = {
    "0": ("###", "# #", "# #", "# #", "###"),
    "1": ("#", "#", "#", "#", "#"),
    "2": ("###", "  #", "###", "#  ", "###"),
    "3": ("###", "  #", "###", "  #", "###"),
    "4": ("# #", "# #", "###", "  #", "  #"),
    "5": ("###", "#  ", "###", "  #", "###"),
    "6": ("###", "#  ", "###", "# #", "###"),
    "7": ("###", "  #", "  #", "  #", "  #"),
    "8": ("###", "# #", "###", "# #", "###"),
    "9": ("###", "# #", "###", "  #", "###"),
    "–": ("   ", "   ", "###", "   ", "   "),
}


def _draw_number(pen: _Pen, shown: Mark) -> None:
    """The number above, the longer window's bar as a line beneath it, then the state's sign."""
    colour = _COLOURS[shown.state]
    glyphs = [_GLYPHS[digit] for digit in shown.digits or "–"]
    cell, gap = pen.at(2), max(_OVERSAMPLE, pen.at(2 if len(glyphs) < 3 else 1))
    width = sum(len(glyph[0]) for glyph in glyphs) * cell + gap * (len(glyphs) - 1)
    x = max(0, (pen.at(16) - width) // 2 // _OVERSAMPLE * _OVERSAMPLE)
    for glyph in glyphs:
        for row, cells in enumerate(glyph):
            for column, cell_ink in enumerate(cells):
                if cell_ink == "#":
                    left, top = x + column * cell, row * cell
                    box = (left, top, left + cell - 1, top + cell - 1)
                    pen.draw.rectangle(box, (*colour, 255))
        x += len(glyph[0]) * cell + gap
    under = shown.bars[-1] if shown.bars else Bar(None)
    top, right, bottom = pen.at(12), pen.at(16 if shown.state == "ok" else 9), pen.at(16)
    pen.draw.rectangle((0, top, right - 1, bottom - 1), (*_INK, 110))
    if under.fill:
        level = under.level if under.level in _COLOURS else "ok"
        end = _length(under.fill, right)
        pen.draw.rectangle((0, top, end - 1, bottom - 1), (*_COLOURS[level], 255))
    _draw_sign(pen, shown.state)


def _draw_sign(pen: _Pen, state: str) -> None:
    """The same signs as beside bars, in small."""
    f = pen.free
    if state == "low":
        points = [(f(10), f(16)), (f(13), f(11)), (f(16), f(16))]
        pen.draw.polygon(points, (*_COLOURS[state], 255))
    elif state == "critical":
        pen.draw.ellipse((f(10.5), f(10.5), f(16) - 1, f(16) - 1), (*_COLOURS[state], 255))


class _Pen:
    """Draws in sixteenths of the picture; edges fall on whole pixels of the final size."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.image = Image.new("RGBA", (size * _OVERSAMPLE,) * 2, (0, 0, 0, 0))
        self.draw = ImageDraw.Draw(self.image)

    def at(self, sixteenths: float) -> int:
        """A place in sixteenths as a place on the oversampled canvas, on a final pixel's edge."""
        return round(sixteenths * self.size / 16) * _OVERSAMPLE

    def free(self, sixteenths: float) -> float:
        """A place that need not fall on a pixel's edge."""
        return sixteenths * self.size * _OVERSAMPLE / 16

    def dim(self, share: float) -> None:
        """Make everything drawn so far fainter."""
        self.image.putalpha(self.image.getchannel("A").point(lambda alpha: int(alpha * share)))
        self.draw = ImageDraw.Draw(self.image)

    def clear(self, shape: Callable[[ImageDraw.ImageDraw], None]) -> None:
        """Cut a shape out, so that what is drawn there next stands apart."""
        cut = Image.new("L", self.image.size, 255)
        shape(ImageDraw.Draw(cut))
        self.image.putalpha(ImageChops.multiply(self.image.getchannel("A"), cut))
        self.draw = ImageDraw.Draw(self.image)

    def picture(self) -> Image.Image:
        """The finished picture in its final size."""
        return self.image.resize((self.size, self.size), Image.Resampling.BOX)


def _draw_bar(pen: _Pen, bar: Bar, place: tuple[int, int, int, int], state: str) -> None:
    top, bottom, tick_top, tick_bottom = (pen.at(edge) for edge in place)
    right, line = pen.at(16), max(_OVERSAMPLE, pen.at(1))
    radius = pen.free(1.6)
    box = (0, top, right - 1, bottom - 1)
    if bar.fill is not None and bar.fill > 0:
        _fill(pen, bar, (line, top + line, right - line, bottom - line), state)
    pen.draw.rounded_rectangle(box, radius, outline=(*_INK, 255), width=line)
    if bar.fill is None and state in ("unknown", "ok", "low"):
        _dash(pen, top, bottom, line)
    if bar.even is not None and bar.fill is not None and state not in _QUIET:
        inner = right - 2 * line
        x = line + round(inner * bar.even / 100 / _OVERSAMPLE) * _OVERSAMPLE
        x = min(max(x, line), right - 2 * line)
        pen.clear(lambda cut: cut.rectangle((x, top + line, x + line - 1, bottom - line - 1), 0))
        beyond = x >= line + _length(bar.fill, inner)
        ends = (
            (tick_top, tick_bottom - 1) if beyond else _outside(top, bottom, tick_top, tick_bottom)
        )
        pen.draw.rectangle((x, ends[0], x + line - 1, ends[1]), (*_INK, 255))


def _outside(top: int, bottom: int, tick_top: int, tick_bottom: int) -> tuple[int, int]:
    # On the fill the tick is a gap; only its end beside the bar is drawn.
    return (tick_top, top) if tick_top < top else (bottom - 1, tick_bottom - 1)


def _length(left: float, inner: int) -> int:
    """Length of the fill in canvas pixels: more than nothing above 0, less than all below 100."""
    return whole(left, inner // _OVERSAMPLE) * _OVERSAMPLE


def _fill(pen: _Pen, bar: Bar, box: tuple[int, int, int, int], state: str) -> None:
    x0, y0, x1, y1 = box
    colour = _COLOURS["quiet" if state in _QUIET else bar.level if bar.level in _COLOURS else "ok"]
    end = x0 + _length(bar.fill or 0, x1 - x0)
    pen.draw.rectangle((x0, y0, end - 1, y1 - 1), (*colour, 255))
    if state == "paused":
        pen.clear(lambda cut: _hatch(cut, pen, box))


def _hatch(cut: ImageDraw.ImageDraw, pen: _Pen, box: tuple[int, int, int, int]) -> None:
    x0, y0, x1, y1 = box
    step, width, height = pen.free(3), pen.free(1.4), y1 - y0
    x = x0 - height
    while x < x1:
        cut.polygon([(x, y1), (x + width, y1), (x + width + height, y0), (x + height, y0)], 0)
        x += step  # type: ignore[assignment]


def _dash(pen: _Pen, top: int, bottom: int, line: int) -> None:
    middle = (top + bottom) // 2 // _OVERSAMPLE * _OVERSAMPLE
    pen.draw.rectangle((pen.at(5), middle, pen.at(11) - 1, middle + line - 1), (*_INK, 255))


def _badge_low(pen: _Pen) -> None:
    f = pen.free
    pen.clear(lambda cut: cut.polygon([(f(5.6), f(16)), (f(11.5), f(4.6)), (f(17.4), f(16))], 0))
    points = [(f(7.4), f(16)), (f(11.5), f(7.6)), (f(16), f(16))]
    pen.draw.polygon(points, (*_COLOURS["low"], 255))


def _disc(pen: _Pen, colour: str) -> None:
    f = pen.free
    pen.clear(lambda cut: cut.ellipse((f(6.4), f(6.4), f(17.6), f(17.6)), 0))
    pen.draw.ellipse((f(7.6), f(7.6), f(16) - 1, f(16) - 1), (*_COLOURS[colour], 255))


def _badge_spent(pen: _Pen) -> None:
    _disc(pen, "spent")
    pen.clear(lambda cut: cut.rectangle((pen.at(9), pen.at(10), pen.at(15) - 1, pen.at(13) - 1), 0))


def _badge_paused(pen: _Pen) -> None:
    at = pen.at
    pen.clear(lambda cut: cut.rectangle((at(8), at(6), at(16), at(16)), 0))
    for x in (9, 13):
        pen.draw.rectangle((at(x), at(7), at(x + 3) - 1, at(16) - 1), (*_INK, 255))


def _badge_stale(pen: _Pen) -> None:
    f, line = pen.free, max(_OVERSAMPLE, pen.at(1))
    pen.clear(lambda cut: cut.ellipse((f(6), f(6), f(17.6), f(17.6)), 0))
    pen.draw.ellipse((f(7), f(7), f(16) - 1, f(16) - 1), outline=(*_INK, 255), width=line)
    middle = f(11.5)
    hands = [(middle, f(8.6)), (middle, middle + line / 2), (f(14), middle + line / 2)]
    pen.draw.line(hands, (*_INK, 255), line)


def _badge_down(pen: _Pen) -> None:
    f, line = pen.free, max(_OVERSAMPLE, round(pen.free(2)))
    ends = [(f(1), f(15)), (f(15), f(1))]
    pen.clear(lambda cut: cut.line(ends, 0, round(line * 2.2)))
    pen.draw.line(ends, (*_COLOURS["critical"], 255), line)


def _badge_sign_in(pen: _Pen) -> None:
    at = pen.at
    pen.clear(lambda cut: cut.rectangle((at(10), at(0), at(16), at(16)), 0))
    colour = (*_COLOURS["low"], 255)
    pen.draw.rectangle((at(12), at(1), at(15) - 1, at(10) - 1), colour)
    pen.draw.rectangle((at(12), at(12), at(15) - 1, at(15) - 1), colour)


def _badge_empty(pen: _Pen) -> None:
    at = pen.at
    pen.clear(lambda cut: cut.rectangle((at(6), at(6), at(16), at(16)), 0))
    pen.draw.rectangle((at(10), at(7), at(12) - 1, at(15) - 1), (*_INK, 255))
    pen.draw.rectangle((at(7), at(10), at(15) - 1, at(12) - 1), (*_INK, 255))


_BADGES: dict[str, Callable[[_Pen], None]] = {
    "low": _badge_low,
    "critical": lambda pen: _disc(pen, "critical"),
    "spent": _badge_spent,
    "paused": _badge_paused,
    "stale": _badge_stale,
    "down": _badge_down,
    "sign_in_needed": _badge_sign_in,
    "empty": _badge_empty,
}
