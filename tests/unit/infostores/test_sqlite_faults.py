from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.kits.infostore import event, record, refusals
from tusfleet.infostores.sqlite import SqliteInfoStore
from tusfleet.uploads.errors import FenceLost, StoreFull, Unavailable
from tusfleet.uploads.models import Query, Usage

SOON = 10.0
"""Seconds in which a thing that must happen has happened."""


def shell(path: Path) -> closing[sqlite3.Connection]:
    """A second program that has the file open."""
    return closing(sqlite3.connect(path, isolation_level=None))


@pytest.mark.anyio
async def test_another_programs_lock_is_waited_for_and_then_told_of(store: SqliteInfoStore, path: Path) -> None:
    await store.insert(record("a"))
    with shell(path) as other:
        other.execute("BEGIN IMMEDIATE")
        refused = await asyncio.wait_for(
            refusals(store.insert(record("b")), store.commit(record("a"), 1, {"offset": 5}), store.probe()), SOON
        )
        assert [type(error) for error in refused] == [Unavailable] * 3
        assert "another program" in str(refused[0])
        assert await store.read("a") == record("a")
        assert [upload.id for upload in (await store.scan(Query())).uploads] == ["a"]
        other.execute("ROLLBACK")
    await store.insert(record("b"))
    assert await store.usage() == Usage(2, 2, 20)


@pytest.mark.anyio
async def test_a_short_lock_of_another_program_costs_time_only(path: Path) -> None:
    path.parent.mkdir()
    store = await SqliteInfoStore.open(path, durable=True, capacity=None, patience=SOON)
    with shell(path) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(store.insert(record("a")))
        done, _ = await asyncio.wait([waiting], timeout=0.05)
        assert not done
        other.execute("COMMIT")
    await asyncio.wait_for(waiting, SOON)
    assert await store.read("a") == record("a")
    await store.close()


@pytest.mark.anyio
async def test_who_comes_after_a_lock_that_was_waited_for_in_vain_is_waited_for_as_long(path: Path) -> None:
    path.parent.mkdir()
    store = await SqliteInfoStore.open(path, durable=True, capacity=None, patience=1.0)
    with shell(path) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable):
            await store.insert(record("a"))
        waiting = asyncio.create_task(store.insert(record("a")))
        done, _ = await asyncio.wait([waiting], timeout=0.05)
        assert not done
        other.execute("ROLLBACK")
    await asyncio.wait_for(waiting, SOON)
    await store.close()


@pytest.mark.anyio
async def test_a_second_reader_sees_a_moment_and_disturbs_nobody(store: SqliteInfoStore, path: Path) -> None:
    await store.insert(record("a"))
    with shell(path) as other:
        other.execute("BEGIN")
        count = "SELECT count(*) FROM uploads"
        assert other.execute(count).fetchone() == (1,)
        for n in range(100):
            await store.insert(record(f"u{n}"))
        assert other.execute(count).fetchone() == (1,)
        other.execute("COMMIT")
        assert other.execute(count).fetchone() == (101,)
    assert await store.usage() == Usage(101, 101, 1010)


@pytest.mark.anyio
async def test_a_full_disk_refuses_the_whole_batch_and_recovers_by_itself(store: SqliteInfoStore) -> None:
    connection = store._writer._connection
    await store.insert(record("a"))
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    large = {"x": "y" * 100_000}
    refused = await refusals(
        store.commit(record("a"), 1, {"placement": large}, [event("e", record("a"))]),
        store.insert(record("b", placement=large)),
    )
    assert [type(error) for error in refused] == [StoreFull] * 2
    assert "the disk is full" in str(refused[0])
    assert (await store.read("a"), await store.read("b"), await store.outbox()) == (record("a"), None, [])
    assert await store.usage() == Usage(1, 1, 10)
    connection.execute("PRAGMA max_page_count = 1000000")
    await store.insert(record("b", placement=large))
    assert await store.usage() == Usage(2, 2, 20)


_ON_A_SMALL_DISK = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from tusfleet.infostores.sqlite import SqliteInfoStore
from tusfleet.uploads.errors import StoreFull, Unavailable
from tusfleet.uploads.models import Upload

