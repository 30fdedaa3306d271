"""What the tray's icon looks like."""

from __future__ import annotations

from itertools import combinations

import pytest
from PIL import Image, ImageStat

from desktop import icon
from desktop.icon import Bar, Mark

SIZES = (16, 22, 24, 32, 64)


def tone(picture: Image.Image) -> Image.Image:
    """The picture as someone without colour vision sees it, on a light panel."""
    ground = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    return Image.alpha_composite(ground, picture).convert("L")


def full_row(picture: Image.Image) -> list[bool]:
    """Which pixels of a row through the upper bar's middle are filled with a colour."""
    size = picture.size[0]
    line = [picture.getpixel((x, round(size * 4.5 / 16))) for x in range(size)]
    return [isinstance(p, tuple) and p[3] > 200 and max(p[:3]) - min(p[:3]) > 40 for p in line]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("left", "some", "all_of_it"),
    [
        pytest.param(0, False, False, id="empty"),
        pytest.param(0.4, True, False, id="something left never looks empty"),
        pytest.param(13, True, False, id="13"),
        pytest.param(99.6, True, False, id="something used never looks full"),
        pytest.param(100, True, True, id="full"),
    ],
)
def test_a_bar_never_lies(size: int, left: float, some: bool, all_of_it: bool) -> None:
    filled = full_row(icon.draw(Mark((Bar(left), Bar(50)), "ok"), size))
    edge = round(size / 16 + 0.01)
    inner = filled[edge : size - edge]
    assert any(inner) is some
    assert all(inner) is all_of_it


def test_the_fill_drains_to_the_left() -> None:
    filled = full_row(icon.draw(Mark((Bar(50), Bar(50)), "ok"), 64))
    assert filled[10]
    assert not filled[50]


@pytest.mark.parametrize("size", SIZES)
def test_states_differ_without_colour(size: int) -> None:
    bars = (Bar(71, 56), Bar(48, 60))
    unknown = (Bar(None), Bar(None))
    pictures = {
        state: tone(
            icon.draw(Mark(unknown if state in ("unknown", "empty") else bars, state), size)
        )
        for state in icon.STATES
    }
    for one, other in combinations(icon.STATES, 2):
        difference = [
            abs(a - b)
            for a, b in zip(pictures[one].tobytes(), pictures[other].tobytes(), strict=True)
        ]
        # At least a twentieth of the picture is clearly lighter or darker.
        assert sum(d > 30 for d in difference) >= size * size / 20, (one, other)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("ground", [(255, 255, 255), (19, 21, 23)])
def test_it_reads_on_light_and_dark(size: int, ground: tuple[int, int, int]) -> None:
    for state in icon.STATES:
        picture = icon.draw(Mark((Bar(71, 56), Bar(48, 60)), state), size)
        alone = Image.new("RGB", (size, size), ground)
        shown = alone.copy()
        shown.paste(picture, mask=picture)
        low, high = shown.convert("L").getextrema()
        assert isinstance(low, int)
        assert isinstance(high, int)
        assert high - low > 60, state
        assert ImageStat.Stat(picture.getchannel("A")).mean[0] > 25, state


@pytest.mark.parametrize("name", ["ok", "low", "critical", "quiet"])
@pytest.mark.parametrize("ground", [(255, 255, 255), (19, 21, 23)])
def test_contrast_is_at_least_three(name: str, ground: tuple[int, int, int]) -> None:
    def luminance(colour: tuple[int, ...]) -> float:
        linear = [
            c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4
            for c in (value / 255 for value in colour)
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    one, other = sorted((luminance(icon._COLOURS[name]), luminance(ground)))
    assert (other + 0.05) / (one + 0.05) >= 3


# --- As a number --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_numbers_differ(size: int) -> None:
    """Each percentage is a picture of its own, whatever the bar below it says."""
    pictures = {
        digits: icon.draw(Mark((Bar(50), Bar(50)), "ok", digits), size).tobytes()
        for digits in (*map(str, range(101)), "–")
    }
    assert len(set(pictures.values())) == 102


@pytest.mark.parametrize("digits", ["100", "88", "7", "–"])
@pytest.mark.parametrize("size", SIZES)
def test_a_number_stays_inside(size: int, digits: str) -> None:
    """No glyph is cut: each leaves as much ink as its cells have."""
    picture = icon.draw(Mark((Bar(0), Bar(0)), "ok", digits), size)
    assert picture.size == (size, size)
    upper = picture.getchannel("A").crop((0, 0, size, round(size * 10 / 16)))
    box = upper.getbbox()
    assert box is not None
    assert box[3] <= round(size * 10 / 16) + 1


@pytest.mark.parametrize("size", SIZES)
def test_states_differ_without_colour_beside_the_same_number(size: int) -> None:
    bars = (Bar(18, 56), Bar(48, 60))
    pictures = {state: tone(icon.draw(Mark(bars, state, "18"), size)) for state in icon.STATES}
    for one, other in combinations(icon.STATES, 2):
        pairs = zip(pictures[one].tobytes(), pictures[other].tobytes(), strict=True)
        # The signs beside a number are small: a thirtieth of the picture.
        assert sum(abs(a - b) > 30 for a, b in pairs) >= size * size / 30, (one, other)


def test_a_blocked_account_with_room_is_not_shown_as_its_number() -> None:
    """The provider refuses it: 40% left would promise that it serves."""
    bars = (Bar(40), Bar(70))
    blocked = icon.draw(Mark(bars, "spent", "40"), 32)
    assert blocked.tobytes() == icon.draw(Mark(bars, "spent"), 32).tobytes()


@pytest.mark.parametrize("state", ["paused", "down", "unknown", "stale", "sign_in_needed", "empty"])
def test_what_a_number_cannot_say_is_a_sign(state: str) -> None:
    bars = (Bar(50), Bar(50))
    as_number = icon.draw(Mark(bars, state, "50"), 32)
    assert as_number.tobytes() == icon.draw(Mark(bars, state), 32).tobytes()
