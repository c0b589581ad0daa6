"""What a client may not do: ambiguous requests, endless heads, silence, and too many connections."""

from __future__ import annotations

import select
import time

import pytest

from tests.integration.gateway.edge import Edge, RawClient, TinyApp, request, serving, until
from tusfleet.gateway.http_protocol import ProtocolLimits

QUICK = ProtocolLimits(header_timeout=0.4, header_bytes=16 * 1024, idle_timeout=0.4)
HOST = "Host: a"
CHUNKED = "Transfer-Encoding: chunked"

AMBIGUOUS = {
    "length and coding": (HOST, "Content-Length: 3", CHUNKED),
    "coding and length": (HOST, CHUNKED, "Content-Length: 3"),
    "two equal lengths": (HOST, "Content-Length: 3", "Content-Length: 3"),
    "two lengths in one": (HOST, "Content-Length: 3, 3"),
    "signed length": (HOST, "Content-Length: +3"),
    "negative length": (HOST, "Content-Length: -3"),
    "hexadecimal length": (HOST, "Content-Length: 0x3"),
    "empty length": (HOST, "Content-Length: "),
    "endless length": (HOST, "Content-Length: " + "9" * 30),
    "another coding": (HOST, "Transfer-Encoding: gzip, chunked"),
    "identity": (HOST, "Transfer-Encoding: identity"),
    "unknown coding": (HOST, "Transfer-Encoding: xchunked"),
    "two codings": (HOST, CHUNKED, CHUNKED),
    "coding with vertical tab": (HOST, "Transfer-Encoding: \x0bchunked"),
    "folded line": (HOST, "X: a\r\n b"),
    "folded with a tab": (HOST, "X: a\r\n\tb"),
    "folded first line": (" X: a", HOST),
    "space before the colon": (HOST, "Content-Length : 3"),
    "name with a space": (HOST, "X Y: 3"),
    "no name": (HOST, ": 3"),
    "no colon": (HOST, "X"),
    "bare line feed": (HOST, "X: a\nY: b"),
    "bare carriage return": (HOST, "X: a\rY: b"),
    "null byte": (HOST, "X: a\0b"),
    "control character": (HOST, "X: a\x01b"),
    "no host": (),
    "two hosts": (HOST, HOST),
    "host with a path": ("Host: a/b",),
    "host with a space": ("Host: a b",),
    "host with a user": ("Host: a@b",),
}


def test_the_frame_of_these_tests_is_accepted(edge: Edge) -> None:
    with edge.client() as client:
        client.send(_head(HOST, "Content-Length: 3"), b"abc")
        assert client.answer().status == 200


