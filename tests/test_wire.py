"""HTTP answers off the wire: what is read, and what is refused because two readers could differ."""

from __future__ import annotations

import pytest

from server.proxy.wire import MAX_HEAD, Chunked, Malformed, Sized, Unsized, read_head


def head(*lines: str) -> bytes:
    return "\r\n".join(("HTTP/1.1 200 OK", *lines, "", "")).encode("latin-1")


@pytest.mark.parametrize(
    ("came", "framing", "keeps"),
    [
        pytest.param(head("Transfer-Encoding: chunked"), Chunked, True, id="chunked"),
        pytest.param(head("content-length: 5"), Sized, True, id="sized"),
        pytest.param(head("content-length: 5, 5"), Sized, True, id="the same length twice"),
        pytest.param(head("x: y"), Unsized, False, id="until the connection ends"),
        pytest.param(head("content-length: 0", "connection: Close"), Sized, False, id="it says so"),
        pytest.param(
            head("transfer-encoding: chunked", "content-length: 3"), Chunked, False, id="both"
        ),
        pytest.param(b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n", Sized, False, id="1.0"),
        pytest.param(b"HTTP/1.1 204 \r\n\r\n", Sized, True, id="no body"),
        pytest.param(
            b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 103 X\r\na: b\r\n\r\n" + head("content-length: 1"),
            Sized,
            True,
            id="interim answers are skipped",
        ),
    ],
)
def test_heads(came: bytes, framing: type, keeps: bool) -> None:
    for cut in range(len(came)):
        assert read_head(came[:cut]) is None
    found = read_head(came + b"rest")
    assert found is not None
    answer, rest = found
    assert rest == b"rest"
    assert isinstance(answer.body, framing)
    assert answer.keeps is keeps


def test_headers_keep_their_order_and_bytes() -> None:
    found = read_head(head("A: 1", "b:\t\xe4 x \t", "A: 2", "empty:", "content-length: 0"))
    assert found is not None
    assert found[0].headers[:4] == [("A", "1"), ("b", "\xe4 x"), ("A", "2"), ("empty", "")]


@pytest.mark.parametrize(
    "came",
    [
        pytest.param(b"SSH-2.0-x\r\n\r\n", id="another protocol"),
        pytest.param(b"HTTP/2 200\r\n\r\n", id="another version"),
        pytest.param(b"HTTP/1.1 20 OK\r\n\r\n", id="no status"),
        pytest.param(b"HTTP/1.1 101 Switch\r\n\r\n", id="an upgrade"),
        pytest.param(head("a b: c"), id="a space in a name"),
        pytest.param(head("a : c"), id="a space behind a name"),
        pytest.param(head("x: y", " folded"), id="a folded line"),
        pytest.param(head("x: a\nb: c"), id="a bare line feed"),
        pytest.param(head("x: a\rb"), id="a bare carriage return"),
        pytest.param(head("x: a\0b"), id="a NUL"),
        pytest.param(head("content-length: 1, 2"), id="two lengths"),
        pytest.param(head("content-length: -1"), id="a negative length"),
        pytest.param(head("content-length: 1" + "0" * 20), id="a huge length"),
        pytest.param(head("transfer-encoding: gzip, chunked"), id="another coding"),
        pytest.param(head(*["a: b"] * 300), id="too many headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\na: " + b"x" * MAX_HEAD, id="too long"),
    ],
)
def test_heads_that_are_refused(came: bytes) -> None:
    with pytest.raises(Malformed):
        read_head(came)


def test_chunks_split_anywhere() -> None:
    whole = b"5\r\nhello\r\nA;x=y\r\n0123\r\n6789\r\n0\r\ntrailer: x\r\n\r\n"
    for size in range(1, len(whole) + 1):
        body, found = Chunked(), b""
        for at in range(0, len(whole), size):
            assert not body.done
            found += body.feed(whole[at : at + size])
        assert found == b"hello0123\r\n6789"
        assert body.done
        assert not body.surplus


def test_what_comes_behind_the_end_is_seen() -> None:
    body = Chunked()
    assert body.feed(b"1\r\nx\r\n0\r\n\r\nHTTP/1.1") == b"x"
    assert body.surplus
    sized = Sized(2)
    assert sized.feed(b"xyz") == b"xy"
    assert sized.surplus


@pytest.mark.parametrize(
    "came",
    [
        pytest.param(b"x\r\n", id="no number"),
        pytest.param(b"-1\r\n", id="a sign"),
        pytest.param(b"0x5\r\n", id="a prefix"),
        pytest.param(b"\r\n", id="nothing"),
        pytest.param(b"1\r\nxy\r\n", id="longer than it says"),
        pytest.param(b"1" * 5000, id="endless"),
        pytest.param(b"0\r\n" + b"a: b\r\n" * 2000, id="endless trailers"),
    ],
)
def test_chunks_that_are_refused(came: bytes) -> None:
    with pytest.raises(Malformed):
        Chunked().feed(came)


def test_a_cut_is_seen_where_it_can_be() -> None:
    assert not Chunked().closed()
    assert not Sized(1).closed()
    unsized = Unsized()
    assert unsized.closed()
    assert unsized.done
