"""Bodies as clients pack them."""

from __future__ import annotations

import zstandard

from server.errors import AppError
from server.proxy import body

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
