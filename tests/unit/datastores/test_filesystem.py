from __future__ import annotations

from pathlib import Path

import pytest

from tests.kits.datastore import INTERVAL, DataStoreKit
from tusfleet.datastores.filesystem import FilesystemDataStore


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "relaxed"])
class TestFilesystemDataStore(DataStoreKit):
    @pytest.fixture
    async def store(self, tmp_path: Path, durable: bool) -> FilesystemDataStore:
        store = FilesystemDataStore(
            tmp_path / "data", durable=durable, checkpoint_interval=INTERVAL, key_template="{yyyy}/{filename}"
        )
        await store.prepare()
        return store
