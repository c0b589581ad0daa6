"""F16: the limit of length is bypassed by deferring or omitting the length, or bytes are accepted beyond it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.failure.aftermath import files, partials, records
from tests.failure.client import BYTES, KIB, MIB, TUS, Wire, ask, create, get, head, held, offset, patch
from tests.failure.forked import serving
from tests.raw_http import Response, chunked
from tests.servers import Server

LIMIT = MIB
DEFERRED = {"Upload-Defer-Length": "1"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path, "--max-size", str(LIMIT)) as server:
        yield server
        assert all(path.stat().st_size <= LIMIT for path in server.data.rglob("*") if not path.name.startswith("tusf"))
        assert all((row["length"] or 0) <= LIMIT and row["offset"] <= LIMIT for row in records(server.data))


def patch_in_chunks(server: Server, path: str, at: int, body: bytes) -> Response:
    """A PATCH whose length nobody knows before its end."""
    with Wire(server) as wire:
        wire.patch(path, at, None)
        wire.offer(chunked(*(body[start : start + 64 * KIB] for start in range(0, len(body), 64 * KIB))))
        return wire.read("PATCH")


def post_in_chunks(server: Server, headers: dict[str, str], body: bytes) -> Response:
    """A creation whose body has no length."""
    with Wire(server) as wire:
        wire.request("POST", server.path, {**TUS, **BYTES, **headers, "Transfer-Encoding": "chunked"})
        wire.offer(chunked(*(body[start : start + 64 * KIB] for start in range(0, len(body), 64 * KIB))))
        return wire.read("POST")


def test_F16_the_limit_itself_is_allowed(server: Server) -> None:
    assert len(get(server, create(server, LIMIT, body=bytes(LIMIT)))) == LIMIT
    path = create(server, None)
    assert patch_in_chunks(server, path, 0, bytes(LIMIT)).status == 204
    assert patch(server, path, LIMIT, b"", {"Upload-Length": str(LIMIT)}).status == 204


@pytest.mark.parametrize("length", [LIMIT + 1, 2**40, 2**63 - 1])
def test_F16_a_creation_beyond_the_limit_creates_nothing(server: Server, length: int) -> None:
    for headers in ({}, {"Upload-Concat": "partial"}):
        answer = ask(server, "POST", server.path, {"Upload-Length": str(length), "Content-Length": "0", **headers})
        assert answer.status == 413
    assert records(server.data) == []


def test_F16_a_creation_without_a_length_creates_nothing(server: Server) -> None:
    assert ask(server, "POST", server.path, {"Content-Length": "0"}).status == 400
    assert ask(server, "POST", server.path, BYTES, b"x" * KIB).status == 400
    assert post_in_chunks(server, {}, b"x" * 2 * LIMIT).status == 400
    assert records(server.data) == []
    assert partials(server.data) == files(server.data) == set()


def test_F16_a_deferred_upload_stops_at_the_limit(server: Server) -> None:
    path = create(server, None)
    assert patch(server, path, 0, bytes(LIMIT + 1)).status == 413
    assert offset(server, path) == 0
    assert patch(server, path, 0, bytes(LIMIT - KIB)).status == 204
    assert patch(server, path, LIMIT - KIB, bytes(KIB + 1)).status == 413
    assert offset(server, path) == LIMIT - KIB
    assert patch_in_chunks(server, path, LIMIT - KIB, bytes(8 * LIMIT)).status == 413
    assert LIMIT - KIB <= offset(server, path) <= LIMIT
    assert held(server, path) <= LIMIT


def test_F16_first_bytes_of_a_deferred_upload_stop_at_the_limit(server: Server) -> None:
    answer = ask(server, "POST", server.path, {**BYTES, **DEFERRED}, bytes(LIMIT + 1))
    assert answer.status == 413
    assert post_in_chunks(server, DEFERRED, bytes(4 * LIMIT)).status == 413


@pytest.mark.parametrize("length", [LIMIT + 1, 2**63 - 1])
def test_F16_a_length_that_is_told_later_obeys_the_limit(server: Server, length: int) -> None:
    path = create(server, None, body=b"x" * KIB)
    answer = patch(server, path, KIB, b"x" * KIB, {"Upload-Length": str(length)})
    assert answer.status == 413
    assert head(server, path)["upload-defer-length"] == "1"
    assert offset(server, path) == KIB


def test_F16_no_byte_beyond_the_length_is_kept(server: Server) -> None:
    path = create(server, 10 * KIB)
    assert patch(server, path, 0, bytes(10 * KIB + 1)).status == 413
    assert offset(server, path) == 0
    assert patch_in_chunks(server, path, 0, bytes(300 * KIB)).status == 413
    at = offset(server, path)
    assert at <= 10 * KIB
    assert held(server, path) <= 10 * KIB
    assert patch(server, path, at, bytes(10 * KIB - at)).status == 204
    for answer in (patch(server, path, 10 * KIB, b"x"), patch_in_chunks(server, path, 10 * KIB, b"x" * LIMIT)):
        assert answer.status == 413
    assert get(server, path) == bytes(10 * KIB)


def test_F16_first_bytes_beyond_the_length_create_nothing(server: Server) -> None:
    assert ask(server, "POST", server.path, {**BYTES, "Upload-Length": "5"}, b"123456").status == 413
    assert post_in_chunks(server, {"Upload-Length": "5"}, b"123456").status == 413
    assert files(server.data) == set()


def test_F16_parts_that_are_small_do_not_make_a_big_upload(server: Server) -> None:
    partial = {"Upload-Concat": "partial"}
    parts = [create(server, LIMIT // 2 + 1, partial, bytes(LIMIT // 2 + 1)) for _ in range(2)]
    final = {"Upload-Concat": f"final;{' '.join(parts)}", "Content-Length": "0"}
    assert ask(server, "POST", server.path, final).status == 413
    late = create(server, None, partial)
    waiting = {"Upload-Concat": f"final;{parts[0]} {late}", "Content-Length": "0"}
    answer = ask(server, "POST", server.path, waiting)
    assert answer.status == 201
    # Its length is known only now, and with it the sum.
    assert patch(server, late, 0, bytes(LIMIT), {"Upload-Length": str(LIMIT)}).status == 204
    path = "/" + answer["location"].split("/", 3)[3]
    assert head(server, path).status in (410, 413)
