"""The contract of the `DataStore` port as tests.

Subclass `DataStoreKit` in a test module and give the class a fixture `store`: a store, ready for use and empty,
whose checkpoint interval is `INTERVAL` seconds.
"""

from __future__ import annotations

import asyncio
import os
import random
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kits.streams import FakeStream
from tusfleet.uploads.errors import DataLost, LengthExceeded
from tusfleet.uploads.models import BodyEnd, Checkpoint, Concat, ConcatKind, Metadata, State, Upload
from tusfleet.uploads.ports import DataStore

INTERVAL = 0.2
"""Seconds: the checkpoint interval of the store under test."""

SOON = 10.0
"""Seconds in which a thing that must happen has happened, on a busy machine too."""

SLACK = 0.5
"""Seconds by which a busy machine may be late."""

ACCIDENTS = st.tuples(st.sampled_from(["cut", "stalled", "abandoned", "not committed"]), st.floats(0, 1))
"""What goes wrong with an append, and which share of the missing bytes it carried."""

CREATED = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def new_upload(length: int | None = None, *, name: str | None = None, kind: ConcatKind | None = None) -> Upload:
    """A record as a creation leaves it, with an id that no other test uses."""
    return Upload(
        id=uuid.uuid4().hex,
        protocol="tus",
        created_at=CREATED,
        length=length,
        metadata=Metadata() if name is None else Metadata.of({"filename": name}),
        concat=None if kind is None else Concat(kind, kind.value),
    )


def some_bytes(size: int, seed: int = 1) -> bytes:
    """Bytes that differ everywhere, so that a misplaced block is noticed."""
    return random.Random(seed).randbytes(size)


def advanced(upload: Upload, checkpoint: Checkpoint) -> Upload:
    """The record after a commit of `checkpoint`."""
    state = State.FINISHED if checkpoint.whole else upload.state
    return replace(upload, offset=checkpoint.offset, placement=checkpoint.placement, state=state)


def iterate(store: DataStore, upload: Upload, stream: FakeStream) -> aclosing[AsyncGeneratorLike]:
    """The checkpoints of an append, closed in the end whatever happens."""
    return aclosing(cast("AsyncGeneratorLike", store.append(upload, stream)))


async def append(store: DataStore, upload: Upload, *steps: bytes | float, end: BodyEnd = BodyEnd.COMPLETE) -> Upload:
    """Append what a script gives, commit every checkpoint, and give the record then."""
    async with iterate(store, upload, FakeStream(*steps, end=end)) as checkpoints:
        async for checkpoint in checkpoints:
            assert checkpoint.offset > upload.offset or checkpoint.placement != upload.placement
            upload = advanced(upload, checkpoint)
    return upload


async def finished(store: DataStore, content: bytes, **fields: str | ConcatKind | None) -> Upload:
    """A finished upload of `content`."""
    upload = new_upload(len(content), **fields)  # type: ignore[arg-type]
    if content:
        upload = await append(store, upload, content)
    return await finish(store, upload)


async def finish(store: DataStore, upload: Upload) -> Upload:
    """Finish a complete upload and give the record then."""
    return replace(upload, placement=await store.finish(upload), state=State.FINISHED)


async def content_of(store: DataStore, upload: Upload, start: int = 0, stop: int | None = None) -> bytes:
    """The bytes of an upload, read through the port; the descriptor, if there is one, must show the same."""
    async with store.read(upload) as content:
        assert content.size == upload.offset
        stop = content.size if stop is None else stop
        data = b"".join([chunk async for chunk in content.chunks(start, stop)])
        descriptor = content.fileno()
        assert descriptor is None or os.pread(descriptor, stop - start, start) == data
        return data


class AsyncGeneratorLike(AsyncIterator[Checkpoint]):
    """What an append gives: checkpoints, and a way to abandon them."""

    async def aclose(self) -> None: ...


