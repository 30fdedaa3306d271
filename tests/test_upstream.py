"""The way to the provider: TLS, kept connections, and what counts as sent."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from server.config import Config
from server.proxy import upstream
from server.proxy.upstream import Aborted, Exchange, HungUp, Outgoing, Unreachable, Upstream
from tests.rig import Rig, wait_until
from tests.upstream import (
    HangUp,
    Provider,
    Silence,
    Stream,
    completed,
    created,
    item,
    message,
)

ASK = Outgoing("POST", "/codex/responses", [("authorization", "Bearer x")], b"{}")


@contextmanager
def towards(provider: Provider, url: str = "") -> Iterator[Upstream]:
    found = Upstream(url or provider.url)
    found.start()
    try:
        yield found
    finally:
        found.stop()
        found.watcher.join(30)


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as found:
        yield found


def read(exchange: Exchange) -> bytes:
    found = b""
    while chunk := exchange.read1():
        found += chunk
    return found


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(
        built.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture
def secure(certificate: Path) -> Iterator[Provider]:
    """The provider behind TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    found = Provider()
    found._server.socket = context.wrap_socket(
        found._server.socket, server_side=True, do_handshake_on_connect=False
    )
    with found:
        yield found


def trusting(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        upstream, "_tls", lambda: ssl.create_default_context(cafile=str(certificate))
    )


def test_a_certificate_nobody_vouches_for_is_refused(secure: Provider) -> None:
    url = f"https://localhost:{secure.port}/backend-api"
    with towards(secure, url) as way, pytest.raises(Unreachable):
        way.open(ASK)
    assert not secure.received, "no token was sent"


