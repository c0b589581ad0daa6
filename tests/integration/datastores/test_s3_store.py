"""The S3 data store keeps the contract of the port, on both S3 servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.integration.datastores.s3_means import with_credentials
from tests.kits.datastore import INTERVAL, DataStoreKit
from tests.testbed.s3 import Bucket
from tusfleet.datastores.s3.options import S3Options
from tusfleet.datastores.s3.store import S3DataStore
from tusfleet.observability.metrics import Metrics
from tusfleet.uploads.ports import DataStore


@pytest.mark.anyio
@pytest.mark.parametrize("direct", [True, False], ids=["direct", "sdk"])
class TestS3DataStore(DataStoreKit):
    @pytest.fixture
    async def store(self, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, direct: bool) -> AsyncIterator[S3DataStore]:
        with_credentials(bucket.server, monkeypatch)
        options = S3Options(
            bucket=bucket.name,
            endpoint=bucket.endpoint,
            region=bucket.server.region,
            part_size=5 * 1024 * 1024,
            checkpoint_interval=INTERVAL,
            direct=direct,
        )
        async with S3DataStore.open(options, Metrics()) as store:
            yield store

    async def test_leftovers_are_the_unfinished_bytes_that_nobody_touches(self, store: DataStore) -> None:
        assert isinstance(store, S3DataStore)
        # Bytes in the record are left nowhere.
        async with S3DataStore.open(replace(store._means.options, tail_inline_max=0)) as without_inline:
            await super().test_leftovers_are_the_unfinished_bytes_that_nobody_touches(without_inline)
