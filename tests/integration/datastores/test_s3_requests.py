"""What an upload costs in requests to S3, counted at a proxy: the table of what others need and we may."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.integration.datastores.s3_means import with_credentials
from tests.integration.datastores.s3_uploads import Life, store_at
from tests.kits.datastore import some_bytes
from tests.kits.streams import FakeStream
from tests.testbed.faults import S3Proxy
from tests.testbed.s3 import S3Server

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Row:
    """One kind of upload: sizes of its requests, what it may cost and what it costs exactly."""

    name: str
    sizes: tuple[int, ...]
    most: int
    exactly: dict[str, int]


ROWS = [
    Row("1 MB in one PATCH", (MEGABYTE,), 1, {"PutObject": 1}),
    Row(
        "100 MB in one PATCH",
        (100 * MEGABYTE,),
        14,
        {"CreateMultipartUpload": 1, "UploadPart": 12, "CompleteMultipartUpload": 1},
    ),
    Row(
        "20 PATCHes of 5 MiB",
        (5 * MIB,) * 20,
        22,
        {"CreateMultipartUpload": 1, "UploadPart": 20, "CompleteMultipartUpload": 1},
    ),
    Row(
        "20 PATCHes of 5,000,000 B",
        (5 * MEGABYTE,) * 20,
        45,
        {
            "CreateMultipartUpload": 1,
            "UploadPart": 14,
            "PutObject": 13,
            "CompleteMultipartUpload": 1,
            "DeleteObjects": 2,
        },
    ),
    Row(
        "100 PATCHes of 1 MiB",
        (MIB,) * 100,
        145,
        {
            "CreateMultipartUpload": 1,
            "UploadPart": 20,
            "PutObject": 80,
            "CompleteMultipartUpload": 1,
            "DeleteObjects": 10,
        },
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_what_an_upload_costs(
    row: Row,
    s3_server: S3Server,
    s3_proxy: S3Proxy,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with_credentials(s3_server, monkeypatch)
    bucket = s3_server.bucket()
    content = some_bytes(sum(row.sizes))
    async with store_at(s3_server, s3_proxy.endpoint, bucket.name) as store:
        life, start = Life(len(content)), 0
        for size in row.sizes:
            await life.patch(store, content[start : start + size])
            start += size
        counts = s3_proxy.counts()
    with capsys.disabled():
        print(f"\n{s3_server.name}: {row.name}: {sum(counts.values())} requests, at most {row.most}: {counts}")
    assert bucket.read(life.key) == content
    assert counts == row.exactly
    assert sum(counts.values()) <= row.most
    assert bucket.keys() == [life.key]
    assert bucket.multipart_uploads() == []


async def test_a_slow_line_reads_no_tail_back(
    s3_server: S3Server, s3_proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tails of a request that goes on, pauses, and is followed by another: all written, none read."""
    with_credentials(s3_server, monkeypatch)
    bucket = s3_server.bucket()
    content = some_bytes(9 * MIB)
    interval, step = 0.05, 128 * 1024
    async with store_at(
        s3_server, s3_proxy.endpoint, bucket.name, part_size=5 * MIB, checkpoint_interval=interval
    ) as store:
        life = Life(len(content))
        for start in range(0, len(content), 3 * MIB):
            pieces = [content[at : at + step] for at in range(start, start + 3 * MIB, step)]
            paced = [item for piece in pieces for item in (piece, interval)]
            paced.insert(len(paced) // 2, 20 * interval)  # so long that the request lets go of its bytes
            await life.stream(store, FakeStream(*paced))
            assert s3_proxy.counts()["PutObject"] >= 2
        counts = s3_proxy.counts()
    assert bucket.read(life.key) == content
    assert "GetObject" not in counts
    assert counts["UploadPart"] == 2


async def test_ending_an_unfinished_upload_costs_two(
    s3_server: S3Server, s3_proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_credentials(s3_server, monkeypatch)
    bucket = s3_server.bucket()
    async with store_at(s3_server, s3_proxy.endpoint, bucket.name) as store:
        life = Life(100 * MEGABYTE)
        await life.patch(store, bytes(6 * MIB))
        await life.patch(store, bytes(MIB))
        s3_proxy.clear()
        await store.abort(life.record)
        assert s3_proxy.counts() == {"AbortMultipartUpload": 1, "DeleteObjects": 1}
    assert bucket.keys() == []
    assert bucket.multipart_uploads() == []
