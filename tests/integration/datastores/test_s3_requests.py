"""What an upload costs in requests to S3, counted at a proxy, exactly: never more than the table here says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.failure.client import ask, create, head, patch
from tests.servers import Server
from tests.testbed.faults import S3Proxy
from tests.testbed.gateways import Fleet, fleet, on_s3
from tests.testbed.redis_node import RedisNode
from tests.testbed.redis_topologies import RedisTopology
from tests.testbed.s3 import Bucket

MIB = 1024 * 1024


@pytest.fixture
def gateway(tmp_path: Path, redis_server: RedisNode, bucket: Bucket, s3_proxy: S3Proxy) -> Iterator[Fleet]:
    """One gateway whose requests to S3 are counted."""
    records = RedisTopology("standalone", redis_server.url, [redis_server])
    with fleet(tmp_path, on_s3(records, bucket, s3_proxy.endpoint), count=1, janitor=False) as running:
        s3_proxy.clear()
        yield running


def upload(server: Server, content: bytes, *sizes: int) -> str:
    """Create an upload and send it in requests of these sizes; gives its path."""
    path, at = create(server, len(content)), 0
    for size in sizes:
        assert patch(server, path, at, content[at : at + size]).status == 204
        at += size
    assert at == len(content)
    return path


ROWS = [
    ("1 MB, POST + PATCH", [1_000_000], 1),
    ("100 MB in one PATCH", [100_000_000], 12 + 2),
    ("20 PATCHes of 5 MiB", [5 * MIB] * 20, 22),
    ("20 PATCHes of 5,000,000 B", [5_000_000] * 20, 45),
    ("100 PATCHes of 1 MiB", [MIB] * 100, 145),
]


@pytest.mark.parametrize(("name", "sizes", "most"), ROWS, ids=[row[0] for row in ROWS])
def test_an_upload_takes_few_requests(
    gateway: Fleet, s3_proxy: S3Proxy, bucket: Bucket, name: str, sizes: list[int], most: int
) -> None:
    content = Random(1).randbytes(sum(sizes))
    path = upload(gateway, content, *sizes)
    counts = s3_proxy.counts()
    print(f"{name}: {sum(counts.values())} of {most} at most: {counts}")
    assert bucket.sha256(path.rpartition("/")[2]) == hashlib.sha256(content).hexdigest()
    assert sum(counts.values()) <= most, counts


def test_creation_with_upload_takes_one_request(gateway: Fleet, s3_proxy: S3Proxy) -> None:
    create(gateway, 1_000_000, body=bytes(1_000_000))
    assert s3_proxy.counts() == {"PutObject": 1}


def test_asking_takes_none(gateway: Fleet, s3_proxy: S3Proxy) -> None:
    path = create(gateway, 20 * MIB)
    assert patch(gateway, path, 0, bytes(6 * MIB)).status == 204
    finished = upload(gateway, bytes(1000), 1000)
    s3_proxy.clear()
    assert head(gateway, path).status == 200
    assert head(gateway, finished).status == 200
    assert s3_proxy.counts() == {}


@pytest.mark.parametrize("sent", [0, 1_000_000, 6 * MIB, 7_000_000], ids=str)
def test_ending_an_unfinished_upload_takes_two_at_most(
    gateway: Fleet, s3_proxy: S3Proxy, bucket: Bucket, sent: int
) -> None:
    path = create(gateway, 20 * MIB)
    if sent:
        assert patch(gateway, path, 0, bytes(sent)).status == 204
    s3_proxy.clear()
    assert ask(gateway, "DELETE", path).status == 204
    assert sum(s3_proxy.counts().values()) <= 2, s3_proxy.counts()
    assert (bucket.keys(), bucket.multipart_uploads()) == ([], [])