@pytest.mark.parametrize("fields", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_an_ambiguous_head_is_refused_before_the_application(edge: Edge, fields: tuple[str, ...]) -> None:
    with edge.client() as client:
        client.send(_head(*fields), b"0\r\n\r\n")
        _refused(client, 400)
    assert edge.app.started == 0


@pytest.mark.parametrize(
    "line",
    [
        "CONNECT a:80 HTTP/1.1",
        "GET a HTTP/1.1",
        "GET * HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET /\u00e9 HTTP/1.1",
        "GET ftp://a/b HTTP/1.1",
        "GET http://a@b/ HTTP/1.1",
        "GET http:///b HTTP/1.1",
        "GET / HTTP/2.0",
        "GET / HTTP/0.9",
        "GET / HTTP/1.2",
        "GET /",
        "GET",
        "BREW / HTTP/1.1",
        "get / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "PRI * HTTP/2.0",
        "\x16\x03\x01\x02\x00\x01\x00",
    ],
)
def test_a_request_line_that_is_none_is_refused(edge: Edge, line: str) -> None:
    with edge.client() as client:
        client.send(f"{line}\r\nHost: a\r\n\r\n".encode())
        _refused(client, 400)
    assert edge.app.started == 0


@pytest.mark.parametrize(
    "body", [b"-1\r\n", b"0x1\r\na\r\n", b"1 \r\na\r\n", b"g\r\n", b"1\na\n0\n\n", b"1" * 17 + b"\r\n", b"1\r\nabc\r\n"]
)
def test_a_malformed_chunk_cuts_the_body_and_the_client_is_answered(edge: Edge, body: bytes) -> None:
    for path in ("/read", "/plain"):
        with edge.client() as client:
            client.send(request("POST", path, CHUNKED), b"3\r\nabc\r\n", body)
            if path == "/read":
                assert client.answer().json()["end"] == "cut"
                assert edge.app.read[-1]["size"] in (3, 4)
                assert client.ended()
            else:
                until(lambda: edge.app.disconnects, "the application is told")
                assert client.ended()
    until(lambda: edge.connections == 0, "the connections end")
    assert edge.app.read[-1]["end"] == "disconnect"


@pytest.mark.parametrize("trailer", [b"Content-Length: 4", b"X : y", b"X: y\r\n z", b"X: \0"])
def test_a_malformed_trailer_cuts_the_body(edge: Edge, trailer: bytes) -> None:
    with edge.client() as client:
        client.send(request("POST", "/read", CHUNKED), b"3\r\nabc\r\n0\r\n", trailer, b"\r\n\r\n")
        answer = client.answer().json()
        assert (answer["size"], answer["end"], answer["trailers"]) == (3, "cut", [])
        assert client.ended()


def test_a_second_request_hidden_in_a_body_is_a_body(edge: Edge) -> None:
    with edge.client() as client:
        hidden = request("GET", "/hidden")
        client.send(request("POST", "/read", body=hidden), request("GET", "/real"))
        assert client.answer().json()["size"] == len(hidden)
        assert client.answer().json()["path"] == "/real"
    assert [scope["path"] for scope in edge.app.scopes] == ["/read", "/real"]


def test_a_head_of_many_partial_uploads_is_accepted(edge: Edge) -> None:
    with edge.client() as client:
        client.send(request("POST", "/read", "Upload-Concat: final;" + " /files/a" * 8_000, body=b""))
        assert client.answer().status == 200


def test_the_head_is_bounded_in_size_count_and_url() -> None:
    large = "x" * QUICK.header_bytes
    heads = [
        (431, request("GET", "/", f"X: {large}")),
        (431, request("GET", "/", f"{large}: x")),
        (431, request("GET", "/", *(f"X{number}: {'y' * 1000}" for number in range(20)))),
        (431, request("GET", "/", *["X: y"] * 100)),
        (414, request("GET", "/" + "x" * QUICK.url_bytes)),
        (431, b"\r\n" * QUICK.header_bytes),
    ]
    with serving(TinyApp(), QUICK) as server:
        for status, head in heads:
            for size in (len(head), 1000):
                with server.client() as client:
                    for start in range(0, len(head), size):
                        client.send(head[start : start + size])
                    _refused(client, status)
        with server.client() as client:
            client.send(request("GET", "/", *["X: y"] * 99))
            assert client.answer().status == 200
        assert server.app.started == 1
        assert server.tracebacks == []


def test_an_endless_head_is_answered_while_it_is_still_coming() -> None:
    with serving(TinyApp(), QUICK) as server, server.client() as client:
        client.send(b"GET / HTTP/1.1\r\nX: ")
        for _ in range(300):
            client.send(b"x" * 10_000)
        _refused(client, 431)


def test_trailers_and_chunk_extensions_are_bounded() -> None:
    floods = [
        b"0\r\n" + b"".join(b"X%d: y\r\n" % number for number in range(200)),
        b"0\r\nX: " + b"x" * 600_000,
        b"1;" + b"x" * 600_000,
        b"1;%b\r\na\r\n" % (b"x" * 1000) * 400,
    ]
    with serving(TinyApp(), QUICK) as server:
        for flood in floods:
            with server.client() as client:
                client.send(request("POST", "/read?wait=0", CHUNKED))
                for start in range(0, len(flood), 5000):
                    client.send(flood[start : start + 5000])
                assert client.answer().json()["end"] == "cut"
                assert client.ended()
        with server.client() as client:
            client.send(request("POST", "/read", CHUNKED), b"1\r\na\r\n" * 50_000, b"0\r\n\r\n")
            assert client.answer().json()["size"] == 50_000


def test_a_head_that_does_not_come_in_time_is_refused() -> None:
    with serving(TinyApp(), QUICK, keep_alive=30) as server:
        for first in (b"", request("GET", "/"), request("POST", "/read", body=b"x" * 100)):
            with server.client() as client:
                if first:
                    client.send(first)
                    assert client.answer().status == 200
                client.send(b"GET / HTTP/1.1\r\n")
                deadline = time.monotonic() + 5
                while not select.select([client.socket], [], [], 0.02)[0]:
                    assert time.monotonic() < deadline, "trickling has helped"
                    client.send(b"X: y\r\n")
                _refused(client, 408)
        assert server.tracebacks == []


def test_a_connection_that_says_nothing_is_closed_in_silence() -> None:
    with serving(TinyApp(), QUICK, keep_alive=1) as server:
        with server.client() as client:
            assert client.ended()
        with server.client() as client:
            client.send(request("GET", "/"))
            assert client.answer().status == 200
            assert client.ended()


def test_a_slow_head_behind_a_running_request_has_its_time_afterwards() -> None:
    with serving(TinyApp(), QUICK, keep_alive=30) as server, server.client() as client:
        client.send(request("GET", "/wait"), b"GET /second HTTP/1.1\r\n")
        until(lambda: server.app.started, "the request is there")
        assert client.silent(3 * QUICK.header_timeout)
        server.call(server.app.gate.set)
        client.send(b"Host: a\r\n\r\n")
        assert client.answer().status == 200


@pytest.mark.parametrize("start", [b"abc", b"3\r\nabc\r\n", b"3;aaa", b"0\r\nX: y\r\n"])
def test_a_body_that_stalls_ends(start: bytes) -> None:
    """Slow chunk sizes, extensions and trailers are no progress either."""
    framing = "Content-Length: 100" if start == b"abc" else CHUNKED
    for path in ("/read?wait=0.01", "/plain"):
        with serving(TinyApp(idle_timeout=0.4), QUICK) as server, server.client() as client:
            client.send(request("POST", path, framing), start)
            if path == "/plain":
                until(lambda: server.app.disconnects, "the application is told")
            else:
                answer = client.answer()
                assert answer.json()["end"] == "stalled"
                assert answer.headers["connection"] == "close"
            assert client.ended()


def test_bytes_that_keep_coming_are_no_stall() -> None:
    with serving(TinyApp(idle_timeout=0.3), QUICK) as server, server.client() as client:
        client.send(request("POST", "/read?wait=0.01", "Content-Length: 8"))
        for _ in range(8):
            assert client.silent(0.1)
            client.send(b"x")
        assert client.answer().status == 200


def test_a_client_refused_early_reads_the_answer_though_it_sends_on(edge: Edge) -> None:
    """It sends before it reads, as simple clients do: no reset may come before."""
    for fields in (("Content-Length: 33554432",), (CHUNKED,)):
        with edge.client() as client:
            client.send(request("POST", "/refuse", *fields))
            block = b"x" * (1 << 20) if fields[0] != CHUNKED else b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
            for _ in range(16):
                client.send(block)
            answer = client.answer()
            assert (answer.status, answer.headers["connection"]) == (413, "close")
            assert client.ended()
    until(lambda: edge.connections == 0, "the connections end")


def test_lingering_is_bounded_in_time_and_bytes(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tusfleet.gateway.http_protocol.LINGER_SECONDS", 0.2)
    with edge.client() as client:
        client.send(request("POST", "/refuse", "Content-Length: 10000000000"))
        assert client.answer().status == 413
        until(lambda: edge.connections == 0, "the server has waited long enough")
    monkeypatch.setattr("tusfleet.gateway.http_protocol.LINGER_SECONDS", 60)
    monkeypatch.setattr("tusfleet.gateway.http_protocol.LINGER_BYTES", 1 << 20)
    with edge.client() as client:
        client.send(request("POST", "/refuse", "Content-Length: 10000000000"))
        with pytest.raises(OSError, match=r"reset|pipe"):
            client.send(b"x" * (1 << 28))


def test_a_small_rest_is_thrown_away_and_the_connection_stays(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    with edge.client() as client:
        client.send(request("POST", "/refuse", "Content-Length: 100000"), b"x" * 10)
        assert client.answer().status == 413
        client.send(b"x" * 99_990, request("GET", "/next"))
        assert client.answer().json()["path"] == "/next"
        monkeypatch.setattr("tusfleet.gateway.http_protocol.LINGER_SECONDS", 0.2)
        client.send(request("POST", "/refuse", "Content-Length: 100000"), b"x" * 10)
        assert client.answer().status == 413
        assert client.ended()


def test_connections_beyond_the_limit_are_told_so() -> None:
    with serving(TinyApp(), ProtocolLimits(max_connections=2)) as server:
        with server.client() as first, server.client() as second:
            for client in (first, second):
                client.send(request("GET", "/"))
                assert client.answer().status == 200
            assert server.gauge == [2]
            with server.client() as third:
                third.send(request("GET", "/"))
                assert third.answer().status == 503
                assert third.ended()
            first.send(request("GET", "/"))
            assert first.answer().status == 200
        until(lambda: server.connections == 0, "they have gone")
        with server.client() as client:
            client.send(request("GET", "/"))
            assert client.answer().status == 200
        assert server.tracebacks == []
    assert server.gauge == [0]


def test_a_crowd_beyond_the_limit_is_cut_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tusfleet.gateway.http_protocol.CROWD", 1)
    with serving(TinyApp(), ProtocolLimits(max_connections=1)) as server, server.client() as client:
        client.send(request("GET", "/"))
        assert client.answer().status == 200
        with server.client() as second, server.client() as third:
            assert second.answer().status == 503
            assert third.ended()


def _head(*fields: str) -> bytes:
    return "\r\n".join(["POST /read HTTP/1.1", *fields, "", ""]).encode("latin-1")


def _refused(client: RawClient, status: int) -> None:
    answer = client.answer()
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert answer.headers["connection"] == "close"
    assert answer.json()["status"] == status
    assert client.ended()
