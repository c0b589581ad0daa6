"""Answers with many bytes: by plain messages and by sendfile, to fast, slow, dead and greedy clients."""

from __future__ import annotations

import errno
import itertools
import os
import random
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.gateway.edge import Edge, RawClient, TinyApp, request, serving, until
from tusfleet.gateway import http_sendfile
from tusfleet.gateway.http_protocol import ProtocolLimits

CONTENT = random.Random(3).randbytes(20 * 1024 * 1024 + 5)
IMPATIENT = ProtocolLimits(idle_timeout=0.5)
SMALL_BUFFER = 16 * 1024


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "content"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def _file(count: int, offset: int = 0, *more: str) -> bytes:
    return request("GET", f"/file?name=a&count={count}&offset={offset}" + "".join(f"&{item}" for item in more))


def test_files_go_out_exactly_and_the_connection_stays(edge: Edge, opened: int) -> None:
    edge.app.files["a"] = opened
    with edge.client() as client:
        for count, offset in [(len(CONTENT), 0), (1, 7), (0, 5), (1 << 20, 3), (5, len(CONTENT) - 5)]:
            client.send(_file(count, offset), request("GET", "/next"))
            assert client.answer().body == CONTENT[offset : offset + count]
            assert client.answer().json()["path"] == "/next"
    assert "http.response.zerocopysend" in edge.app.extensions[0]


