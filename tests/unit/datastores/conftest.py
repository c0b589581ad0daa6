from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.datastores.stores import new_store
from tusfleet.datastores.filesystem import FilesystemDataStore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
async def store(root: Path) -> FilesystemDataStore:
    return await new_store(root)