@pytest.mark.anyio
class DataStoreKit:
    """Every sentence of the port's contract."""

    @pytest.mark.parametrize("end", BodyEnd)
    async def test_all_bytes_of_a_stream_are_kept_however_it_ended(self, store: DataStore, end: BodyEnd) -> None:
        upload = await append(store, new_upload(100), b"some ", 0.01, b"bytes", end=end)
        assert upload.offset == 10
        assert await content_of(store, upload) == b"some bytes"

    @pytest.mark.parametrize("end", BodyEnd)
    async def test_no_bytes_make_no_checkpoint(self, store: DataStore, end: BodyEnd) -> None:
        upload = new_upload(100)
        assert await append(store, upload, end=end) == upload

    async def test_an_interrupted_stream_is_kept_up_to_the_interruption(self, store: DataStore) -> None:
        upload, stream = new_upload(100), FakeStream(b"before", asyncio.Event(), b"never")
        async with iterate(store, upload, stream) as checkpoints:
            async for checkpoint in checkpoints:
                upload = advanced(upload, checkpoint)
                stream.interrupt()
        assert stream.end is BodyEnd.INTERRUPTED
        assert await content_of(store, upload) == b"before"

    @pytest.mark.parametrize("size", [1, 4096, 300_000, 1_048_576, 5_000_011])
    async def test_small_and_big_bodies_arrive_unchanged(self, store: DataStore, size: int) -> None:
        content = some_bytes(size)
        upload = await append(store, new_upload(size), *_cut(content, 65_536))
        assert upload.complete
        assert await content_of(store, upload) == content

    async def test_a_body_of_very_many_tiny_chunks_arrives_unchanged(self, store: DataStore) -> None:
        content = some_bytes(5_000)
        upload = await append(store, new_upload(5_000), *_cut(content, 1))
        assert await content_of(store, upload) == content

    async def test_a_checkpoint_comes_every_interval_while_bytes_trickle(self, store: DataStore) -> None:
        pause = INTERVAL / 8
        steps = [step for number in range(40) for step in (b"%02d" % number, pause)]
        loop = asyncio.get_running_loop()
        last = loop.time()
        gaps = []
        async with iterate(store, new_upload(1000), FakeStream(*steps)) as checkpoints:
            async for _ in checkpoints:
                gaps.append(loop.time() - last)
                last = loop.time()
        assert len(gaps) >= 3
        assert max(gaps) < INTERVAL + SLACK

    async def test_what_came_before_a_silence_gets_its_checkpoint_during_it(self, store: DataStore) -> None:
        for size in (1, 2_000_000):
            silence = asyncio.Event()
            stream = FakeStream(bytes(size), silence, b"more")
            async with iterate(store, new_upload(size + 4), stream) as checkpoints, asyncio.timeout(SOON):
                offsets = []
                async for checkpoint in checkpoints:
                    offsets.append(checkpoint.offset)
                    if checkpoint.offset == size:
                        silence.set()
            assert offsets[-1] == size + 4

    async def test_an_append_goes_on_at_the_offset_of_the_record(self, store: DataStore) -> None:
        upload = new_upload(12)
        for piece in (b"four", b"more", b"here"):
            upload = await append(store, upload, piece)
        assert await content_of(store, await finish(store, upload)) == b"fourmorehere"

    async def test_bytes_beyond_the_offset_of_the_record_are_never_served_and_are_overwritten(
        self, store: DataStore
    ) -> None:
        record = await append(store, new_upload(10), b"abcd")
        await append(store, record, b"WRONG!")
        assert await content_of(store, record) == b"abcd"
        upload = await append(store, record, b"ef")
        assert await content_of(store, upload) == b"abcdef"
        upload = await append(store, upload, b"ghij")
        assert await content_of(store, await finish(store, upload)) == b"abcdefghij"

    async def test_bytes_of_a_writer_that_died_before_its_first_commit_do_not_count(self, store: DataStore) -> None:
        record = new_upload(3)
        await append(store, record, b"WRONG")
        upload = await append(store, record, b"abc")
        assert await content_of(store, await finish(store, upload)) == b"abc"

    async def test_append_after_bytes_that_are_not_there_tells_so(self, store: DataStore) -> None:
        with pytest.raises(DataLost):
            await append(store, replace(new_upload(10), offset=4), b"more")
        upload = await append(store, new_upload(10), b"ab")
        with pytest.raises(DataLost):
            await append(store, replace(upload, offset=5), b"more")

    async def test_an_abandoned_append_leaves_what_its_checkpoints_told(self, store: DataStore) -> None:
        upload = new_upload(8)
        async with iterate(store, upload, FakeStream(b"four", asyncio.Event(), b"more")) as checkpoints:
            async for checkpoint in checkpoints:
                upload = advanced(upload, checkpoint)
                break
        assert upload.offset == 4
        upload = await append(store, upload, b"rest")
        assert await content_of(store, await finish(store, upload)) == b"fourrest"

    @pytest.mark.parametrize("chunk", [65_536, 4 * 1024 * 1024])
    async def test_a_cancelled_append_writes_no_more(self, store: DataStore, chunk: int) -> None:
        record = await append(store, new_upload(8 * 1024 * 1024), b"head")
        for delay in (0, 0.0005, 0.002, 0.005):
            stream = FakeStream(*_cut(b"W" * 4 * 1024 * 1024, chunk), asyncio.Event())
            writing = asyncio.create_task(_drain(store, record, stream))
            await asyncio.wait([writing], timeout=delay)
            writing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writing
            upload = await append(store, record, b"tail")
            assert await content_of(store, upload) == b"headtail"

    async def test_an_error_of_the_stream_comes_through(self, store: DataStore) -> None:
        stream = FakeStream(b"abc", LengthExceeded())
        with pytest.raises(LengthExceeded):
            await _drain(store, new_upload(3), stream)

    async def test_many_silent_clients_do_not_keep_a_fast_one_waiting(self, store: DataStore) -> None:
        silence = asyncio.Event()
        silent = [asyncio.create_task(_drain(store, new_upload(10), FakeStream(b"byte", silence))) for _ in range(100)]
        content = some_bytes(3_000_000)
        async with asyncio.timeout(SOON):
            upload = await append(store, new_upload(len(content)), *_cut(content, 262_144))
        assert await content_of(store, upload) == content
        silence.set()
        await asyncio.gather(*silent)

    async def test_finish_may_be_repeated_with_the_record_of_before(self, store: DataStore) -> None:
        upload = await append(store, new_upload(5, name="a.txt"), b"bytes")
        first = await finish(store, upload)
        second = await finish(store, upload)
        assert first.placement == second.placement
        assert (await finish(store, second)).placement == second.placement
        assert await content_of(store, second) == b"bytes"

    async def test_an_empty_upload_finishes_too(self, store: DataStore) -> None:
        upload = new_upload(0, name="a.txt")
        first = await finish(store, upload)
        assert await content_of(store, first) == b""
        assert (await finish(store, upload)).placement == first.placement

    async def test_uploads_of_one_name_do_not_meet(self, store: DataStore) -> None:
        contents = [b"first", b"", b"third", b"", b"fifth"]
        uploads = [await finished(store, content, name="same.txt") for content in contents]
        assert [await content_of(store, upload) for upload in uploads] == contents
        await store.abort(uploads[2])
        assert await content_of(store, uploads[0]) == b"first"

    async def test_finish_without_the_bytes_tells_so(self, store: DataStore) -> None:
        with pytest.raises(DataLost):
            await store.finish(replace(new_upload(4), offset=4))
        upload = await append(store, new_upload(4), b"ab")
        with pytest.raises(DataLost):
            await store.finish(replace(upload, offset=4))

    async def test_reading_gives_the_range_that_was_asked_for(self, store: DataStore) -> None:
        content = some_bytes(700_001)
        upload = await append(store, new_upload(len(content)), content)
        for record in (upload, await finish(store, upload)):
            for start, stop in ((0, 0), (0, 1), (262_143, 262_145), (5, 700_001), (700_000, 700_001)):
                assert await content_of(store, record, start, stop) == content[start:stop]

    async def test_a_deletion_does_not_disturb_a_reader(self, store: DataStore) -> None:
        content = some_bytes(600_000)
        upload = await finished(store, content)
        async with store.read(upload) as reading:
            await store.abort(upload)
            assert b"".join([chunk async for chunk in reading.chunks(0, reading.size)]) == content

    async def test_reading_an_upload_without_bytes_gives_none(self, store: DataStore) -> None:
        assert await content_of(store, new_upload(10)) == b""

    async def test_reading_bytes_that_are_not_there_tells_so(self, store: DataStore) -> None:
        with pytest.raises(DataLost):
            await content_of(store, replace(new_upload(10), offset=4))

    async def test_abort_frees_unfinished_and_finished_uploads_and_may_be_repeated(self, store: DataStore) -> None:
        await store.abort(new_upload(10))
        large = some_bytes(300_000)  # what is small may be in the record itself
        for upload in (
            await append(store, new_upload(len(large) + 1), large),
            await finished(store, b"bytes", name="a.txt"),
        ):
            for _ in range(2):
                await store.abort(upload)
                with pytest.raises(DataLost):
                    await content_of(store, upload)

    @pytest.mark.parametrize("complete", [False, True])
    async def test_an_earlier_upload_of_the_same_id_keeps_its_object(self, store: DataStore, complete: bool) -> None:
        first = await finished(store, b"the first")
        later = CREATED + timedelta(microseconds=1)
        second = replace(new_upload(9 if complete else 10), id=first.id, created_at=later)
        await store.abort(second)
        second = await append(store, second, b"something")
        if complete:
            second = await finish(store, second)
            assert await content_of(store, second) == b"something"
        await store.abort(second)
        # Also one of which only the bytes are as many, and whose finish nobody has noted.
        await store.abort(replace(second, placement={}, offset=9, length=9, state=State.FINISHING))
        assert await content_of(store, first) == b"the first"

    async def test_abort_frees_what_finished_without_the_record_knowing(self, store: DataStore) -> None:
        upload = await append(store, new_upload(5, name="a.txt"), b"bytes")
        placed = await finish(store, upload)
        await store.abort(upload)
        with pytest.raises(DataLost):
            await content_of(store, placed)

    async def test_concatenation_joins_the_parts_in_order(self, store: DataStore) -> None:
        pieces = [some_bytes(size, seed=size) for size in (4096, 0, 1, 1_000_000, 8192)]
        parts = [await finished(store, piece, kind=ConcatKind.PARTIAL) for piece in pieces]
        order = [0, 1, 3, 2, 3, 4, 0]
        whole = b"".join(pieces[index] for index in order)
        upload = await _concatenated(store, new_final(len(whole)), [parts[index] for index in order])
        assert await content_of(store, await finish(store, upload)) == whole

    async def test_concatenation_may_be_repeated_before_and_after_the_finish(self, store: DataStore) -> None:
        parts = [await finished(store, piece, kind=ConcatKind.PARTIAL) for piece in (b"one", b"two")]
        record = new_final(6)
        await _concatenated(store, record, parts)
        first = await finish(store, await _concatenated(store, record, parts))
        again = await finish(store, await _concatenated(store, record, parts))
        assert again.placement == first.placement
        assert await content_of(store, again) == b"onetwo"
        await store.abort(replace(record, length=6))
        with pytest.raises(DataLost):
            await content_of(store, again)

    async def test_concatenation_of_nothing_is_empty(self, store: DataStore) -> None:
        part = await finished(store, b"", kind=ConcatKind.PARTIAL)
        upload = await _concatenated(store, new_final(0), [part])
        assert await content_of(store, await finish(store, upload)) == b""

    async def test_concatenation_of_a_part_that_is_gone_tells_so(self, store: DataStore) -> None:
        there = await finished(store, b"there", kind=ConcatKind.PARTIAL)
        for content in (b"gone", b""):
            gone = await finished(store, content, kind=ConcatKind.PARTIAL)
            await store.abort(gone)
            with pytest.raises(DataLost):
                await store.concatenate(new_final(5 + len(content)), [there, gone])

    async def test_concatenation_lets_others_go_on_and_can_be_cancelled(self, store: DataStore) -> None:
        part = await finished(store, some_bytes(8 * 1024 * 1024), kind=ConcatKind.PARTIAL)
        parts, record = [part] * 4, new_final(4 * part.offset)
        for turns in (1, 5, 20):
            joining = asyncio.create_task(store.concatenate(record, parts))
            for _ in range(turns):
                await asyncio.sleep(0)
            # Still at work after so many turns of the loop: it does not keep the loop to itself.
            assert turns > 1 or not joining.done()
            joining.cancel()
            await asyncio.wait([joining])
        upload = await finish(store, await _concatenated(store, record, parts))
        assert await content_of(store, upload) == 4 * await content_of(store, part)

    async def test_parts_stay_as_they_are(self, store: DataStore) -> None:
        part = await finished(store, b"part", kind=ConcatKind.PARTIAL)
        await finish(store, await _concatenated(store, new_final(8), [part, part]))
        assert await content_of(store, part) == b"part"

    async def test_leftovers_are_the_unfinished_bytes_that_nobody_touches(self, store: DataStore) -> None:
        left = [await append(store, new_upload(9), b"bytes") for _ in range(3)]
        await finished(store, b"whole")
        found = [upload async for upload in store.leftovers(-SOON)]
        assert {upload.id for upload in found} == {upload.id for upload in left}
        assert [upload async for upload in store.leftovers(3600)] == []
        for upload in found:
            await store.abort(upload)
        assert [upload async for upload in store.leftovers(-SOON)] == []

    async def test_a_store_that_works_passes_its_probe(self, store: DataStore) -> None:
        await store.probe()
        assert [upload async for upload in store.leftovers(-SOON)] == []

    @given(size=st.integers(1, 400_000), accidents=st.lists(ACCIDENTS, max_size=5), repeated=st.booleans())
    @settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
    async def test_below_the_offset_is_what_was_sent_whatever_happened(
        self, store: DataStore, size: int, accidents: list[tuple[str, float]], repeated: bool
    ) -> None:
        content = some_bytes(size, seed=size)
        upload = new_upload(size, name="a.bin")
        for kind, share in accidents:
            if upload.complete:
                break  # nobody sends more bytes to an upload that has all of them
            piece = content[upload.offset : upload.offset + int((size - upload.offset) * share)]
            upload = await _accident(store, upload, piece, kind)
            assert await content_of(store, upload) == content[: upload.offset]
        if upload.state is not State.FINISHED:  # nobody appends to one that is whole
            upload = await append(store, upload, *_cut(content[upload.offset :], 100_000))
        done = await finish(store, upload)
        if repeated:
            done = await finish(store, upload)
        assert await content_of(store, done) == content
        await store.abort(done)


