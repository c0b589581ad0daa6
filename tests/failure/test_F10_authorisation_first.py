"""F10: the body is written before authorisation is checked: 401, and the offset has moved."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.failure.aftermath import records
from tests.failure.client import BYTES, KIB, MIB, TUS, Wire, ask, create, head, id_of, offset_of, patch
from tests.failure.forked import serving
from tests.raw_http import chunked
from tests.servers import Server

OWNER = {"Authorization": "Bearer token-of-the-owner-0001"}
OTHER = {"Authorization": "Bearer token-of-another-0002"}
NOBODY: dict[str, str] = {}
WRONG = {"Authorization": "Bearer token-that-is-not-known"}
BASIC = {"Authorization": "Basic dG9rZW4tb2YtdGhlLW93bmVyLTAwMDE6"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    tokens = tmp_path / "tokens"
    tokens.write_text("token-of-the-owner-0001 tenant=one\ntoken-of-another-0002 tenant=two\n", encoding="utf-8")
    with serving(tmp_path, "--auth-tokens-file", str(tokens)) as server:
        yield server


@pytest.fixture
def unfinished(server: Server) -> str:
    path = create(server, 2 * MIB, OWNER)
    assert patch(server, path, 0, b"a" * KIB, OWNER).status == 204
    return path


@pytest.fixture
def finished(server: Server) -> str:
    return create(server, KIB, OWNER, b"f" * KIB)


def state(server: Server) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Every byte of the data folder outside of the database, and every record in it."""
    files = {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in server.data.rglob("*")
        if path.is_file() and not path.name.startswith("tusfleet.db")
    }
    return files, records(server.data)


def requests(server: Server, unfinished: str, finished: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Every way to change or learn something; each would succeed with the token of the owner."""
    at, length = {"Upload-Offset": str(KIB)}, {"Upload-Length": str(KIB)}
    yield "POST", server.path, length
    yield "POST", server.path, {**length, **BYTES}
    yield "POST", server.path, {"Upload-Defer-Length": "1", **BYTES}
    yield "POST", server.path, {**length, "Upload-Concat": "partial"}
    yield "HEAD", unfinished, {}
    yield "HEAD", finished, {}
    yield "PATCH", unfinished, {**BYTES, **at}
    yield "PATCH", unfinished, {**BYTES, **at, "Upload-Checksum": "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA="}
    yield "POST", unfinished, {**BYTES, **at, "X-HTTP-Method-Override": "PATCH"}
    yield "GET", unfinished, {**BYTES, **at, "X-HTTP-Method-Override": "PATCH"}
    yield "POST", unfinished, {"X-HTTP-Method-Override": "DELETE"}
    yield "DELETE", unfinished, {}
    yield "DELETE", finished, {}
    yield "GET", finished, {}
    yield "GET", "/api/v1/uploads", {}
    yield "GET", f"/api/v1/uploads/{id_of(finished)}", {}
    yield "DELETE", f"/api/v1/uploads/{id_of(finished)}", {}


@pytest.mark.parametrize("credentials", [NOBODY, WRONG, BASIC], ids=["none", "unknown", "of another kind"])
def test_F10_without_credentials_nothing_changes(
    server: Server, unfinished: str, finished: str, credentials: Mapping[str, str]
) -> None:
    before = state(server)
    for method, path, headers in requests(server, unfinished, finished):
        body = b"x" * KIB if "Content-Type" in headers else None
        answer = ask(server, method, path, {**headers, **credentials}, body)
        assert answer.status == 401, (method, path, headers, answer)
        assert "www-authenticate" in answer
        assert "upload-offset" not in answer
        assert state(server) == before, (method, path, headers)


def test_F10_the_uploads_of_others_are_not_there(server: Server, unfinished: str, finished: str) -> None:
    before = state(server)
    for method, path, headers in requests(server, unfinished, finished):
        if path in (server.path, "/api/v1/uploads"):
            continue
        body = b"x" * KIB if "Content-Type" in headers else None
        answer = ask(server, method, path, {**headers, **OTHER}, body)
        assert answer.status == 404, (method, path, headers, answer)
        assert state(server) == before, (method, path, headers)
    stolen = {"Upload-Concat": f"final;{finished}", "Content-Length": "0", **OTHER}
    assert ask(server, "POST", server.path, stolen).status == 400
    assert ask(server, "GET", "/api/v1/uploads?state=open&state=finished", OTHER).json()["uploads"] == []
    assert state(server) == before


def test_F10_a_refusal_comes_before_the_body(server: Server, unfinished: str) -> None:
    before = state(server)
    for headers in (NOBODY, {"Expect": "100-continue"}):
        with Wire(server) as wire:
            wire.patch(unfinished, KIB, MIB, headers)
            # Not one byte of the body has been sent, and no 100 (Continue) asks for it.
            assert wire.read("PATCH").status == 401
        with Wire(server) as wire:
            creation = {**TUS, **BYTES, "Upload-Length": str(MIB), "Content-Length": str(MIB), **headers}
            wire.request("POST", server.path, creation)
            assert wire.read("POST").status == 401
    assert state(server) == before


def test_F10_a_body_that_is_sent_all_the_same_is_not_kept(server: Server, unfinished: str) -> None:
    before = state(server)
    with Wire(server) as wire:
        wire.patch(unfinished, KIB, None)
        wire.offer(chunked(b"x" * MIB))
        assert wire.read("PATCH").status == 401
    assert state(server) == before
    answer = head(server, unfinished, OWNER)
    assert offset_of(answer) == KIB
    assert patch(server, unfinished, KIB, b"a" * (2 * MIB - KIB), OWNER).status == 204
    assert ask(server, "GET", unfinished, OWNER).body == b"a" * 2 * MIB


def test_F10_a_refused_request_does_not_interrupt_the_owner(server: Server, unfinished: str) -> None:
    with Wire(server) as owner:
        owner.patch(unfinished, KIB, 2 * MIB - KIB, OWNER)
        owner.send(b"a" * KIB)
        for headers, status in ((NOBODY, 401), (OTHER, 404)):
            assert head(server, unfinished, headers).status == status
            assert patch(server, unfinished, KIB, b"x", headers).status == status
            assert ask(server, "DELETE", unfinished, headers).status == status
        owner.send(b"a" * (2 * MIB - 2 * KIB))
        assert owner.read("PATCH").status == 204
