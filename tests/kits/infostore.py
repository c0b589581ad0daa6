"""The contract of the `InfoStore` port as tests.

Subclass `InfoStoreKit` in a test module and give the class two fixtures: `store`, empty and without a limit, and
`small`, empty and with a capacity of `CAPACITY` bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tusfleet.uploads.errors import AlreadyExists, FenceLost, StoreFull
from tusfleet.uploads.growing import Growing
from tusfleet.uploads.models import (
    Change,
    Concat,
    ConcatKind,
    Event,
    EventType,
    Metadata,
    Query,
    State,
    Upload,
    Usage,
)
from tusfleet.uploads.ports import InfoStore

CAPACITY = 1000
"""Bytes that the records of the fixture `small` may set aside together."""

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)

ALIVE = frozenset(state for state in State if state.alive)

FULL = Upload(
    id="Full_record-1",
    protocol="tus",
    created_at=NOW,
    length=2**62,
    offset=2**61,
    metadata=Metadata("filename 0YTQsNC50Ls=, empty,is_confidential"),
    concat=Concat(ConcatKind.FINAL, "final;/files/b /files/a /files/b", ("b", "a", "b")),
    state=State.FINISHING,
    placement={"path": "a/ß \u2603", "parts": [{"n": 1, "etag": None}, 2.5, True], "größe": 2**53 + 1},
    fence=2**40,
    reserved=7,
    expires_at=NOW + HOUR,
    ended_at=NOW - HOUR,
    tenant="mieter 1",
)
"""A record in which every field says something."""


def record(id: str, **fields: Any) -> Upload:
    """A new record of 10 bytes."""
    return replace(Upload(id=id, protocol="tus", created_at=NOW, length=10, reserved=10), **fields)


def final(id: str, *parts: str, state: State = State.OPEN) -> Upload:
    """A final upload of `parts`."""
    return record(id, state=state, concat=Concat(ConcatKind.FINAL, "final;" + " ".join(parts), parts))


def event(id: str, upload: Upload, type: EventType = EventType.CREATED) -> Event:
    """An event that tells of `upload`."""
    return Event(id, type, NOW + timedelta(microseconds=1), upload)


async def pages(store: InfoStore, query: Query, limit: int) -> AsyncIterator[list[Upload]]:
    """The pages of a whole scan."""
    cursor = None
    while True:
        page = await store.scan(query, limit, cursor)
        assert len(page.uploads) <= limit
        yield list(page.uploads)
        if page.cursor is None:
            return
        cursor = page.cursor


async def found(store: InfoStore, query: Query) -> list[str]:
    """The ids that a scan gives, sorted."""
    return sorted([upload.id async for page in pages(store, query, 2) for upload in page])


async def refusals(*attempts: Coroutine[Any, Any, object]) -> list[BaseException]:
    """Carry out all at once and give what was raised."""
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    return [outcome for outcome in outcomes if isinstance(outcome, BaseException)]


def but_for_parts(upload: Upload) -> Upload:
    """The record without the entries of a list that grows."""
    grown = Growing.of(upload.placement)
    return replace(upload, placement={**upload.placement, "parts": (len(grown), grown.end)})


async def added(store: InfoStore, id: str, entry: str) -> tuple[Upload, int, Change]:
    """A commit that adds an entry to the list of a placement, as data stores do it."""
    upload = await store.read(id)
    assert upload is not None
    grown = Growing.of(upload.placement)
    parts = replace(grown, more=[*grown.more, entry]).json()
    return upload, upload.fence, {"placement": {**upload.placement, "parts": parts}}


@pytest.mark.anyio
class InfoStoreKit:
    """Every sentence of the port's contract."""

    # insert, read

    @pytest.mark.parametrize("upload", [FULL, Upload("a", "tus", NOW)], ids=["every field", "defaults"])
    async def test_a_record_comes_back_as_it_was_inserted(self, store: InfoStore, upload: Upload) -> None:
        await store.insert(upload)
        assert await store.read(upload.id) == upload
        (many,) = await store.read_many([upload.id])
        assert many is not None
        (scanned,) = (await store.scan(Query())).uploads
        # These may leave out what nobody wants of many.
        assert but_for_parts(many) == but_for_parts(scanned) == but_for_parts(upload)

    async def test_there_is_no_record_that_nobody_inserted(self, store: InfoStore) -> None:
        assert await store.read("a") is None

    async def test_ids_differ_by_case(self, store: InfoStore) -> None:
        await store.insert(record("a"))
        assert await store.read("A") is None
        await store.insert(record("A", offset=1))
        assert await store.read("a") == record("a")

    @pytest.mark.parametrize("state", [State.OPEN, State.TERMINATED])
    async def test_an_id_that_is_taken_is_refused(self, store: InfoStore, state: State) -> None:
        first = record("a", state=state)
        await store.insert(first)
        with pytest.raises(AlreadyExists):
            await store.insert(record("a", offset=3), [event("e", record("a", offset=3))])
        assert await store.read("a") == first
        assert await store.outbox() == []

    async def test_of_many_that_insert_the_same_id_one_succeeds(self, store: InfoStore) -> None:
        attempts = [record("a", placement={"n": n}) for n in range(20)]
        refused = await refusals(*(store.insert(upload, [event(f"e{upload}", upload)]) for upload in attempts))
        assert [type(error) for error in refused] == [AlreadyExists] * 19
        assert [told.upload for told in await store.outbox()] == [await store.read("a")]
        assert await store.usage() == Usage(1, 1, 10)

    async def test_a_tombstone_is_read_too(self, store: InfoStore) -> None:
        tombstone = record("a", state=State.EXPIRED, ended_at=NOW)
        await store.insert(tombstone)
        assert await store.read("a") == tombstone

    @pytest.mark.parametrize("count", [0, 3, 300])
    async def test_read_many_keeps_the_order_and_the_gaps(self, store: InfoStore, count: int) -> None:
        uploads = [record(f"u{n}", offset=n % 10) for n in range(count)]
        await asyncio.gather(*(store.insert(upload) for upload in reversed(uploads)))
        ids = ["missing", *(upload.id for upload in uploads), *(upload.id for upload in uploads[:2])]
        assert await store.read_many(ids) == [None, *uploads, *uploads[:2]]

    # commit

    async def test_a_commit_changes_what_it_names_and_nothing_else(self, store: InfoStore) -> None:
        await store.insert(FULL)
        change: Change = {"offset": 2**61 + 5, "placement": {"path": "b"}, "expires_at": None}
        committed = await store.commit(FULL, FULL.fence + 1, change)
        assert committed == replace(FULL, fence=FULL.fence + 1, **change)
        assert await store.read(FULL.id) == committed

    @pytest.mark.parametrize(
        "change",
        [
            {},
            {"length": None},
            {"offset": 9},
            {"state": State.FAILED},
            {"placement": {}},
            {"reserved": 3},
            {"expires_at": NOW},
            {"ended_at": NOW},
        ],
    )
    async def test_every_field_of_a_change_can_stand_alone(self, store: InfoStore, change: Change) -> None:
        upload = record("a", placement={"x": 1})
        await store.insert(upload)
        committed = await store.commit(upload, 5, change)
        assert committed == await store.read("a") == replace(upload, fence=5, **change)

    async def test_a_list_that_grows_is_there_when_the_record_is_finishing(self, store: InfoStore) -> None:
        await store.insert(record("a", placement={"key": "a", "parts": ["1"]}))
        for entry in ("2", "3"):
            await store.commit(*await added(store, "a", entry))
        upload, fence, change = await added(store, "a", "4")
        finishing = await store.commit(upload, fence, {**change, "state": State.FINISHING})
        assert finishing.placement == {"key": "a", "parts": ["1", "2", "3", "4"]}
        assert await store.read("a") == finishing
        again = await store.commit(finishing, fence, {"expires_at": NOW})
        assert again.placement == finishing.placement
        whole = await store.commit(again, fence, {"state": State.FINISHED, "placement": {"key": "a"}})
        assert await store.read("a") == whole
        await store.delete(whole)
        assert await store.read("a") is None

    async def test_a_list_goes_on_growing_while_the_record_is_finishing(self, store: InfoStore) -> None:
        await store.insert(record("a", placement={"parts": ["1"]}))
        upload, fence, change = await added(store, "a", "2")
        finishing = await store.commit(upload, fence, {**change, "state": State.FINISHING})
        # Of the same append, which knows what it knew when it began.
        grown = Growing.of(change["placement"])
        placement = {"parts": replace(grown, more=[*grown.more, "3"]).json()}
        assert (await store.commit(finishing, fence, {"placement": placement})).placement == {"parts": ["1", "2", "3"]}

    async def test_a_commit_gives_the_record_with_what_others_changed_before(self, store: InfoStore) -> None:
        upload = record("a")
        await store.insert(upload)
        await store.commit(upload, 1, {"expires_at": NOW})
        committed = await store.commit(upload, 1, {"offset": 4})
        assert committed == replace(upload, fence=1, offset=4, expires_at=NOW)

    async def test_a_commit_under_an_older_fence_is_refused(self, store: InfoStore) -> None:
        upload = record("a")
        await store.insert(upload)
        newer = await store.commit(upload, 7, {})
        with pytest.raises(FenceLost):
            await store.commit(upload, 6, {"offset": 5}, [event("e", upload)])
        assert await store.read("a") == newer
        assert await store.outbox() == []

    async def test_a_commit_under_the_same_fence_goes_on(self, store: InfoStore) -> None:
        upload = record("a", fence=7)
        await store.insert(upload)
        for offset in (1, 2, 3):
            upload = await store.commit(upload, 7, {"offset": offset})
        assert await store.read("a") == record("a", fence=7, offset=3)

    async def test_a_commit_at_a_stale_offset_is_refused(self, store: InfoStore) -> None:
        upload = record("a")
        await store.insert(upload)
        moved = await store.commit(upload, 1, {"offset": 5})
        with pytest.raises(FenceLost):
            await store.commit(upload, 1, {"offset": 3}, [event("e", upload)])
        assert await store.read("a") == moved
        assert await store.outbox() == []

    async def test_a_commit_to_a_record_that_is_gone_is_refused(self, store: InfoStore) -> None:
        with pytest.raises(FenceLost):
            await store.commit(record("a"), 1, {"offset": 3}, [event("e", record("a"))])
        assert await store.read("a") is None
        assert await store.outbox() == []

    async def test_a_commit_does_not_change_another_record_of_the_same_id(self, store: InfoStore) -> None:
        upload = record("a")
        await store.insert(upload)
        await store.delete(upload)
        heir = record("a", created_at=NOW + HOUR)
        await store.insert(heir)
        with pytest.raises(FenceLost):
            await store.commit(upload, 9, {"state": State.EXPIRED})
        assert await store.read("a") == heir

    async def test_of_many_commits_from_the_same_offset_one_succeeds(self, store: InfoStore) -> None:
        upload = record("a", length=1000)
        await store.insert(upload)
        refused = await refusals(*(store.commit(upload, 1, {"offset": n}) for n in range(1, 51)))
        assert [type(error) for error in refused] == [FenceLost] * 49

    async def test_commits_that_are_refused_do_not_disturb_those_made_at_the_same_time(self, store: InfoStore) -> None:
        uploads = [record(f"u{n}") for n in range(40)]
        await asyncio.gather(*(store.insert(upload) for upload in uploads))
        refused = await refusals(
            *(
                store.commit(upload, 1, {"offset": 5})
                if n % 2
                else store.commit(replace(upload, offset=1), 1, {"offset": 6})
                for n, upload in enumerate(uploads)
            )
        )
        assert [type(error) for error in refused] == [FenceLost] * 20
        after = await store.read_many([upload.id for upload in uploads])
        assert [upload.offset for upload in after if upload is not None] == [0, 5] * 20

    async def test_a_commit_that_was_cancelled_is_whole_or_not_there_and_no_later_one_suffers(
        self, store: InfoStore
    ) -> None:
        upload = record("a")
        await store.insert(upload)
        for turns in range(4):
            task = asyncio.create_task(store.commit(upload, 1, {"offset": 5}, [event(f"e{turns}", upload)]))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            current = await store.read("a")
            assert current is not None
            assert (current.offset == 5) == bool(await store.outbox())
            upload = await store.commit(current, 1, {"offset": 0})
            await store.confirm([f"e{turns}"])

    # delete

    async def test_a_deleted_record_is_forgotten_and_its_id_is_free(self, store: InfoStore) -> None:
        await store.insert(FULL)
        await store.delete(FULL)
        assert await store.read(FULL.id) is None
        assert await store.usage() == Usage(0, 0, 0)
        await store.insert(record(FULL.id))
        assert await store.read(FULL.id) == record(FULL.id)

    async def test_delete_may_be_repeated(self, store: InfoStore) -> None:
        await store.insert(record("a"))
        await store.delete(record("a"))
        await store.delete(record("a"))
        assert await store.usage() == Usage(0, 0, 0)

    @pytest.mark.parametrize(
        "change", [{}, {"expires_at": NOW}, {"state": State.FINISHED}, {"placement": {"n": 1}}], ids=str
    )
    async def test_a_record_that_changed_since_it_was_read_is_not_deleted(
        self, store: InfoStore, change: Change
    ) -> None:
        upload = record("a")
        await store.insert(upload)
        changed = await store.commit(upload, 1, change)
        await store.delete(upload)
        assert await store.read("a") == changed
        await store.delete(changed)
        assert await store.read("a") is None

    # capacity

    async def test_fifty_inserts_at_once_never_go_beyond_the_capacity(self, small: InfoStore) -> None:
        uploads = [record(f"u{n}", length=60, reserved=60) for n in range(50)]
        refused = await refusals(*(small.insert(upload, [event(upload.id, upload)]) for upload in uploads))
        fitting = CAPACITY // 60
        assert [type(error) for error in refused] == [StoreFull] * (50 - fitting)
        assert await small.usage() == Usage(fitting, fitting, 60 * fitting)
        there = await small.read_many([upload.id for upload in uploads])
        assert sorted(told.id for told in await small.outbox()) == sorted(upload.id for upload in there if upload)

    async def test_the_capacity_can_be_used_to_the_last_byte(self, small: InfoStore) -> None:
        await small.insert(record("a", reserved=CAPACITY))
        await small.insert(record("empty", reserved=0))
        with pytest.raises(StoreFull):
            await small.insert(record("b", reserved=1))

    async def test_a_commit_that_sets_more_aside_than_there_is_changes_nothing(self, small: InfoStore) -> None:
        upload = record("a", reserved=600)
        await small.insert(upload)
        await small.insert(record("b", reserved=300))
        with pytest.raises(StoreFull):
            await small.commit(upload, 1, {"reserved": 701, "offset": 5}, [event("e", upload)])
        assert await small.read("a") == upload
        assert await small.outbox() == []
        await small.commit(upload, 1, {"reserved": 700})

    async def test_commits_at_once_never_go_beyond_the_capacity(self, small: InfoStore) -> None:
        uploads = [record(f"u{n}", reserved=10) for n in range(50)]
        await asyncio.gather(*(small.insert(upload) for upload in uploads))
        refused = await refusals(*(small.commit(upload, 1, {"reserved": 60}) for upload in uploads))
        assert [type(error) for error in refused] == [StoreFull] * 40
        assert await small.usage() == Usage(50, 50, CAPACITY)

    async def test_setting_less_aside_is_always_allowed(self, small: InfoStore) -> None:
        upload = record("a", reserved=CAPACITY)
        await small.insert(upload)
        upload = await small.commit(upload, 1, {"reserved": CAPACITY - 1})
        upload = await small.commit(upload, 1, {"offset": 5})
        await small.insert(record("b", reserved=1))

    @pytest.mark.parametrize("state", [State.TERMINATED, State.EXPIRED, State.FAILED])
    async def test_a_tombstone_takes_no_room(self, small: InfoStore, state: State) -> None:
        upload = record("a", reserved=CAPACITY)
        await small.insert(upload)
        await small.commit(upload, 1, {"state": state})
        await small.insert(record("b", reserved=CAPACITY))

    async def test_a_finished_upload_keeps_its_room_until_it_is_deleted(self, small: InfoStore) -> None:
        upload = record("a", reserved=CAPACITY)
        await small.insert(upload)
        upload = await small.commit(upload, 1, {"state": State.FINISHED})
        with pytest.raises(StoreFull):
            await small.insert(record("b"))
        await small.delete(upload)
        await small.insert(record("b"))

    # scan

    @pytest.mark.parametrize(
        ("query", "ids"),
        [
            (Query(), "abcdefg"),
            (Query(states=frozenset()), ""),
            (Query(states=frozenset({State.OPEN})), "abg"),
            (Query(states=frozenset({State.OPEN, State.FINISHING})), "abcg"),
            (Query(expires_before=NOW), "ac"),
            (Query(states=frozenset({State.OPEN}), expires_before=NOW + HOUR), "ab"),
            (Query(ended_before=NOW), "df"),
            (Query(states=frozenset({State.FINISHED}), ended_before=NOW), "d"),
            (Query(states=frozenset({State.FINISHED}), ended_before=NOW - HOUR), ""),
            (Query(states=frozenset({State.TERMINATED, State.EXPIRED}), ended_before=NOW + HOUR), "ef"),
            (Query(finals=True), "cg"),
            (Query(finals=False), "abdef"),
            (Query(states=ALIVE, finals=True, expires_before=NOW), "c"),
            (Query(tenant="x"), "ad"),
            (Query(tenant="nobody"), ""),
            (Query(states=frozenset({State.OPEN}), tenant="x"), "a"),
            (Query(tenant="x", ended_before=NOW), "d"),
            (Query(expires_before=NOW + HOUR, ended_before=NOW), ""),
        ],
    )
    async def test_a_scan_gives_what_fits_every_condition(self, store: InfoStore, query: Query, ids: str) -> None:
        instant = timedelta(microseconds=1)
        for upload in (
            record("a", expires_at=NOW - instant, tenant="x"),
            record("b", expires_at=NOW),
            replace(final("c", "b", state=State.FINISHING), expires_at=NOW - HOUR),
            record("d", state=State.FINISHED, ended_at=NOW - instant, tenant="x"),
            record("e", state=State.TERMINATED, ended_at=NOW),
            record("f", state=State.EXPIRED, ended_at=NOW - HOUR),
            final("g", "b"),
        ):
            await store.insert(upload)
        assert await found(store, query) == list(ids)

    @pytest.mark.parametrize("count", [0, 1, 6, 7, 8, 20])
    async def test_the_pages_of_a_scan_hold_everything_once(self, store: InfoStore, count: int) -> None:
        uploads = [record(f"u{n:02}") for n in range(count)]
        await asyncio.gather(*(store.insert(upload) for upload in uploads))
        given = [upload async for page in pages(store, Query(), 7) for upload in page]
        assert sorted(given, key=lambda upload: upload.id) == uploads

    @pytest.mark.parametrize(
        "query",
        [Query(), Query(states=ALIVE), Query(states=ALIVE, expires_before=NOW), Query(states=ALIVE, finals=False)],
    )
    async def test_what_fits_during_a_whole_scan_is_given_exactly_once(self, store: InfoStore, query: Query) -> None:
        kinds: dict[str, Callable[[int], Change]] = {
            "sooner": lambda turn: {"expires_at": NOW - HOUR * (10 + turn)},
            "later": lambda turn: {"expires_at": NOW - HOUR + timedelta(minutes=turn)},
            "moved": lambda turn: {"offset": turn},
            "other state": lambda turn: {"state": (State.FINISHING, State.OPEN)[turn % 2]},
            "untouched": lambda turn: {},
        }
        fitting = {f"u{n}-{number}": change for number, change in enumerate(kinds.values()) for n in range(6)}
        passing = [record(f"passing{n}", expires_at=NOW - HOUR * n) for n in range(1, 9)]
        current = {}
        for n, upload in enumerate([*(record(id, expires_at=NOW - HOUR * 2) for id in fitting), *passing]):
            current[upload.id] = replace(upload, expires_at=NOW - HOUR * (1 + n * 7 % 5))
            await store.insert(current[upload.id])
        given: list[str] = []
        turn = 0
        async for page in pages(store, query, 5):
            turn += 1
            given += [upload.id for upload in page]
            for id, change in fitting.items():
                current[id] = await store.commit(current[id], turn, change(turn))
            if passing:
                gone = current[passing.pop().id]
                await (store.delete(gone) if turn % 2 else store.commit(gone, turn, {"state": State.FAILED}))
            await store.insert(record(f"new{turn}", expires_at=NOW - HOUR))
            assert turn < 50, "a scan must come to its end although records are added"
        assert sorted(id for id in given if id in fitting) == sorted(fitting)
        assert len(given) == len(set(given))

    # finals_of

    async def test_finals_of_gives_those_that_wait_for_the_part(self, store: InfoStore) -> None:
        for upload in (
            record("p", concat=Concat(ConcatKind.PARTIAL, "partial")),
            final("f1", "p", "q"),
            final("f2", "q", "p", "p"),
            final("f3", "q"),
            final("f4", "q", state=State.FINISHING),
            final("done", "p", state=State.FINISHED),
            final("dead", "p", state=State.TERMINATED),
        ):
            await store.insert(upload)
        assert sorted(await store.finals_of("p")) == ["f1", "f2"]
        assert sorted(await store.finals_of("q")) == ["f1", "f2", "f3", "f4"]
        assert await store.finals_of("f1") == []

    async def test_a_final_that_is_finished_or_deleted_waits_no_more(self, store: InfoStore) -> None:
        first, second = final("f1", "p"), final("f2", "p", "p")
        await store.insert(first)
        await store.insert(second)
        await store.commit(first, 1, {"state": State.FINISHED})
        await store.delete(second)
        assert await store.finals_of("p") == []
        await store.insert(final("f2", "other"))
        assert await store.finals_of("p") == []

    # usage

    async def test_usage_follows_every_change(self, store: InfoStore) -> None:
        assert await store.usage() == Usage(0, 0, 0)
        a, b = record("a", reserved=100), record("b", reserved=20)
        await store.insert(a)
        await store.insert(b)
        await store.insert(record("c", state=State.FAILED, reserved=5))
        assert await store.usage() == Usage(2, 2, 120)
        a = await store.commit(a, 1, {"state": State.FINISHING, "reserved": 130})
        assert await store.usage() == Usage(2, 2, 150)
        a = await store.commit(a, 1, {"state": State.FINISHED, "reserved": 90})
        assert await store.usage() == Usage(2, 1, 110)
        b = await store.commit(b, 1, {"state": State.EXPIRED})
        assert await store.usage() == Usage(1, 0, 90)
        await store.delete(b)
        await store.delete(a)
        assert await store.usage() == Usage(0, 0, 0)

    async def test_usage_has_no_upper_bound(self, store: InfoStore) -> None:
        largest = 2**63 - 1
        for n in range(3):
            await store.insert(record(f"u{n}", length=largest, reserved=largest))
        assert (await store.usage()).reserved == 3 * largest

    async def test_a_size_that_no_store_holds_is_refused(self, store: InfoStore) -> None:
        with pytest.raises(StoreFull):
            await store.insert(record("a", length=10**30, reserved=10**30))
        await store.insert(record("b"))
        with pytest.raises(StoreFull):
            await store.commit(record("b"), 1, {"length": 10**30})
        assert await store.read("a") is None
        assert await store.read("b") == record("b")

    # outbox

    async def test_an_event_comes_back_as_it_was_committed(self, store: InfoStore) -> None:
        created = event("e1", FULL)
        await store.insert(FULL, [created])
        finished = Event("e2", EventType.FINISHED, NOW, replace(FULL, state=State.FINISHED))
        terminated = Event("e3", EventType.TERMINATED, NOW - HOUR, record("other"))
        await store.commit(FULL, FULL.fence, {"state": State.FINISHED}, [finished, terminated])
        assert await store.outbox() == [created, finished, terminated]

    async def test_the_outbox_is_in_the_order_of_the_commits(self, store: InfoStore) -> None:
        uploads = [record(f"u{n}") for n in range(30)]
        for upload in reversed(uploads):
            await store.insert(upload, [event(f"1-{upload.id}", upload)])
        for upload in uploads:
            await store.commit(upload, 1, {}, [event(f"2-{upload.id}", upload), event(f"0-{upload.id}", upload)])
        expected = [f"1-{upload.id}" for upload in reversed(uploads)]
        expected += [f"{n}-{upload.id}" for upload in uploads for n in (2, 0)]
        assert [told.id for told in await store.outbox(1000)] == expected
        assert [told.id for told in await store.outbox(7)] == expected[:7]

    async def test_what_is_confirmed_leaves_the_outbox_and_the_rest_keeps_its_order(self, store: InfoStore) -> None:
        upload = record("a")
        await store.insert(upload, [event(f"e{n}", upload) for n in range(6)])
        await store.confirm(["e5", "e1", "e0", "unknown"])
        await store.confirm(["e5"])
        await store.confirm([])
        await store.commit(upload, 1, {}, [event("late", upload)])
        assert [told.id for told in await store.outbox()] == ["e2", "e3", "e4", "late"]

    async def test_events_outlive_their_record(self, store: InfoStore) -> None:
        upload = record("a")
        await store.insert(upload, [event("e", upload)])
        await store.delete(upload)
        assert await store.outbox() == [event("e", upload)]

    async def test_a_probe_of_a_store_that_works_is_silent_and_changes_nothing(self, store: InfoStore) -> None:
        await asyncio.gather(*(store.probe() for _ in range(5)))
        assert await store.usage() == Usage(0, 0, 0)
        assert await store.outbox() == []
