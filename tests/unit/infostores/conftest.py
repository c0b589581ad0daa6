from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tusfleet.infostores.sqlite import SqliteInfoStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that does not exist yet."""
    return tmp_path / "folder with ? # %41 and ü" / "info.db"


@pytest.fixture(params=[True, False], ids=["durable", "relaxed"])
async def store(path: Path, request: pytest.FixtureRequest) -> AsyncIterator[SqliteInfoStore]:
    path.parent.mkdir()
    store = await SqliteInfoStore.open(path, durable=request.param, capacity=None, patience=0.2)
    yield store
    await store.close()
