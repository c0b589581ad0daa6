"""What one process has written it knows without looking, and never otherwise than the file has it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.kits.infostore import record
from tusfleet.infostores import _recent
from tusfleet.infostores.sqlite import SqliteInfoStore
from tusfleet.uploads.errors import FenceLost, Unavailable
from tusfleet.uploads.models import Concat, ConcatKind, Metadata, State, Upload

pytestmark = pytest.mark.anyio

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "info.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteInfoStore]:
    store = await SqliteInfoStore.open(path, durable=False, capacity=None, sole=True)
    yield store
    await store.close()


async def as_the_file_has_it(path: Path, id: str) -> Upload | None:
    other = await SqliteInfoStore.open(path, durable=False, capacity=None)
    try:
        return await other.read(id)
    finally:
        await other.close()


def behind_its_back(path: Path, id: str) -> None:
    """Change a record as nobody else does while a server has the file."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE uploads SET tenant = 'changed' WHERE id = ?", (id,))


RECORDS = {
    "bare": record("u", length=100),
    "deferred": record("u"),
    "everything": record(
        "u",
        length=100,
        metadata=Metadata.parse("filename YQ==,empty"),
        concat=Concat(ConcatKind.FINAL, "final;/files/a /files/b", ("a", "b")),
        expires_at=MOMENT,
        tenant="them",
        reserved=100,
        state=State.FINISHING,
    ),
    "placed by a hook": record("u", length=1, placement={"key": ("a", "b")}),
}


@pytest.mark.parametrize("upload", RECORDS.values(), ids=RECORDS)
async def test_what_it_knows_is_what_the_file_has(store: SqliteInfoStore, path: Path, upload: Upload) -> None:
    await store.insert(upload)
    found = await store.read("u")
    assert found is not None
    assert found == await as_the_file_has_it(path, "u")
    new = await store.commit(found, 1, {"offset": 1, "placement": {"ino": 7}, "expires_at": MOMENT})
    assert await store.read("u") == new == await as_the_file_has_it(path, "u")


async def test_what_was_written_is_not_looked_up(store: SqliteInfoStore, path: Path) -> None:
    await store.insert(record("u", length=100))
    behind_its_back(path, "u")
    found = await store.read("u")
    assert found is not None
    assert found.tenant is None


async def test_only_so_many_are_kept(store: SqliteInfoStore, path: Path) -> None:
    for number in range(_recent.MOST + 1):
        await store.insert(record(f"u{number}", length=100))
    behind_its_back(path, "u0")
    behind_its_back(path, "u1")
    tenants = [found.tenant for id in ("u0", "u1") if (found := await store.read(id)) is not None]
    assert tenants == ["changed", None]


async def test_a_commit_that_failed_leaves_nothing_to_know(store: SqliteInfoStore, path: Path) -> None:
    upload = record("u", length=100)
    await store.insert(upload)
    behind_its_back(path, "u")
    with pytest.raises(FenceLost):
        await store.commit(record("u", length=100, offset=50), 1, {"offset": 60})
    found = await store.read("u")
    assert found is not None
    assert found.tenant == "changed"


async def test_a_commit_that_was_cancelled_counts_as_the_file_has_it(store: SqliteInfoStore, path: Path) -> None:
    upload = record("u", length=100)
    await store.insert(upload)
    commit = asyncio.create_task(store.commit(upload, 1, {"offset": 10}))
    await asyncio.sleep(0)
    commit.cancel()
    with pytest.raises(asyncio.CancelledError):
        await commit
    found = await store.read("u")
    assert found is not None
    assert (found.offset, found) == (10, await as_the_file_has_it(path, "u"))


async def test_what_was_deleted_is_gone(store: SqliteInfoStore) -> None:
    upload = record("u", length=100)
    await store.insert(upload)
    await store.delete(upload)
    assert await store.read("u") is None
    # A record that has changed meanwhile stays.
    await store.insert(upload)
    new = await store.commit(upload, 1, {"offset": 10})
    await store.delete(upload)
    assert await store.read("u") == new


async def test_a_closed_store_knows_nothing(path: Path) -> None:
    store = await SqliteInfoStore.open(path, durable=False, capacity=None, sole=True)
    await store.insert(record("u", length=100))
    await store.close()
    with pytest.raises(Unavailable):
        await store.read("u")
