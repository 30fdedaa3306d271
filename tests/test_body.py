"""Bodies as clients pack them."""

from __future__ import annotations

import gzip
import json

import pytest
import zstandard

from server.errors import AppError
from server.proxy import body, translate

TEXT = b'{"model":"gpt-5.5","input":"' + bytes(range(65, 91)) * 20_000 + b'"}'
FRAME = zstandard.ZstdCompressor().compress(TEXT)


def streamed(text: bytes) -> bytes:
    """A frame as a streaming packer writes it: without its length, with a checksum."""
    packer = zstandard.ZstdCompressor(write_checksum=True, write_content_size=False).compressobj()
    return packer.compress(text) + packer.flush()


WHOLE = {
    "as Codex sends": FRAME,
    "streamed, with a checksum": streamed(TEXT),
    "of repeated bytes": streamed(b'{"model":"m","input":"' + b"x" * 1_000_000 + b'"}'),
    "two frames": FRAME + streamed(b" "),
    "a frame to skip": b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc" + FRAME,
}


def complaint(raw: bytes) -> str:
    try:
        body.decode(raw, "zstd")
    except AppError as error:
        assert error.status == 400
        return error.message
    return ""


def test_whole_zstd_is_read() -> None:
    for name, raw in WHOLE.items():
        assert complaint(raw) == "", name


def test_zstd_that_breaks_off_is_told_from_bad_json() -> None:
    for name, raw in WHOLE.items():
        whole = {"two frames": len(FRAME), "a frame to skip": 11}.get(name, 0)  # one frame of two
        for length in {*range(whole + 1, whole + 100), *range(len(raw) - 8, len(raw))}:
            if length >= len(raw):
                continue
            assert "does not end where it should" in complaint(raw[:length]), (name, length)


def test_what_is_no_zstd_is_said_to_be_none() -> None:
    for raw in (b"junk", b'{"model":"m"}', FRAME + b"xx", b"\x28\xb5\x2f\xfd\xff\xff" + bytes(40)):
        assert "zstd data" in complaint(raw)


@pytest.mark.parametrize("coding", ["gzip", "x-gzip"])
def test_gzip_may_have_several_members(coding: str) -> None:
    raw = gzip.compress(TEXT[:100]) + gzip.compress(b"") + gzip.compress(TEXT[100:])
    assert body.decode(raw, coding) == TEXT
    for bad, words in ((raw[:-3], "does not end"), (raw + b"xx", "valid gzip")):
        with pytest.raises(AppError, match=words) as caught:
            body.decode(bad, coding)
        assert caught.value.status == 400
    with pytest.raises(AppError) as caught:
        body.decode(raw, coding, len(TEXT) - 1)
    assert caught.value.status == 413


ODD = [
    pytest.param(b"9" * 5000, id="a number longer than Python reads"),
    pytest.param(b"1e400", id="a number that no double holds"),
    pytest.param(b'"\\ud800"', id="half a character"),
    pytest.param(b'"\\ud83d\\ude00 \\\\ud800 \\uDC00\\ud800x"', id="halves beside whole ones"),
]


@pytest.mark.parametrize("odd", ODD)
def test_what_we_do_not_read_is_passed_on_as_it_came(odd: bytes) -> None:
    ready = b'{"model":"m","input":[{"a":%s}],"stream":true,"store":false,"z":[%s]}' % (odd, odd)
    for openai in (True, False):
        assert body.read(ready, "", openai=openai).sent == ready
    asked = b'{"model":"m","input":"Hi \\n","user":"u","z":{"x":%s},"verbosity":"low"}' % odd
    sent = body.read(asked, "", openai=True).sent
    assert sent.count(odd) == 1
    found = json.loads(sent.replace(odd, b"1"))
    assert found["z"] == {"x": 1} and found["text"] == {"verbosity": "low"}
    assert found["input"][0]["content"] == [{"type": "input_text", "text": "Hi \n"}]
    assert (found["stream"], found["store"], "user" in found) == (True, False, False)


@pytest.mark.parametrize("odd", [b"1e400", b"-2e999", b'"\\ud800"'])
def test_what_must_be_read_and_cannot_be_held_is_named(odd: bytes) -> None:
    messages = b'[{"role":"user","content":"Hi.","n":%s}]' % odd
    with pytest.raises(AppError, match="too large .* or half of a character") as caught:
        translate.read(b'{"model":"m","messages":%s}' % messages)
    assert (caught.value.status, caught.value.extra["param"]) == (400, "messages")
    if b"ud800" not in odd:  # a half passes through `/v1/responses`
        with pytest.raises(AppError, match="too large") as caught:
            body.read(b'{"model":"m","messages":%s}' % messages, "", openai=True)
        assert (caught.value.status, caught.value.extra["param"]) == (400, "messages")


@pytest.mark.parametrize("bad", [b"01", b'"\\ud80"', b'"\\ud800', b"NaN", b'"\\q"'])
def test_what_is_no_json_is_refused(bad: bytes) -> None:
    with pytest.raises(AppError, match="not valid JSON"):
        body.read(b'{"model":"m","input":"x","z":%s}' % bad, "", openai=True)
