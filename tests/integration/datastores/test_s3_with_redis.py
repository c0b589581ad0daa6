"""The S3 store under the leases of Redis: which lease follows which, and what a request costs in commits."""

from __future__ import annotations

from contextlib import aclosing

import pytest

from tests.integration.datastores.s3_means import new_upload, with_credentials
from tests.integration.datastores.s3_uploads import store_at
from tests.integration.redis.gateways import Gateway, gateway_at
from tests.kits.datastore import some_bytes
from tests.kits.streams import FakeStream
from tests.testbed.redis_node import RedisNode
from tests.testbed.s3 import Bucket
from tusfleet.datastores.s3.placement import S3Placement
from tusfleet.datastores.s3.store import S3DataStore
from tusfleet.uploads.models import State, Upload

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024


async def patch(gateway: Gateway, store: S3DataStore, id: str, content: bytes) -> tuple[Upload, int]:
    """One request under one lease: the record then, and how many commits it took."""
    lease = await gateway.locker.acquire(id, 1.0)
    record, commits = lease.upload, 0
    assert record is not None
    async with aclosing(store.append(record, FakeStream(content))) as checkpoints:
        async for checkpoint in checkpoints:
            change = {"offset": checkpoint.offset, "placement": checkpoint.placement}
            record = await gateway.info.commit(record, lease.fence, change)  # type: ignore[arg-type]
            commits += 1
    await lease.release()
    return record, commits


async def test_parts_of_leases_in_turn_take_one_commit_each_and_numbers_without_gaps(
    redis_server: RedisNode, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_credentials(bucket.server, monkeypatch)
    content = some_bytes(5 * MIB)
    upload = new_upload(50 * MIB)
    async with (
        gateway_at(redis_server.url) as first,
        gateway_at(redis_server.url) as second,
        store_at(bucket.server, bucket.endpoint, bucket.name) as store,
    ):
        await first.info.insert(upload)
        for gateway in (first, second, first, second):
            record, commits = await patch(gateway, store, upload.id, content)
            assert commits == 1
        # Somebody comes, and goes without a word: whoever follows cannot know what it has sent.
        await (await first.locker.acquire(upload.id, 1.0)).release()
        record, commits = await patch(second, store, upload.id, content)
        assert commits == 2
        # None of them came with a lease; all come to whoever makes the object.
        assert S3Placement.of(record.placement).kept
        record = await second.info.commit(record, record.fence, {"state": State.FINISHING})
    assert [part.number for part in S3Placement.of(record.placement).all_parts()] == [1, 2, 3, 4, 9]