async def main(folder):
    store = await SqliteInfoStore.open(folder / "info.db", durable=sys.argv[2] == "durable", capacity=None)
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(1 << 20))
    there = []
    try:
        for n in range(100_000):
            upload = Upload(f"u{n}", "tus", datetime.now(UTC), placement={"x": "y" * 10_000})
            await store.insert(upload)
            there.append(upload)
    except StoreFull as error:
        print("full:", error.detail)
    try:
        await store.probe()
    except (StoreFull, Unavailable):
        print("not ready")
    assert [await store.read(upload.id) for upload in there] == there
    ballast.unlink()
    await store.insert(Upload("last", "tus", datetime.now(UTC)))
    await store.probe()
    assert (await store.usage()).uploads == len(there) + 1
    await store.close()
    print("recovered", len(there) > 50)

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
@pytest.mark.parametrize("durability", ["durable", "relaxed"])
def test_a_real_full_disk_is_told_of_and_recovered_from(tmp_path: Path, durability: str) -> None:
    mount = f'mount -t tmpfs -o size=4m tmpfs "{tmp_path}" && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", mount, "sh", sys.executable]
    command += ["-c", _ON_A_SMALL_DISK, str(tmp_path), durability]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no mounting here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("full: The info store cannot be written: the disk is full")
    assert done.stdout.splitlines()[-1] == "recovered True"


@pytest.mark.anyio
async def test_a_probe_fails_while_nothing_can_be_written(store: SqliteInfoStore, path: Path) -> None:
    await store.probe()
    store._writer._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(Unavailable, match="readonly"):
        await store.probe()
    with pytest.raises(Unavailable, match="readonly"):
        await store.commit(record("a"), 1, {})
    store._writer._connection.execute("PRAGMA query_only = OFF")
    await store.probe()
    with pytest.raises(FenceLost):
        await store.commit(record("a"), 1, {})


# Kill -9

_COMMIT_FOR_EVER = """
import asyncio, sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tusfleet.infostores.sqlite import SqliteInfoStore
from tusfleet.uploads.models import Event, EventType, Upload

async def write(store, run, n):
    upload = Upload(f"{run}-{n}", "tus", datetime.now(UTC), length=1 << 40, reserved=1)
    await store.insert(upload)
    while True:
        id = f"{upload.id}-{upload.offset + 1}"
        told = Event(id, EventType.FINISHED, datetime.now(UTC), replace(upload, offset=upload.offset + 1))
        upload = await store.commit(upload, 1, {"offset": upload.offset + 1}, [told])
        sys.stdout.write(f"{upload.id} {upload.offset}\\n")
        sys.stdout.flush()

async def main(path, durable, run):
    store = await SqliteInfoStore.open(Path(path), durable=durable == "durable", capacity=None)
    print("epoch", await store.next_epoch(), flush=True)
    await asyncio.gather(*(write(store, run, n) for n in range(8)))

asyncio.run(main(*sys.argv[1:]))
"""

KILLED_AFTER = (1, 37, 400, 1500)
"""Acknowledged commits before a kill: within the first transactions, and after the log has been merged."""


@pytest.mark.parametrize("durability", ["durable", "relaxed"])
def test_after_a_kill_everything_acknowledged_is_there(tmp_path: Path, durability: str) -> None:
    path = tmp_path / "info.db"
    acknowledged: dict[str, int] = {}
    epochs = []
    for run, lines in enumerate(KILLED_AFTER):
        command = [sys.executable, "-c", _COMMIT_FOR_EVER, str(path), durability, str(run)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            epochs.append(int(process.stdout.readline().split()[1]))
            for _ in range(lines):
                id, offset = process.stdout.readline().split()
                acknowledged[id] = int(offset)
            process.send_signal(signal.SIGKILL)
            for line in process.stdout:
                if line.endswith("\n"):
                    id, offset = line.split()
                    acknowledged[id] = int(offset)
        assert process.returncode == -signal.SIGKILL
        asyncio.run(_check_after_kill(path, acknowledged))
    assert epochs == sorted(set(epochs))


async def _check_after_kill(path: Path, acknowledged: dict[str, int]) -> None:
    store = await SqliteInfoStore.open(path, durable=True, capacity=None)
    uploads = {upload.id: upload for upload in (await store.scan(Query(), limit=1000)).uploads}
    for id, offset in acknowledged.items():
        assert offset <= uploads[id].offset <= offset + 1
    # One event for each commit, those that nobody was told of too: record and events are one step.
    told = [event.id for event in await store.outbox(100_000)]
    assert sorted(told) == sorted(f"{id}-{n + 1}" for id, upload in uploads.items() for n in range(upload.offset))
    assert await store.usage() == Usage(len(uploads), len(uploads), len(uploads))
    await store.close()
    with shell(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
