from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.kits.infostore import event, record
from tusfleet.infostores._schema import APPLICATION_ID, MIGRATIONS, UnusableFile
from tusfleet.infostores.sqlite import SqliteInfoStore
from tusfleet.uploads.errors import StoreFull, Unavailable
from tusfleet.uploads.models import Query, Usage


def shell(path: Path) -> closing[sqlite3.Connection]:
    """A second program that has the file open."""
    return closing(sqlite3.connect(path, isolation_level=None))


@pytest.mark.anyio
async def test_everything_is_there_again_after_it_was_closed(path: Path) -> None:
    path.parent.mkdir()
    for turn in range(3):
        store = await SqliteInfoStore.open(path, durable=True, capacity=None)
        assert await store.usage() == Usage(turn, turn, turn * 10)
        assert len(await store.outbox()) == turn
        upload = record(f"u{turn}")
        await store.insert(upload, [event(upload.id, upload)])
        await store.close()
        await store.close()
        assert sorted(path.parent.iterdir()) == [path]


@pytest.mark.anyio
async def test_a_store_that_is_over_a_lowered_capacity_can_only_shrink(tmp_path: Path) -> None:
    path = tmp_path / "info.db"
    upload = record("a", reserved=500)
    store = await SqliteInfoStore.open(path, durable=True, capacity=None)
    await store.insert(upload)
    await store.close()
    store = await SqliteInfoStore.open(path, durable=True, capacity=100)
    upload = await store.commit(upload, 1, {"offset": 5})
    with pytest.raises(StoreFull):
        await store.commit(upload, 1, {"reserved": 501})
    await store.commit(upload, 1, {"reserved": 200})
    await store.insert(record("b", reserved=0))
    with pytest.raises(StoreFull, match="room for 0 more bytes"):
        await store.insert(record("c", reserved=1))
    await store.close()


@pytest.mark.anyio
async def test_epochs_grow_over_restarts(path: Path) -> None:
    path.parent.mkdir()
    epochs = []
    for _ in range(3):
        store = await SqliteInfoStore.open(path, durable=True, capacity=None)
        epochs += await asyncio.gather(*(store.next_epoch() for _ in range(3)))
        await store.close()
    assert epochs == sorted(set(epochs))
    assert epochs[0] > 0


@pytest.mark.anyio
async def test_a_store_that_is_closed_says_so(store: SqliteInfoStore) -> None:
    waiting = asyncio.create_task(store.insert(record("a")))
    await asyncio.sleep(0)
    await store.close()
    await waiting
    for attempt in (store.read("a"), store.insert(record("b")), store.scan(Query()), store.probe(), store.usage()):
        with pytest.raises(Unavailable, match="closed"):
            await attempt


def _foreign(path: Path) -> None:
    with shell(path) as connection:
        connection.execute("CREATE TABLE songs (title)")


def _foreign_with_a_log(path: Path) -> None:
    with shell(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA application_id = 77")
        connection.execute("CREATE TABLE uploads (id)")


def _text(path: Path) -> None:
    path.write_text("Dear diary, today I had soup.\n" * 500)


def _short(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0")


def _damaged_schema(path: Path) -> None:
    asyncio.run(_create(path))
    content = bytearray(path.read_bytes())
    content[100:2000] = b"\xff" * 1900
    path.write_bytes(content)


def _newer(path: Path) -> None:
    asyncio.run(_create(path))
    with shell(path) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")


def _zeros(path: Path) -> None:
    path.write_bytes(bytes(8192))


async def _create(path: Path) -> None:
    store = await SqliteInfoStore.open(path, durable=True, capacity=None)
    await store.insert(record("a"))
    await store.close()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_foreign, "another program"),
        (_foreign_with_a_log, "another program"),
        (_text, "not an SQLite database"),
        (_short, "another program"),
        (_damaged_schema, "damaged"),
        (_newer, "written by a newer one"),
        (_zeros, "damaged"),
        (Path.mkdir, "directory"),
    ],
)
def test_a_file_that_cannot_serve_is_named_and_left_as_it_is(tmp_path: Path, make: object, reason: str) -> None:
    assert callable(make)
    path = tmp_path / "tusfleet.db"
    make(path)
    before = {file: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
    with pytest.raises(UnusableFile, match=reason) as caught:
        asyncio.run(SqliteInfoStore.open(path, durable=True, capacity=None))
    assert str(path) in caught.value.detail
    assert "\n" not in caught.value.detail
    assert {file: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()} == before


@pytest.mark.anyio
async def test_a_folder_that_is_missing_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"missing/info\.db cannot be opened"):
        await SqliteInfoStore.open(tmp_path / "missing" / "info.db", durable=True, capacity=None)


@pytest.mark.anyio
async def test_an_empty_file_is_taken_for_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "info.db"
    path.touch()
    await _create(path)
    assert int.from_bytes(path.read_bytes()[68:72], "big") == APPLICATION_ID


def test_damage_behind_the_first_page_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "info.db"
    asyncio.run(_create(path))
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(UnusableFile, match="damaged"):
        asyncio.run(SqliteInfoStore.open(path, durable=True, capacity=None))


# Versions of the schema

WITH_COLOURS = (
    *MIGRATIONS,
    (
        "CREATE TABLE colours (name TEXT NOT NULL)",
        "INSERT INTO colours SELECT id FROM uploads",
    ),
)


def _version(path: Path) -> int:
    with shell(path) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


@pytest.mark.anyio
async def test_an_older_file_is_brought_to_the_newest_version_and_keeps_its_records(tmp_path: Path) -> None:
    path = tmp_path / "info.db"
    await _create(path)
    assert _version(path) == len(MIGRATIONS)
    for _ in range(2):
        store = await SqliteInfoStore.open(path, durable=True, capacity=None, migrations=WITH_COLOURS)
        assert await store.read("a") == record("a")
        await store.close()
    assert _version(path) == len(MIGRATIONS) + 1
    with shell(path) as connection:
        assert connection.execute("SELECT name FROM colours").fetchall() == [("a",)]
    with pytest.raises(UnusableFile, match="newer"):
        await SqliteInfoStore.open(path, durable=True, capacity=None)


@pytest.mark.anyio
async def test_a_migration_that_fails_leaves_the_version_before_it(tmp_path: Path) -> None:
    path = tmp_path / "info.db"
    await _create(path)
    broken = (*WITH_COLOURS, ("CREATE TABLE shapes (name)", "INSERT INTO nowhere VALUES (1)"))
    with pytest.raises(Unavailable, match="nowhere"):
        await SqliteInfoStore.open(path, durable=True, capacity=None, migrations=broken)
    assert _version(path) == len(MIGRATIONS) + 1
    store = await SqliteInfoStore.open(path, durable=True, capacity=None, migrations=WITH_COLOURS)
    assert await store.read("a") == record("a")
    await store.close()
    with shell(path) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'shapes'").fetchone() == (0,)
