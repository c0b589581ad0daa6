"""What clients must not be able to do with bytes that are hardly HTTP: a clear 4xx, and nothing else happens."""

from __future__ import annotations

import random

import pytest

from tests.conformance.uploads import (
    BYTES,
    UNKNOWN,
    VERSION,
    answers,
    ask,
    assert_refused,
    content,
    create,
    creation,
    nothing_happens,
    path,
    refused,
)
from tests.raw_http import Connection, message
from tests.servers import Server

pytestmark = pytest.mark.usefixtures("unharmed")


# Bare garbage on the socket.

GARBAGE = {
    "text": b"hello, is this the upload server?\r\n\r\n",
    "one line": b"\x01\x02\x03\r\n\r\n",
    "zeros": b"\0" * 5000,
    "ones": b"\xff" * 5000,
    "random": random.Random(4).randbytes(5000),
    "TLS": bytes.fromhex("16030100c8010000c40303") + b"\xaa" * 190,
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    "SIP": b"INVITE sip:a@b SIP/2.0\r\nVia: x\r\n\r\n",
    "HTTP/0.9": b"GET /files\r\n\r\n",
    "HTTP/3.0": b"GET /files HTTP/3.0\r\nHost: a\r\n\r\n",
    "HTTP/1.2": b"GET /files HTTP/1.2\r\nHost: a\r\n\r\n",
    "http/1.1": b"GET /files http/1.1\r\nHost: a\r\n\r\n",
    "no version": b"GET /files \r\nHost: a\r\n\r\n",
    "no method": b"/files HTTP/1.1\r\nHost: a\r\n\r\n",
    "made-up method": b"UPLOAD /files HTTP/1.1\r\nHost: a\r\n\r\n",
    "lower case": b"post /files HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT": b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n",
    "JSON": b'{"method": "POST"}\r\n\r\n',
    "an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_bare_garbage(server: Server, name: str) -> None:
    assert_refused(answers(server, GARBAGE[name]))


def test_garbage_behind_a_request(server: Server) -> None:
    request = message("OPTIONS", "/files", "localhost")
    for garbage in GARBAGE.values():
        first, *rest = answers(server, request + garbage)
        assert first.status == 200
        assert_refused(rest)


# Header blocks.

HEADER_BLOCKS: dict[str, tuple[bytes, int]] = {
    "one long line": (creation("X-Long: " + "x" * 300_000), 431),
    "many long lines": (creation(*(f"X-{number}: {'x' * 3000}" for number in range(90))), 431),
    "many lines": (creation(*(f"X-{number}: x" for number in range(200))), 431),
    "ten thousand lines": (creation(*["X: x"] * 10_000), 431),
    "a long name": (creation("X" * 300_000 + ": x"), 431),
    "a long URL": (message("GET", "/files/" + "x" * 100_000, "localhost"), 414),
    "a long query": (message("GET", "/files?" + "x" * 100_000, "localhost"), 414),
    "no colon": (creation("X"), 400),
    "no name": (creation(": x"), 400),
    "space before the colon": (creation("X : x"), 400),
    "space in a name": (creation("X Y: x"), 400),
    "tab in a name": (creation("X\tY: x"), 400),
    "a name that is no token": (creation("X(Y): x"), 400),
    "a name outside ASCII": (creation("Upload-Öffset: x"), 400),
    "NUL in a name": (creation("X\0Y: x"), 400),
    "NUL in a value": (creation("X: a\0b"), 400),
    "escape in a value": (creation("X: a\x1bb"), 400),
    "bare CR in a value": (creation("X: a\rb"), 400),
    "bare LF in a value": (creation("X: a\nb"), 400),
    "a folded line": (creation("X: a\r\n b"), 400),
    "a folded length": (message("POST", "/files", "localhost", VERSION, "Upload-Length:\r\n 10"), 400),
    "a folded first line": (message("POST", "/files", "localhost", VERSION).replace(b"Host", b" Host"), 400),
    "no host": (b"POST /files HTTP/1.1\r\nUpload-Length: 10\r\nTus-Resumable: 1.0.0\r\n\r\n", 400),
    "two hosts": (creation("Host: other"), 400),
    "a host that is none": (message("POST", "/files", "a b/c", VERSION, "Upload-Length: 10"), 400),
    "a fragment": (message("POST", "/files#a", "localhost", VERSION, "Upload-Length: 10"), 400),
    "a URL outside ASCII": (message("POST", "/filés", "localhost", VERSION, "Upload-Length: 10"), 400),
    "a relative URL": (message("POST", "files", "localhost", VERSION, "Upload-Length: 10"), 400),
    "another scheme": (message("POST", "ftp://localhost/files", "localhost", VERSION, "Upload-Length: 10"), 400),
    "everything": (message("POST", "*", "localhost", VERSION, "Upload-Length: 10"), 400),
}


@pytest.mark.parametrize("name", HEADER_BLOCKS)
def test_malformed_and_oversized_heads(server: Server, name: str) -> None:
    data, status = HEADER_BLOCKS[name]
    assert_refused(answers(server, data), status)


@pytest.mark.parametrize("name", ["one long line", "many lines", "a folded line", "NUL in a value"])
def test_heads_that_come_in_pieces(server: Server, name: str) -> None:
    data, status = HEADER_BLOCKS[name]
    size = max(1, len(data) // 50)
    assert_refused(answers(server, *(data[start : start + size] for start in range(0, len(data), size))), status)


def test_a_head_without_end(server: Server) -> None:
    assert_refused(answers(server, creation()[:-2], *[b"X-More: and more\r\n" * 1000] * 100), 431)


# Request smuggling: what two servers in a row could read differently must not be read at all.

SMUGGLING = {
    "CL and TE": ["Content-Length: 4", "Transfer-Encoding: chunked"],
    "TE and CL": ["Transfer-Encoding: chunked", "Content-Length: 0"],
    "two CLs": ["Content-Length: 0", "Content-Length: 5"],
    "two equal CLs": ["Content-Length: 0", "Content-Length: 0"],
    "a list of CLs": ["Content-Length: 0, 0"],
    "CL with a plus": ["Content-Length: +0"],
    "CL with a minus": ["Content-Length: -1"],
    "CL in hexadecimal": ["Content-Length: 0x0"],
    "CL with an underscore": ["Content-Length: 0_0"],
    "CL with a point": ["Content-Length: 0.0"],
    "CL in other digits": ["Content-Length: ٠"],
    "CL of nothing": ["Content-Length:"],
    "CL with a space": ["Content-Length: 0 0"],
    "CL beyond 64 bits": ["Content-Length: 18446744073709551616"],
    "CL of 400 digits": ["Content-Length: " + "9" * 400],
    "folded CL": ["Content-Length:\r\n 0"],
    "CL with a space before the colon": ["Content-Length : 0"],
    "two TEs": ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    "TE twice in a line": ["Transfer-Encoding: chunked, chunked"],
    "TE and identity": ["Transfer-Encoding: chunked, identity"],
    "identity": ["Transfer-Encoding: identity"],
    "gzip": ["Transfer-Encoding: gzip, chunked"],
    "an unknown TE": ["Transfer-Encoding: xchunked"],
    "TE with a parameter": ["Transfer-Encoding: chunked;a=b"],
    "TE in quotes": ['Transfer-Encoding: "chunked"'],
    "TE of nothing": ["Transfer-Encoding:"],
    "folded TE": ["Transfer-Encoding:\r\n chunked"],
    "TE with a space before the colon": ["Transfer-Encoding : chunked"],
    "TE with a vertical tab": ["Transfer-Encoding: \x0bchunked"],
    "TE behind a bare CR": ["X: y\rTransfer-Encoding: chunked"],
    "TE behind a bare LF": ["X: y\nTransfer-Encoding: chunked"],
}


@pytest.mark.parametrize("name", SMUGGLING)
def test_a_second_request_cannot_be_smuggled_in(server: Server, victim: str, name: str) -> None:
    hidden = message("DELETE", path(victim), "localhost", VERSION)
    for body in (b"", b"0\r\n\r\n", b"1\r\nZ\r\nQ\r\n\r\n"):
        assert_refused(answers(server, creation(*SMUGGLING[name]) + body + hidden))


CHUNKS = {
    "a prefix": b"0x5\r\n12345\r\n0\r\n\r\n",
    "a minus": b"-5\r\n12345\r\n0\r\n\r\n",
    "a plus": b"+5\r\n12345\r\n0\r\n\r\n",
    "nothing": b"\r\n12345\r\n0\r\n\r\n",
    "a letter": b"G\r\n12345\r\n0\r\n\r\n",
    "a space first": b" 5\r\n12345\r\n0\r\n\r\n",
    "an underscore": b"0_5\r\n12345\r\n0\r\n\r\n",
    "too many digits": b"FFFFFFFFFFFFFFFFF\r\n12345\r\n0\r\n\r\n",
    "more bytes than told": b"5\r\n123456\r\n0\r\n\r\n",
    "fewer bytes than told": b"6\r\n12345\r\n0\r\n\r\n",
    "bare line feeds": b"5\n12345\n0\n\n",
    "a bare CR": b"5\r12345\r\n0\r\n\r\n",
    "an extension with a bare LF": b"5;a\nb\r\n12345\r\n0\r\n\r\n",
    "no CRLF at the end of a chunk": b"5\r\n123450\r\n\r\n",
}


@pytest.mark.parametrize("name", CHUNKS)
def test_chunks_that_are_none(server: Server, victim: str, name: str) -> None:
    url = create(server, 100)
    head = message("PATCH", path(url), "localhost", VERSION, BYTES, "Upload-Offset: 0", "Transfer-Encoding: chunked")
    hidden = message("DELETE", path(victim), "localhost", VERSION)
    (answer,) = answers(server, head + CHUNKS[name] + hidden)
    refused(answer, 400, answer.json()["code"])
    assert content(url) in {b"", b"12345", b"12345\r"}  # what was a chunk before that may be kept
    assert ask("DELETE", url).status == 204


def test_chunks_that_are_all_framing(server: Server) -> None:
    url = create(server, 100_000)
    head = message("PATCH", path(url), "localhost", VERSION, BYTES, "Upload-Offset: 0", "Transfer-Encoding: chunked")
    answer = answers(server, head, *[(b"1;" + b"x" * 10_000 + b"\r\n1\r\n") * 10] * 100)[0]
    refused(answer, 400, answer.json()["code"])
    assert ask("DELETE", url).status == 204


def test_trailers_without_end(server: Server) -> None:
    url = create(server, 100)
    head = message("PATCH", path(url), "localhost", VERSION, BYTES, "Upload-Offset: 0", "Transfer-Encoding: chunked")
    answer = answers(server, head + b"1\r\n1\r\n0\r\n", *[b"X: y\r\n" * 1000] * 100)[0]
    assert 400 <= answer.status < 500
    refused(answer, answer.status, answer.json()["code"])
    assert ask("DELETE", url).status == 204


# Bodies that were not asked for, and clients that go away.


@pytest.mark.parametrize("method", ["HEAD", "GET", "OPTIONS", "DELETE", "PUT"])
def test_a_body_where_none_belongs_is_passed_over(server: Server, method: str) -> None:
    url = f"{server.url}/{UNKNOWN}"
    hidden = message("DELETE", "/files/nothing", "localhost", VERSION)
    with Connection(url) as connection:
        connection.send(message(method, path(url), "localhost", VERSION, body=hidden))
        connection.send(message("OPTIONS", "/files", "localhost"))
        assert connection.read(method).status in {200, 404, 405}
        assert connection.read().status == 200  # the next answer is that to the next request


def test_clients_that_go_away_at_any_time(server: Server) -> None:
    request = creation("Upload-Metadata: k dg==")
    with nothing_happens(server):
        for end in range(0, len(request) - 1, 7):
            for way in ("close", "reset"):
                connection = Connection(server.origin)
                connection.send(request[:end])
                getattr(connection, way)()