def test_a_certificate_for_another_name_is_refused(
    secure: Provider, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusting(certificate, monkeypatch)
    url = f"https://127.0.0.1:{secure.port}/backend-api"
    with towards(secure, url) as way, pytest.raises(Unreachable):
        way.open(ASK)
    assert not secure.received


def test_a_stream_comes_through_tls(
    secure: Provider, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusting(certificate, monkeypatch)
    with towards(secure, f"https://localhost:{secure.port}/backend-api") as way:
        for _ in range(2):
            go = threading.Event()
            secure.play(Stream([created(), completed()], hold=(1, go)))
            exchange = way.open(ASK)
            assert exchange.read1() == created()
            assert not exchange.more_soon(0.0002)
            go.set()
            assert exchange.more_within(30)
            assert read(exchange) == completed()
            assert exchange.reusable
            way.release(exchange)


def test_a_silent_tls_stream_can_be_ended(
    secure: Provider, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusting(certificate, monkeypatch)
    secure.play(Stream([created()], end="silent"))
    with towards(secure, f"https://localhost:{secure.port}/backend-api") as way:
        gone: list[bool] = []
        exchange = way.open(ASK, gone=lambda: bool(gone))
        exchange.read1()
        gone.append(True)
        with pytest.raises(Aborted, match="gone"):
            exchange.read1()
        way.release(exchange)
        assert secure.received[0].closed.wait(30)


@pytest.fixture
def secure_rig(
    config: Config,
    database: None,
    secure: Provider,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Rig]:
    """The whole proxy before a provider behind TLS."""
    trusting(certificate, monkeypatch)
    url = f"https://localhost:{secure.port}/backend-api"
    found = Rig(replace(config, upstream_base_url=url, threads=144), secure, ("acc-1", "acc-2"))
    found.start()
    yield found
    found.stop()


def test_what_tls_has_decrypted_already_is_not_waited_for(secure_rig: Rig) -> None:
    # One record holds many events: the socket has nothing more to read when only its first
    # bytes were taken, and a selector would sleep on the rest.
    hold = threading.Event()
    burst = [created(), *item(message("x" * 15_000)), b"".join(item(message("y"))) * 400]
    secure_rig.provider.play(Stream([*burst, completed()], hold=(len(burst), hold)))
    response = secure_rig.open()
    found = b""
    while len(found) < len(b"".join(burst)):
        found += response.read1(65536)
    assert found == b"".join(burst)
    hold.set()
    assert response.read() == completed()
    response.close()
    wait_until(lambda: [row["status"] for row in secure_rig.rows()] == ["success"], "its row")


def test_many_tls_streams_end_as_they_should(secure_rig: Rig) -> None:
    secure_rig.provider.play(Stream([created(), *item(message("x")), completed()], gap=0.05))
    with ThreadPoolExecutor(20) as threads:
        replies = list(threads.map(lambda _: secure_rig.send(), range(40)))
    assert {reply.kinds[-1] for reply in replies} == {"response.completed"}
    secure_rig.provider.play(Stream([created(), *item(message("x"))], end="cut"))
    assert secure_rig.send().kinds[-1] != "response.completed"
    secure_rig.provider.play(Stream([created(), *item(message("x"))], end="silent"))
    response = secure_rig.open()
    response.read1(10)
    response.close()  # the client leaves
    assert secure_rig.provider.received[-1].closed.wait(30), "the provider was told"


def test_nothing_listens_there(provider: Provider) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with towards(provider, f"http://127.0.0.1:{port}/x") as way, pytest.raises(Unreachable):
        way.open(ASK)


def test_a_finished_connection_is_kept_and_a_cut_one_is_not(provider: Provider) -> None:
    with towards(provider) as way:
        first = way.open(ASK)
        begun = first._sock
        read(first)
        way.release(first)
        second = way.open(ASK)
        assert second._sock is begun
        way.release(second)  # in the middle of its answer
        third = way.open(ASK)
        assert third._sock is not begun
        way.release(third)


@pytest.mark.skipif(upstream._ACK_NOW is None, reason="only Linux lets a program ask for it")
def test_what_has_come_is_acknowledged_at_once() -> None:
    """Else a provider with Nagle's algorithm sends its next event 40 ms late."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as sock,
        server.accept()[0] as other,
    ):
        exchange = Exchange(lambda: False)
        exchange.connected(sock)
        # So the system itself does on a connection that has served before.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK) == 0
        other.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n")
        assert exchange.answered()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK) == 1


def test_a_kept_connection_that_ended_is_not_used(provider: Provider) -> None:
    provider.play(Stream(), HangUp())
    with towards(provider) as way:
        first = way.open(ASK)
        read(first)
        way.release(first)
        with pytest.raises(HungUp) as caught:
            way.open(ASK)
        assert caught.value.kept, "it may only have gone stale"
        with pytest.raises(HungUp) as caught:
            way.open(ASK, fresh=True)
        assert not caught.value.kept


def test_many_kept_connections_need_no_low_descriptor(provider: Provider) -> None:
    held = [socket.socket() for _ in range(1100)]
    try:
        with towards(provider) as way:
            for _ in range(2):
                exchange = way.open(ASK)
                assert exchange._sock is not None
                assert exchange._sock.fileno() > 1023
                assert read(exchange).endswith(completed())
                way.release(exchange)
        assert len(provider.received) == 2
    finally:
        for sock in held:
            sock.close()


def test_a_header_cannot_start_another(provider: Provider) -> None:
    asked = Outgoing("POST", "/codex/responses", [("x", "a\r\nhost: evil")], b"{}")
    with towards(provider) as way, pytest.raises(HungUp):
        way.open(asked)
    assert not provider.received


def test_a_client_that_left_while_we_connected(provider: Provider) -> None:
    provider.play(Silence())
    with towards(provider) as way, pytest.raises(Aborted, match="gone"):
        way.open(ASK, gone=lambda: True)


def test_the_environment_has_no_say(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with towards(provider) as way:
        exchange = way.open(ASK)
        read(exchange)
        way.release(exchange)
    assert provider.received[0].headers["authorization"] == "Bearer x"
