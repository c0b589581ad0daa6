"""What clients must not be able to do with bytes: each gets a clear 4xx, and nothing else happens."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.conformance.uploads import (
    BYTES,
    UNKNOWN,
    VERSION,
    ask,
    assert_healthy,
    content,
    create,
    final,
    finished,
    head,
    id_of,
    nothing_happens,
    partial,
    patch,
    path,
    post,
    refused,
    unchanged,
)
from tests.raw_http import Connection, Response, message
from tests.servers import Server


@pytest.fixture(scope="module")
def victim(server: Server) -> str:
    """The URL of an upload that somebody else is making."""
    return create(server, 10, "Upload-Metadata: owner YWxpY2U=", data=b"12345")


@pytest.fixture(autouse=True)
def _nothing_else_happens(server: Server, victim: str) -> Iterator[None]:
    """No new state, no traceback; the process, other uploads and a file on its way are unharmed."""
    with unchanged(victim), nothing_happens(server):
        yield
    assert_healthy(server)


def answers(server: Server, *data: bytes) -> list[Response]:
    """Send bytes, and give everything that comes back until the server ends the connection."""
    with Connection(server.origin) as connection:
        for piece in data:
            connection.offer(piece)
        return connection.end_of_answers()


def assert_refused(found: list[Response], *statuses: int) -> None:
    """One clear refusal, and the end of the connection."""
    assert [answer.status in (statuses or (400,)) for answer in found] == [True], found
    refused(found[0], found[0].status, found[0].json()["code"])
    assert found[0]["Connection"] == "close"


def creation(*fields: str) -> bytes:
    return message("POST", "/files", "localhost", VERSION, "Upload-Length: 10", *fields)


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


# Metadata.


def test_metadata_of_a_mebibyte(server: Server) -> None:
    assert_refused(answers(server, creation("Upload-Metadata: k " + "A" * 1024 * 1024)), 431)


@pytest.mark.parametrize("size", [65 * 1024, 100 * 1024])
def test_metadata_that_fits_into_a_head_but_no_further(server: Server, size: int) -> None:
    response = post(server, "Upload-Length: 10", "Upload-Metadata: k " + "A" * (size - 2))
    refused(response, 400, "invalid_header")


def test_metadata_of_ten_thousand_keys(server: Server) -> None:
    keys = ",".join(f"{number:x}" for number in range(10_000))
    refused(post(server, "Upload-Length: 10", f"Upload-Metadata: {keys}"), 400, "invalid_header")
    pairs = ",".join(f"key{number} QUFBQUFB" for number in range(10_000))
    assert_refused(answers(server, creation(f"Upload-Metadata: {pairs}")), 431)


def test_commas_for_metadata(server: Server) -> None:
    refused(post(server, "Upload-Length: 10", "Upload-Metadata: " + "," * 60_000), 400, "invalid_header")


# Ids.

IDS = [
    "..",
    ".",
    "../files",
    "..%2f",
    "%2e%2e",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%5c..%5c",
    "%252e%252e",
    "%00",
    "{id}%00",
    "%00{id}",
    "{id}%0a",
    "{id}%0d%0aX:%20y",
    "{id}%20",
    "{id}.",
    "{id}/",
    "{id}/..",
    "{id}/../{id}",
    "./{id}",
    "/{id}",
    "//{id}",
    "{id};a=b",
    "{id}:a",
    "{id},{id}",
    "{id}*",
    "*",
    "%2a",
    "'{id}'",
    "{id}'%20or%20'1'='1",
    "%c3%a9",
    "%e6%96%87%e4%bb%b6",
    "%f0%9f%98%80",
    "%ff%fe",
    "%ef%bc%8e%ef%bc%8e",
    "%c0%ae%c0%ae",
    "%ud800",
    "%",
    "%2",
    "%zz",
    "-" + "{id}",
    "_",
    "a" * 129,
    "a" * 5000,
    "null",
    "partial",
    "0",
]


@pytest.mark.parametrize("id", IDS)
def test_ids_that_are_none(server: Server, victim: str, id: str) -> None:
    url = f"{server.url}/{id.format(id=id_of(victim))}"
    for method in ("HEAD", "GET", "DELETE"):
        refused(ask(method, url), 404, "not_found", method=method)
    refused(patch(url, 5, b"67890"), 404, "not_found")
    refused(patch(url, 0), 404, "not_found")
    assert post(server, f"Upload-Concat: final;{path(url)}").status == 400


@pytest.mark.parametrize("id", ["\0", "a\0b", "é", "文件", "a b", "\x7f", "a\tb"])
def test_ids_that_http_does_not_allow(server: Server, id: str) -> None:
    for method in ("GET", "DELETE", "PATCH"):
        assert_refused(
            answers(server, message(method, f"/files/{id}", "localhost", VERSION, BYTES, "Upload-Offset: 0"))
        )


def test_the_id_may_be_spelled_with_percents(server: Server, victim: str) -> None:
    # RFC 3986 section 6.2.2.2: %61 and a are the same letter. So it is the same upload, and no way around anything.
    spelled = "".join(f"%{ord(letter):02x}" for letter in id_of(victim))
    assert head(f"{server.url}/{spelled}")["Upload-Offset"] == "5"


# Numbers.

NUMBERS = [
    "9" * 400,
    "9" * 60_000,
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551615",
    "1e400",
    "NaN",
]
NUMBERS += ["Infinity", "0x7fffffff", "١٢٣", "½", "1'000", "1.0", "-0", "+0", "1 ", "００", "0" * 20, "2**63"]


@pytest.mark.parametrize("number", NUMBERS)
def test_absurd_numbers(server: Server, victim: str, number: str) -> None:
    if number != number.strip():
        number = f"{number}1"
    refused(post(server, f"Upload-Length: {number}"), 400, "invalid_header")
    refused(post(server, "Upload-Defer-Length: 1", f"Upload-Length: {number}"), 400, "invalid_header")
    refused(ask("PATCH", victim, BYTES, f"Upload-Offset: {number}", body=b"6"), 400, "invalid_header")
    refused(patch(victim, 5, b"6", f"Upload-Length: {number}"), 400, "invalid_header")


# Concatenation.


def test_ten_thousand_parts(server: Server) -> None:
    urls = " ".join(f"/files/{number:032x}" for number in range(10_000))
    assert_refused(
        answers(server, message("POST", "/files", "localhost", VERSION, f"Upload-Concat: final;{urls}")), 431
    )


def test_ten_thousand_parts_with_short_names(server: Server) -> None:
    urls = " ".join(f"{number:04x}" for number in range(10_000))
    refused(post(server, f"Upload-Concat: final;{urls}"), 400, "invalid_concatenation")


def test_sixty_thousand_times_the_same_part(server: Server) -> None:
    refused(post(server, "Upload-Concat: final;" + "x " * 60_000), 400, "invalid_concatenation")


def test_a_good_part_among_many_bad_ones(server: Server) -> None:
    good = partial(server, b"12345")
    refused(final(server, good, *(f"{number:x}" for number in range(3000)), good), 400, "invalid_concatenation")
    assert content(good) == b"12345"
    assert ask("DELETE", good).status == 204


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


def test_after_all_that_the_upload_can_be_finished(server: Server) -> None:
    url = create(server, 10, data=b"12345")
    assert patch(url, 5, b"67890").status == 204
    assert content(url) == b"1234567890"
    other = finished(server, b"1234567890")
    assert ask("DELETE", url).status == 204
    assert ask("DELETE", other).status == 204
