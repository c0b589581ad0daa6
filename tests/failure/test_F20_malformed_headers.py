"""F20: one malformed header aborts the process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from random import Random

import pytest

from tests.failure.aftermath import complaints, records
from tests.failure.client import KIB, MIB, Wire, ask, create, get, id_of, patch
from tests.raw_http import Response, message
from tests.servers import Server

NAMES = (
    "Upload-Offset", "Upload-Length", "Upload-Defer-Length", "Upload-Metadata", "Upload-Concat", "Upload-Checksum",
    "Tus-Resumable", "Content-Type", "Content-Length", "Transfer-Encoding", "Trailer", "Expect", "Range", "If-Range",
    "If-None-Match", "X-HTTP-Method-Override", "X-Request-Id", "Forwarded", "X-Forwarded-Host", "X-Forwarded-Proto",
    "Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers", "Authorization", "Host", "Connection",
)  # fmt: skip

VALUES = (
    b"", b" ", b"-1", b"+1", b"1.0", b"0x10", b"1e9", b"1_0", b"9" * 400, b"nan", b"\xff\xfe\xfd", b"\x00", b"\x7f",
    "１２".encode(), "💥".encode(), b"a b c", b",", b",,,,", b";", b"=", b"a=", b"=a", b'"', b"'", b"%", b"%00", b"%zz",
    b"sha1", b"sha1 ", b"sha1 !!!", b"sha1 AAAA", b"md5 " + b"A" * 9000, b"final", b"final;", b"final; ;;",
    b"final;" + b"/files/x " * 2000, b"partial;partial", b"k " + b"A" * 60000, b"k v,k v", b"k", b"bytes=", b"bytes=-",
    b"bytes=9-1", b"bytes=0-0,1-1,2-2", b"bytes=" + b"9" * 30 + b"-", b"Bearer", b"Bearer \xff", b"Basic =", b"W/",
    b"*", b"chunked", b"gzip, chunked", b"100-continue", b"close, keep-alive", b"for=\"[::1", b"for=_;for=_;", b"{}",
    b"null", b"$(reboot)", b"../../etc/passwd", b"\xc3\x28", b"\xed\xa0\x80", b"A" * 100_000,
)  # fmt: skip
"""What parsers have stumbled over."""


@pytest.fixture
def standing(server: Server) -> Iterator[tuple[Server, str]]:
    """A server with uploads of others, unharmed at the end."""
    data = Random(20).randbytes(MIB)
    half = create(server, MIB, body=data[: MIB // 2])
    done = create(server, MIB, body=data)
    process = server.process.pid
    yield server, half
    assert server.process.pid == process
    assert server.process.poll() is None, "the process has ended"
    assert patch(server, half, MIB // 2, data[MIB // 2 :]).status == 204
    for path in (half, done):
        assert hashlib.sha256(get(server, path)).digest() == hashlib.sha256(data).digest()
    assert not (found := complaints(server)), found


def answers(wire: Wire, method: str) -> list[Response]:
    """Every answer until the server ends the connection.

    To HEAD only the first: where a head is too broken to tell the method, the refusal comes with a body.
    """
    found: list[Response] = []
    try:
        while method != "HEAD" or not found:
            found.append(wire.read(method))
    except (EOFError, ConnectionResetError):
        return found
    return found


def malformed(wire: Wire, method: str, path: str, fields: dict[str, bytes]) -> bytes:
    """The head of a request, with whatever values."""
    start = message(method, path, wire.authority).removesuffix(b"\r\n")
    if "Host" in fields:
        start = start.splitlines(keepends=True)[0]
    return start + b"".join(b"%b: %b\r\n" % (name.encode(), value) for name, value in fields.items()) + b"\r\n"


@pytest.mark.parametrize("name", NAMES)
def test_F20_a_malformed_header_gets_an_answer(standing: tuple[Server, str], name: str) -> None:
    server, _ = standing
    scratch = create(server, KIB)
    targets = (("POST", server.path), ("PATCH", scratch), ("HEAD", scratch), ("GET", scratch), ("OPTIONS", "*"))
    for value in VALUES:
        for method, path in targets:
            fields = {"Tus-Resumable": b"1.0.0", "Connection": b"close", "Content-Type": b"text/plain", name: value}
            with Wire(server) as wire:
                wire.offer(malformed(wire, method, path, fields))
                if name in {"Content-Length", "Transfer-Encoding", "Connection"}:
                    end_of_requests(wire)  # the server may be waiting for a body, or for the next request
                found = answers(wire, method)
            assert found or name in {"Content-Length", "Transfer-Encoding"}, (method, value[:50])
            assert all(refused_or_answered(answer) for answer in found), (method, value[:50], found)


GARBAGE = (
    b"GET / HTTP/1.1\r\n", b"PATCH ", b"\r\n", b"\n", b"\0", b"\x16\x03\x01\x02\x00", b":", b" ", b"Host: x\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\xff" * 20, b"Content-Length: 5\r\n", b"5\r\nabc",
)  # fmt: skip


def test_F20_garbage_gets_an_answer_or_the_end(standing: tuple[Server, str]) -> None:
    server, _ = standing
    numbers = Random(20)
    for _ in range(200):
        with Wire(server) as wire:
            wire.offer(b"".join(numbers.choices(GARBAGE, k=numbers.randint(1, 12))))
            wire.offer(numbers.randbytes(numbers.randrange(50)) + b"\r\n\r\n")
            end_of_requests(wire)
            assert all(refused_or_answered(answer) for answer in answers(wire, "GET"))


def end_of_requests(wire: Wire) -> None:
    """Say that nothing more comes, unless the server has ended the connection already."""
    with suppress(OSError):
        wire.shutdown()


def refused_or_answered(answer: Response) -> bool:
    """Whether the server has neither failed nor said that it has."""
    return answer.status < 500 or answer.status in {501, 505}


def test_F20_nothing_malformed_makes_state(standing: tuple[Server, str]) -> None:
    server, half = standing
    before = records(server.data)
    at = {"Upload-Offset": str(MIB // 2), "Content-Type": "application/offset+octet-stream"}
    for fields in (
        {**at, "Upload-Offset": "0x80000"},
        {**at, "Upload-Checksum": "sha1 !!!"},
        {**at, "Upload-Checksum": "crc99 AAAA"},
        {**at, "Upload-Length": "١٢٣"},
        {**at, "Upload-Length": "-5"},
    ):
        with Wire(server) as wire:
            values = {name: value.encode() for name, value in {"Tus-Resumable": "1.0.0", **fields}.items()}
            wire.offer(malformed(wire, "PATCH", half, {**values, "Content-Length": b"3"}) + b"xyz")
            assert wire.read("PATCH").status == 400
    for fields in (
        {"Upload-Length": "1e3"},
        {"Upload-Length": "5", "Upload-Metadata": "a b c"},
        {"Upload-Length": "5", "Upload-Concat": "Partial"},
    ):
        assert ask(server, "POST", server.path, fields).status == 400
    assert records(server.data) == before
    assert id_of(half) in {row["id"] for row in before}
