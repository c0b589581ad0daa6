"""The S3 data store keeps the contract of the port, on both S3 servers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.integration.datastores.s3_means import with_credentials
from tests.kits.datastore import INTERVAL, DataStoreKit
from tests.testbed.s3 import Bucket
from tusfleet.datastores.s3.options import S3Options
from tusfleet.datastores.s3.store import S3DataStore
from tusfleet.observability.metrics import Metrics


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
