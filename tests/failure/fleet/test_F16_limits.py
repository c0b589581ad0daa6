"""F16: the limit of length is bypassed by deferring or omitting the length, or bytes are accepted beyond it.

Here no way leads past it, and S3 never holds more of an upload than that.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.failure.client import BYTES, KIB, MIB, TUS, Wire, ask, create, head, offset, patch
from tests.failure.fleet.gateways import QUICK, ForkedGateway, gateway, need_forks
from tests.failure.fleet.passages import finished
from tests.failure.fleet.stores import PART, Place
from tests.raw_http import Response, chunked
from tests.servers import Server

pytestmark = pytest.mark.long

LIMIT = PART + MIB


@pytest.fixture
def limited(bucket_place: Place, tmp_path: Path) -> Iterator[Server]:
    """A gateway that takes no upload beyond `LIMIT`; in the end there is none."""
    need_forks()
    flags = (*QUICK, "--max-size", str(LIMIT))
    with gateway(tmp_path / "gateway", bucket_place.backend, *flags, kind=ForkedGateway) as server:
        yield server
        bucket = bucket_place.bucket
        assert bucket is not None
        assert all(bucket.head(key)["ContentLength"] <= LIMIT for key in bucket_place.objects())
        for key, upload in bucket.multipart_uploads():
            assert sum(size for _, size in bucket.parts(key, upload)) <= LIMIT


def in_chunks(server: Server, method: str, path: str, headers: dict[str, str], body: bytes) -> Response:
    """A request whose length nobody knows before its end."""
    with Wire(server) as wire:
        wire.request(method, path, {**TUS, **BYTES, **headers, "Transfer-Encoding": "chunked"})
        wire.offer(chunked(*(body[start : start + 64 * KIB] for start in range(0, len(body), 64 * KIB))))
        return wire.read(method)


def test_F16_a_length_that_is_not_told_lets_nobody_past_the_limit(bucket_place: Place, limited: Server) -> None:
    deferred, none = {"Upload-Defer-Length": "1"}, {"Content-Length": "0"}
    for length in (LIMIT + 1, 2**40, 2**63 - 1):
        assert ask(limited, "POST", limited.path, {"Upload-Length": str(length), **none}).status == 413
    assert ask(limited, "POST", limited.path, none).status == 400
    assert in_chunks(limited, "POST", limited.path, {}, bytes(KIB)).status == 400
    assert ask(limited, "POST", limited.path, {**BYTES, **deferred}, bytes(LIMIT + 1)).status == 413
    assert in_chunks(limited, "POST", limited.path, deferred, bytes(2 * LIMIT)).status == 413
    path = create(limited, None)
    assert patch(limited, path, 0, bytes(LIMIT + 1)).status == 413
    assert offset(limited, path) == 0
    assert in_chunks(limited, "PATCH", path, {"Upload-Offset": "0"}, bytes(2 * LIMIT)).status == 413
    at = offset(limited, path)
    assert at <= LIMIT
    for length in (LIMIT + 1, 2**63 - 1):
        assert patch(limited, path, at, b"", {"Upload-Length": str(length)}).status == 413
    assert head(limited, path)["upload-defer-length"] == "1"
    assert patch(limited, path, at, bytes(LIMIT - at), {"Upload-Length": str(LIMIT)}).status == 204
    finished(limited, bucket_place, path, bytes(LIMIT))


def test_F16_no_byte_beyond_the_length_is_kept(bucket_place: Place, limited: Server) -> None:
    assert ask(limited, "POST", limited.path, {**BYTES, "Upload-Length": "5"}, b"123456").status == 413
    assert in_chunks(limited, "POST", limited.path, {"Upload-Length": "5"}, b"123456").status == 413
    assert bucket_place.objects() == []
    for length in (300 * KIB, PART):
        path = create(limited, length)
        assert patch(limited, path, 0, bytes(length + 1)).status == 413
        assert offset(limited, path) == 0
        assert in_chunks(limited, "PATCH", path, {"Upload-Offset": "0"}, bytes(length + MIB)).status == 413
        at = offset(limited, path)
        assert at <= length
        assert patch(limited, path, at, bytes(length - at)).status == 204
        beyond = {"Upload-Offset": str(length)}
        for answer in (patch(limited, path, length, b"x"), in_chunks(limited, "PATCH", path, beyond, b"x" * MIB)):
            assert answer.status == 413
        finished(limited, bucket_place, path, bytes(length))


def test_F16_parts_that_are_small_do_not_make_a_big_upload(limited: Server) -> None:
    partial = {"Upload-Concat": "partial"}
    parts = [create(limited, LIMIT // 2 + 1, partial, bytes(LIMIT // 2 + 1)) for _ in range(2)]
    final = {"Upload-Concat": f"final;{' '.join(parts)}", "Content-Length": "0"}
    assert ask(limited, "POST", limited.path, final).status == 413
