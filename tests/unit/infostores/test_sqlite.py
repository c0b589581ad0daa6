from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kits.infostore import CAPACITY, InfoStoreKit
from tusfleet.infostores.sqlite import SqliteInfoStore


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "relaxed"])
class TestSqliteInfoStore(InfoStoreKit):
    @pytest.fixture
    async def store(self, tmp_path: Path, durable: bool) -> AsyncIterator[SqliteInfoStore]:
        store = await SqliteInfoStore.open(tmp_path / "info.db", durable=durable, capacity=None)
        yield store
        await store.close()

    @pytest.fixture
    async def small(self, tmp_path: Path, durable: bool) -> AsyncIterator[SqliteInfoStore]:
        store = await SqliteInfoStore.open(tmp_path / "small.db", durable=durable, capacity=CAPACITY)
        yield store
        await store.close()
