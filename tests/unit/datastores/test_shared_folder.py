"""A folder that several gateways share: a holder goes on after its lease, and changes nothing that counts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kits.datastore import DataStoreKit, advanced, append, content_of, finish, finished, new_upload, some_bytes
from tests.kits.streams import FakeStream
from tests.unit.datastores.leases import LeasedStore, sweep
from tests.unit.datastores.stores import MIB, files_in, new_store, small_disk
from tusfleet.datastores import _copy, _takeover
from tusfleet.datastores.filesystem import FilesystemDataStore
from tusfleet.uploads.errors import DataLost, StoreFull
from tusfleet.uploads.models import BodyEnd, Checkpoint, State, Upload

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "relaxed"])
class TestLeasedFilesystemDataStore(DataStoreKit):
    @pytest.fixture
    async def store(self, tmp_path: Path, durable: bool) -> LeasedStore:
        return LeasedStore(await new_store(tmp_path / "data", durable=durable, key_template="{yyyy}/{filename}"))


@pytest.fixture
async def leased(store: FilesystemDataStore) -> LeasedStore:
    return LeasedStore(store)


class Writer:
    """A request under a lease, which may stand still anywhere between two checkpoints."""

    def __init__(self, store: LeasedStore, record: Upload, *pieces: bytes) -> None:
        self.record = store.under(record)
        self.thawed = asyncio.Event()
        steps = [step for piece in pieces for step in (piece, 0.002)]
        self._steps: AsyncGenerator[Checkpoint, None] = store.store.append(
            self.record, FakeStream(*steps, self.thawed, b"LATE", end=BodyEnd.CUT)
        )

    @property
    def commits(self) -> int:
        """How many commits it comes to before it stands still."""
        return 1 + _takeover.needed(self.record)

    async def commit(self) -> Upload:
        """Come to the next checkpoint, and commit it."""
        self.record = advanced(self.record, await anext(self._steps))
        return self.record

    async def write_on(self) -> None:
        """Write what comes late, to the end of the request; all commits are refused."""
        self.thawed.set()
        async with aclosing(self._steps) as steps:
            try:
                async for _ in steps:
                    break
            except DataLost:
                return

    async def close(self) -> None:
        await self._steps.aclose()


async def test_leases_that_were_given_back_share_one_file(leased: LeasedStore, root: Path) -> None:
    upload = await append(leased, new_upload(8), b"four")
    names = files_in(root / "partial")
    upload = await append(leased, upload, b"more")
    assert files_in(root / "partial") == names
    assert names[0].endswith(f"/{upload.id}.1")


async def test_a_lease_that_ran_out_leaves_its_file_to_nobody(leased: LeasedStore, root: Path) -> None:
    late = Writer(leased, new_upload(12), b"four")
    upload = await late.commit()
    leased.run_out()
    before = files_in(root / "partial")
    heir = Writer(leased, upload, b"more")
    moved = await heir.commit()
    assert (moved.offset, await content_of(leased, moved)) == (4, b"four")
    upload = await heir.commit()
    await heir.close()
    assert len(files_in(root / "partial")) == 1
    assert files_in(root / "partial") != before, "what it has open has no name any more"
    await late.write_on()
    assert await content_of(leased, upload) == b"fourmore"
    done = await finish(leased, await append(leased, upload, b"last"))
    assert await content_of(leased, done) == b"fourmorelast"
    await sweep(leased, replace(done, state=State.FINISHED))
    assert files_in(root) == [f"files/{upload.id}"]


async def test_what_was_written_beyond_the_offset_is_not_copied(leased: LeasedStore, root: Path) -> None:
    record = await append(leased, new_upload(12), b"four")
    late = Writer(leased, record, b"never committed")
    await late.commit()
    leased.run_out()
    moved = await append(leased, record)
    assert await content_of(leased, moved) == b"four"
    assert sorted(path.stat().st_size for path in (root / "partial").rglob("*.*")) == [4]
    await late.close()


async def test_an_upload_without_bytes_needs_no_copy(leased: LeasedStore) -> None:
    upload = new_upload(4)
    late = Writer(leased, upload, b"mine")
    await late.commit()
    leased.run_out()
    upload = await append(leased, upload, b"four")
    await late.write_on()
    assert await content_of(leased, await finish(leased, upload)) == b"four"


async def test_a_request_without_bytes_takes_over_all_the_same(leased: LeasedStore) -> None:
    """It may tell the length: then the upload is finished, and nobody may write into its file any more."""
    late = Writer(leased, new_upload(), b"four")
    upload = await late.commit()
    leased.run_out()
    upload = replace(await append(leased, upload), length=4)
    done = await finish(leased, upload)
    await late.write_on()
    assert await content_of(leased, done) == b"four"


async def test_bytes_that_are_gone_are_not_copied(leased: LeasedStore, root: Path) -> None:
    upload = await append(leased, new_upload(8), b"four")
    leased.run_out()
    (path,) = (root / "partial").rglob("*.1")
    os.truncate(path, 3)
    with pytest.raises(DataLost):
        await append(leased, upload, b"more")
    assert files_in(root / "partial") == [str(path.relative_to(root / "partial"))]


async def test_a_copy_that_does_not_fit_takes_no_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 8 * MIB) as disk:
        store = LeasedStore(await new_store(disk / "data", durable=True))
        content = some_bytes(5 * MIB)
        upload = await append(store, new_upload(6 * MIB), content)
        store.run_out()
        with pytest.raises(StoreFull):
            await append(store, upload, b"more")
        assert len(files_in(disk / "data" / "partial")) == 1
        assert await content_of(store, upload) == content


@pytest.mark.parametrize("turns", [1, 3, 8])
async def test_a_copy_that_is_cancelled_leaves_nothing(
    leased: LeasedStore, root: Path, monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    monkeypatch.setattr(_copy, "SLICE_BYTES", MIB)
    monkeypatch.setattr(_copy, "clone", lambda *_: False)
    content = some_bytes(8 * MIB)
    upload = await append(leased, new_upload(9 * MIB), content)
    leased.run_out()
    copying = asyncio.create_task(append(leased, upload, b"more"))
    for _ in range(turns):
        await asyncio.sleep(0)
    assert not copying.done()
    copying.cancel()
    await asyncio.wait([copying])
    assert len(files_in(root / "partial")) == 1
    upload = await append(leased, upload, bytes(MIB))
    assert await content_of(leased, await finish(leased, upload)) == content + bytes(MIB)


async def test_files_of_before_are_taken_over(store: FilesystemDataStore, root: Path) -> None:
    """An earlier version knew no doubt: its files have no fence in their names."""
    upload = await append(store, new_upload(8), b"four")
    leased = LeasedStore(store)
    upload = await append(leased, upload, b"more")
    assert await content_of(leased, await finish(leased, upload)) == b"fourmore"
    assert files_in(root) == [f"files/{upload.id}"]


async def test_an_end_leaves_nothing_of_any_lease(leased: LeasedStore, root: Path) -> None:
    upload = new_upload(8)
    for _ in range(3):
        await append(leased, upload, b"four")  # never committed
        leased.run_out()
    other = await append(leased, replace(new_upload(8), id=f"{upload.id}-2"), b"four")
    await leased.abort(upload)
    assert [Path(name).name.partition(".")[0] for name in files_in(root / "partial")] == [other.id]


async def test_a_late_end_spares_who_has_the_name_or_the_id_by_now(leased: LeasedStore, root: Path) -> None:
    ended = await finished(leased, b"bytes", name="a.txt")
    late = leased.under(ended)
    leased.run_out()
    await leased.abort(ended)
    again = replace(ended, created_at=ended.created_at.replace(year=2027), placement={}, offset=0)
    again = await finish(leased, await append(leased, again, b"other"))
    more = await append(leased, replace(again, placement={}, offset=0, length=9), b"more")
    assert again.placement["key"] == ended.placement["key"]
    await leased.store.abort(late)
    assert await content_of(leased, again) == b"other"
    assert await content_of(leased, more) == b"more"


async def test_what_somebody_has_put_in_the_place_of_a_file_stays_there(leased: LeasedStore, root: Path) -> None:
    upload = await finished(leased, b"bytes", name="a.txt")
    os.utime(root / "files" / "a.txt", ns=(1, 123_456_789))
    await leased.abort(upload)
    assert files_in(root) == ["files/a.txt"]
    os.utime(root / "files" / "a.txt", (1, 1))  # restored from a backup that keeps whole seconds
    await leased.abort(upload)
    assert files_in(root) == []


async def test_gateways_that_start_at_once_do_not_disturb_one_another(tmp_path: Path) -> None:
    for number in range(5):
        root = tmp_path / str(number)
        await asyncio.gather(*(FilesystemDataStore(root).prepare() for _ in range(8)))
        assert files_in(root) == []


STEPS = st.lists(
    st.tuples(st.sampled_from(["write", "freeze", "freeze", "thaw", "touch"]), st.integers(1, 4), st.integers(0, 5)),
    min_size=3,
    max_size=14,
)


@given(steps=STEPS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whoever_is_late_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    root = tmp_path_factory.mktemp("shared")
    files = FilesystemDataStore(root, durable=False, checkpoint_interval=0.005, key_template="{filename}")
    await files.prepare()
    store = LeasedStore(files)
    content = some_bytes(4096 * 60)
    record, late = new_upload(len(content), name="a.bin"), list[Writer]()
    for kind, count, which in steps:
        left = content[record.offset :]
        if kind == "thaw" and late:
            await late.pop(which % len(late)).write_on()
        elif kind == "touch":
            record = await append(store, record)
        elif kind in ("write", "freeze"):
            writer = Writer(store, record, *(left[4096 * n : 4096 * (n + 1)] for n in range(count)))
            for _ in range(which % (writer.commits + 1)):
                record = await writer.commit()
            if kind == "freeze":
                store.run_out()
                late.append(writer)
            else:
                await writer.close()
        assert await content_of(store, record) == content[: record.offset]
    record = await append(store, record, content[record.offset :])
    done = await finish(store, record)
    for writer in late:
        await writer.write_on()
    assert await content_of(store, done) == content
    await sweep(store, replace(done, state=State.FINISHED))
    assert files_in(root) == ["files/a.bin"]