def new_final(length: int) -> Upload:
    """A final upload, whose bytes come from its parts."""
    return new_upload(length, name="final.bin", kind=ConcatKind.FINAL)


async def _concatenated(store: DataStore, upload: Upload, parts: Sequence[Upload]) -> Upload:
    placement = await store.concatenate(upload, parts)
    return replace(upload, placement=placement, offset=sum(part.offset for part in parts))


async def _drain(store: DataStore, upload: Upload, stream: FakeStream) -> None:
    async with iterate(store, upload, stream) as checkpoints:
        async for _ in checkpoints:
            pass


async def _accident(store: DataStore, upload: Upload, piece: bytes, kind: str) -> Upload:
    """An append that does not reach the end: cut, abandoned, or written and never committed."""
    if kind == "not committed":
        await append(store, upload, bytes(len(piece)), b"too much")
        return upload
    if kind == "abandoned":
        async with iterate(store, upload, FakeStream(*_cut(piece, 70_000), asyncio.Event())) as checkpoints:
            if piece:
                upload = advanced(upload, await anext(checkpoints))
        return upload
    return await append(store, upload, *_cut(piece, 70_000), end=BodyEnd(kind))


def _cut(content: bytes, size: int) -> list[bytes]:
    return [content[start : start + size] for start in range(0, len(content), size)]