def test_files_may_be_pieces_of_an_answer_with_or_without_a_length(edge: Edge, opened: int) -> None:
    edge.app.files["a"] = opened
    with edge.client() as client:
        client.send(_file(1000, 9, "length=1004", "more"), _file(1000, 9, "chunked", "more"), _file(9, 1, "chunked"))
        assert client.answer().body == CONTENT[9:1009] + b"tail"
        assert client.answer().body == CONTENT[9:1009] + b"tail"
        assert client.answer().body == CONTENT[1:10]
        client.send(_file(1000).replace(b"GET", b"HEAD"), request("GET", "/next"))
        assert client.answer("HEAD").headers["content-length"] == "1000"
        assert client.answer().json()["path"] == "/next"
        client.send(_file(1000).replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert client.answer().body == CONTENT[:1000]
        assert client.ended()


def test_a_slow_client_holds_no_thread_and_gets_every_byte(opened: int) -> None:
    with serving(TinyApp(files={"a": opened})) as server:
        slow = [server.client(receive_buffer=SMALL_BUFFER) for _ in range(2 * http_sendfile.THREADS)]
        for client in slow:
            client.send(_file(len(CONTENT)))
        until(lambda: server.app.started == len(slow), "all of them run")
        with server.client() as fast:
            fast.send(_file(len(CONTENT)))
            assert fast.answer().body == CONTENT
        assert slow[0].answer().body == CONTENT
        for client in slow:
            client.__exit__()
        until(lambda: server.connections == 0, "the server notices")
        assert server.tracebacks == []


@pytest.mark.parametrize("target", ["/file?name=a&count=20971520", "/stream?pieces=100&size=1000000"])
def test_a_client_that_takes_nothing_is_cut(opened: int, target: str) -> None:
    with (
        serving(TinyApp(files={"a": opened}), IMPATIENT) as server,
        server.client(receive_buffer=SMALL_BUFFER) as client,
    ):
        client.send(request("GET", target))
        until(lambda: server.app.started, "the request is there")
        until(lambda: server.connections == 0, "the server cuts it")
        until(lambda: not server.server.server_state.tasks, "the request ends")


def test_a_last_piece_that_nobody_takes_does_not_keep_the_connection() -> None:
    with serving(TinyApp(), IMPATIENT, keep_alive=1) as server, server.client(receive_buffer=SMALL_BUFFER) as client:
        until(lambda: server.connections == 1, "the connection is there")
        transport = next(iter(server.server.server_state.connections)).flow.transport  # type: ignore[union-attr]
        sent = 0
        while not transport.get_write_buffer_size():
            client.send(request("GET", "/stream?pieces=1&size=50000"))
            sent += 1
            until(lambda sent=sent: server.server.server_state.total_requests == sent, "it is answered")  # type: ignore[misc]
        until(lambda: server.connections == 0, "the server cuts it")


@pytest.mark.parametrize("target", ["/file?name=a&count=8000000", "/stream?pieces=8&size=1000000"])
def test_a_client_that_takes_little_at_a_time_is_not_cut(opened: int, target: str) -> None:
    """What the kernel has handed over counts, long before the socket takes more."""
    with (
        serving(TinyApp(files={"a": opened}), IMPATIENT) as server,
        server.client(receive_buffer=SMALL_BUFFER) as client,
    ):
        client.send(request("GET", target))
        _, headers = client.head()
        pause = threading.Event()
        for _ in range(20):
            assert len(client.file.read(32 * 1024)) == 32 * 1024
            pause.wait(0.1)
        rest = client.file.read(2_000_000)
        assert len(rest) == 2_000_000
        assert headers["date"]


@pytest.mark.parametrize("target", ["/file?name=a&count=20971520", "/stream?pieces=100&size=1000000"])
def test_a_client_that_goes_away_ends_the_request(edge: Edge, opened: int, target: str) -> None:
    edge.app.files["a"] = opened
    before = _descriptors()
    for _ in range(3):
        with edge.client(receive_buffer=SMALL_BUFFER) as client:
            client.send(request("GET", target))
            assert client.head()[0] == 200
    until(lambda: not edge.server.server_state.tasks, "the requests end")
    until(lambda: edge.connections == 0, "the connections end")
    until(lambda: _descriptors() == before, "no descriptor is left over")


def test_a_process_with_too_many_open_files_loses_no_more_of_them(
    edge: Edge, opened: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge.app.files["a"] = opened
    dup, calls = os.dup, itertools.count(1)

    def every_second_fails(descriptor: int) -> int:
        if next(calls) % 2 == 0:
            raise OSError(errno.EMFILE, "Too many open files")
        return dup(descriptor)

    before = _descriptors()
    monkeypatch.setattr(os, "dup", every_second_fails)
    for _ in range(3):
        with edge.client() as client:
            client.send(_file(1000))
            assert client.head()[0] == 200
            assert client.ended()
    until(lambda: edge.connections == 0, "the connections end")
    until(lambda: _descriptors() == before, "no descriptor is left over")
    assert len(edge.tracebacks) == 3
    edge.log.clear()


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_file_that_shrinks_ends_the_connection(edge: Edge, path: Path, opened: int) -> None:
    edge.app.files["a"] = opened
    os.truncate(path, 1000)
    with edge.client() as client:
        client.send(_file(2000), request("GET", "/next"))
        assert client.head()[1]["content-length"] == "2000"
        assert client.file.read() == CONTENT[:1000]
    until(lambda: edge.connections == 0, "the connection ends")
    assert [record.getMessage() for record in edge.log] == ["A file ended before the bytes that were promised of it"]


def test_a_file_that_shrinks_on_the_way_sends_nothing_else(edge: Edge, path: Path, opened: int) -> None:
    edge.app.files["a"] = opened
    with edge.client(receive_buffer=SMALL_BUFFER) as client:
        client.send(_file(len(CONTENT)))
        client.head()
        os.truncate(path, 1 << 20)
        body = client.file.read()
        assert len(body) < len(CONTENT)
        assert CONTENT.startswith(body[: 1 << 20])


def test_an_answer_longer_or_shorter_than_promised_is_an_error(edge: Edge, opened: int) -> None:
    edge.app.files["a"] = opened
    for promised, count in [(10, 20), (30, 20)]:
        with edge.client() as client:
            client.send(_file(count, 0, f"length={promised}"))
            status = client.head()[0]
            assert status == (500 if promised < count else 200)
            assert promised < count or client.file.read() == CONTENT[:count]
    until(lambda: len(edge.log) == 2, "both are logged")
    edge.log.clear()


def test_a_stream_of_many_pieces_waits_for_its_client(edge: Edge) -> None:
    with edge.client() as client:
        client.send(request("GET", "/stream?pieces=50&size=1000000"), request("GET", "/next"))
        answer = client.answer()
        assert answer.headers["transfer-encoding"] == "chunked"
        assert answer.body == b"x" * 50_000_000
        assert client.answer().json()["path"] == "/next"


def test_encrypted_connections_do_not_offer_sendfile(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "1"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    with serving(TinyApp(), ssl_keyfile=str(key), ssl_certfile=str(certificate)) as server:
        context = ssl.create_default_context(cafile=str(certificate))
        context.check_hostname = False
        with RawClient(server.port) as client:
            client.socket = context.wrap_socket(client.socket)
            client.file = client.socket.makefile("rb")
            client.send(request("POST", "/read", body=CONTENT))
            assert client.answer().json()["size"] == len(CONTENT)
            client.send(request("POST", "/refuse", "Content-Length: 1000000000"))
            assert client.answer().status == 413
        assert server.app.scopes[0]["scheme"] == "https"
        assert "http.response.zerocopysend" not in server.app.extensions[0]
        assert server.tracebacks == []
