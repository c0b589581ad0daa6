from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.kits.infostore import CAPACITY, NOW, InfoStoreKit, record
from tusfleet.infostores.sqlite import SqliteInfoStore
from tusfleet.uploads.models import Query, State

SOON = 10.0
"""Seconds in which a thing that must happen has happened."""


@pytest.mark.parametrize("sole", [True, False], ids=["sole", "shared"])
@pytest.mark.parametrize("durable", [True, False], ids=["durable", "relaxed"])
class TestSqliteInfoStore(InfoStoreKit):
    @pytest.fixture
    async def store(self, tmp_path: Path, durable: bool, sole: bool) -> AsyncIterator[SqliteInfoStore]:
        store = await SqliteInfoStore.open(tmp_path / "info.db", durable=durable, capacity=None, sole=sole)
        yield store
        await store.close()

    @pytest.fixture
    async def small(self, tmp_path: Path, durable: bool, sole: bool) -> AsyncIterator[SqliteInfoStore]:
        store = await SqliteInfoStore.open(tmp_path / "small.db", durable=durable, capacity=CAPACITY, sole=sole)
        yield store
        await store.close()


@pytest.mark.anyio
async def test_commits_made_at_the_same_time_share_their_transactions(store: SqliteInfoStore) -> None:
    uploads = [record(f"u{n}", length=100) for n in range(200)]
    await asyncio.gather(*(store.insert(upload) for upload in uploads))
    before = store.transactions

    async def write(n: int) -> None:
        upload = uploads[n]
        for offset in range(1, 11):
            upload = await store.commit(upload, 1, {"offset": offset})

    await asyncio.gather(*(write(n) for n in range(len(uploads))))
    assert store.transactions - before < 2000 / 10
    assert {upload.offset for upload in (await store.scan(Query(), limit=300)).uploads} == {10}


@pytest.mark.anyio
async def test_operations_are_carried_out_in_the_order_in_which_they_were_given(store: SqliteInfoStore) -> None:
    upload = record("a")
    outcomes = await asyncio.gather(
        store.insert(upload), store.commit(upload, 1, {"offset": 1}), store.delete(upload), store.next_epoch()
    )
    assert outcomes[1] == await store.read("a")


@pytest.mark.anyio
async def test_whoever_is_cancelled_has_its_commit_behind_it(store: SqliteInfoStore) -> None:
    """Otherwise a commit could move the offset after the lease has gone to somebody else."""
    upload = record("a")
    await store.insert(upload)
    task = asyncio.create_task(store.commit(upload, 1, {"offset": 5}))
    others = [asyncio.create_task(store.insert(record(f"u{n}"))) for n in range(20)]
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, SOON)
    current = await store.read("a")
    assert current is not None
    assert current.offset == 5
    await asyncio.wait_for(asyncio.gather(*others), SOON)
    assert (await store.usage()).uploads == 21


@pytest.mark.anyio
async def test_whoever_is_cancelled_while_its_commit_fails_leaves_nothing_behind(
    store: SqliteInfoStore, path: Path
) -> None:
    await store.insert(record("a"))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        task = asyncio.create_task(store.commit(record("a"), 1, {"offset": 5}))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, SOON)
        other.execute("ROLLBACK")
    await store.commit(record("a"), 1, {"offset": 6})


@pytest.mark.anyio
async def test_a_defect_in_one_operation_does_not_end_the_writing(
    store: SqliteInfoStore, caplog: pytest.LogCaptureFixture
) -> None:
    # Half of a surrogate pair: no text that SQLite could keep.
    with pytest.raises(Exception, match="The server failed"):
        await store.insert(record("a", tenant="\ud800"))
    assert "UnicodeEncodeError" in caplog.text
    await store.insert(record("a"))


@pytest.mark.anyio
async def test_only_changed_columns_are_written(store: SqliteInfoStore) -> None:
    upload = record("a", expires_at=NOW, fence=1)
    await store.insert(upload)
    statements: list[str] = []
    store._writer._connection.set_trace_callback(statements.append)
    await store.commit(upload, 1, {"offset": 5, "length": 10, "reserved": 10, "state": State.OPEN, "expires_at": NOW})
    assert [text for text in statements if text.startswith("UPDATE")] == [
        "UPDATE uploads SET offset = 5 WHERE id = 'a'"
    ]
