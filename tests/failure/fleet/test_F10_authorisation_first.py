"""F10: the body is written before authorisation is checked: 401, and the offset has moved.

Here neither Redis nor S3 hears of a request that is refused, whatever it brings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.failure.client import BYTES, KIB, MIB, Wire, ask, create, head, id_of, offset_of, patch
from tests.failure.fleet.gateways import QUICK, ForkedGateway, gateway, need_forks
from tests.failure.fleet.stores import PART, Place
from tests.raw_http import chunked
from tests.servers import Server
from tests.testbed.faults import S3Proxy
from tests.testbed.redis_node import RedisNode

pytestmark = pytest.mark.long

OWNER = {"Authorization": "Bearer token-of-the-owner-0001"}

REFUSED: dict[str, tuple[Mapping[str, str], int]] = {
    "no credentials": ({}, 401),
    "unknown ones": ({"Authorization": "Bearer token-that-is-not-known"}, 401),
    "those of another": ({"Authorization": "Bearer token-of-another-0002"}, 404),
}
"""And the status that a request about the owner's uploads gets with them."""


LEASES = {"doubt", "fence", "given", "token"}
"""What the lease of an upload changes in Redis: a request of somebody who is known takes it to look at the record."""


def kept(node: RedisNode) -> dict[str, Any]:
    """Everything in Redis but the count of leases."""
    return {
        key: {name: value for name, value in found.items() if name not in LEASES} if isinstance(found, dict) else found
        for key, found in node.contents().items()
        if not key.endswith(":fence")
    }


@pytest.fixture
def guarded(bucket_place: Place, tmp_path: Path) -> Iterator[Server]:
    """A gateway that knows two owners."""
    need_forks()
    tokens = tmp_path / "tokens"
    tokens.write_text("token-of-the-owner-0001 tenant=one\ntoken-of-another-0002 tenant=two\n", encoding="utf-8")
    flags = (*QUICK, "--auth-tokens-file", str(tokens))
    with gateway(tmp_path / "gateway", bucket_place.backend, *flags, kind=ForkedGateway) as server:
        yield server


def requests(unfinished: str, finished: str, size: int) -> Iterator[tuple[str, str, dict[str, str], bytes | None]]:
    """Every way to change an upload; each would succeed with the token of the owner."""
    at, data = {**BYTES, "Upload-Offset": str(size)}, b"x" * MIB
    yield "PATCH", unfinished, at, data
    yield "POST", unfinished, {**at, "X-HTTP-Method-Override": "PATCH"}, data
    yield "PATCH", unfinished, {**at, "Upload-Checksum": "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA="}, data
    yield "HEAD", unfinished, {}, None
    yield "DELETE", unfinished, {}, None
    yield "DELETE", finished, {}, None
    yield "DELETE", f"/api/v1/uploads/{id_of(finished)}", {}, None


@pytest.mark.parametrize("who", REFUSED)
def test_F10_neither_redis_nor_s3_hears_of_what_is_refused(
    bucket_place: Place, line: S3Proxy, guarded: Server, redis_server: RedisNode, who: str
) -> None:
    credentials, status = REFUSED[who]
    size = PART + 300 * KIB
    unfinished, finished = create(guarded, 3 * PART, OWNER), create(guarded, KIB, OWNER, b"f" * KIB)
    assert patch(guarded, unfinished, 0, b"a" * size, OWNER).status == 204
    before = kept(redis_server)
    line.clear()
    for method, path, headers, body in requests(unfinished, finished, size):
        assert ask(guarded, method, path, {**headers, **credentials}, body).status == status, (method, path)
    with Wire(guarded) as wire:
        wire.patch(unfinished, size, None, credentials)
        wire.offer(chunked(b"x" * 2 * PART))
        assert wire.read("PATCH").status == status
    if status == 401:
        creation = {**BYTES, "Upload-Length": str(2 * PART), **credentials}
        assert ask(guarded, "POST", guarded.path, creation, b"x" * 2 * PART).status == 401
    assert line.counts() == {}
    assert kept(redis_server) == before
    assert offset_of(head(guarded, unfinished, OWNER)) == size
    rest = b"a" * (3 * PART - size)
    assert patch(guarded, unfinished, size, rest, OWNER).status == 204
    assert ask(guarded, "GET", unfinished, OWNER).body == b"a" * 3 * PART
    assert bucket_place.objects() == sorted([id_of(unfinished), id_of(finished)])
