"""Passes of the janitor over real stores: their bounds, what they report and count, and stores that are sick."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest

from tests.contexts import Clock, context_in
from tests.kits.streams import FakeStream
from tusfleet.janitor.report import Action, Report, Tally
from tusfleet.janitor.sweeper import AT_ONCE, SICK_AFTER, Sweeper
from tusfleet.uploads.context import Context, Policy
from tusfleet.uploads.create import create
from tusfleet.uploads.errors import StoreFull, Unavailable
from tusfleet.uploads.intents import Body, Create, Terminate
from tusfleet.uploads.models import Concat, ConcatKind, Principal, Query, State, Upload
from tusfleet.uploads.ports import InfoStore
from tusfleet.uploads.terminate import terminate

pytestmark = pytest.mark.anyio

ANYBODY = Principal(admin=True)
HOUR = 3600.0
TTL = timedelta(days=7)
SOON = 10.0
"""Seconds in which whatever is waited for happens."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def context(tmp_path: Path, clock: Clock) -> AsyncIterator[Context]:
    async with context_in(tmp_path, Policy(expire_after=timedelta(hours=1)), clock=clock) as context:
        yield context


def sweeper_of(context: Context, interval: float = HOUR, **options: Any) -> Sweeper:
    return Sweeper(context, interval, TTL, **options)


async def created(context: Context, length: int, data: bytes = b"", concat: Concat | None = None) -> Upload:
    intent = Create(length, concat=concat, body=Body(len(data)) if data else None)
    return await create(context, intent, FakeStream(data), ANYBODY, lambda: None, "tus")


async def overdue(context: Context, clock: Clock, count: int, data: bytes = b"") -> list[Upload]:
    uploads = [await created(context, 10, data) for _ in range(count)]
    clock.forward(HOUR + 1)
    return uploads


async def half_finished(context: Context) -> Upload:
    """An upload whose gateway died between its two last commits."""
    upload = await created(context, 5)
    async for checkpoint in context.data.append(upload, FakeStream(b"12345")):
        change: Any = {"offset": 5, "placement": checkpoint.placement, "state": State.FINISHING}
        upload = await context.info.commit(upload, upload.fence, change)
    return upload


async def stray(context: Context, folder: Path, id: str = "stray") -> None:
    """Bytes without a record, old enough."""
    upload = replace(await created(context, 10), id=id, offset=0)
    assert [item async for item in context.data.append(upload, FakeStream(b"123"))]
    os.utime(stray_in(folder, id), (1, 1))


def stray_in(folder: Path, id: str) -> Path:
    (path,) = folder.glob(f"partial/*/{id}")
    return path


async def states(context: Context, uploads: list[Upload]) -> list[State | None]:
    return [None if one is None else one.state for one in await context.info.read_many([up.id for up in uploads])]


def shown(context: Context) -> dict[str, float]:
    """Metrics by name and labels."""
    lines = generate_latest(context.metrics.registry).decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


def failing(
    monkeypatch: pytest.MonkeyPatch, place: object, name: str, error: Exception, ids: set[str] | None = None
) -> list[str]:
    """Have a method of a store fail, for all or for some uploads; gives the ids it was called for."""
    method = getattr(place, name)
    calls: list[str] = []

    async def hindered(*arguments: Any) -> Any:
        id = getattr(arguments[0], "id", "") if arguments else ""
        calls.append(id)
        if ids is not None and id not in ids:
            return await method(*arguments)
        raise error

    monkeypatch.setattr(place, name, hindered)
    return calls


async def running(sweeper: Sweeper, until: Callable[[], Awaitable[bool] | bool], most: int = 2000) -> None:
    """Let a sweeper run until something is true."""
    task = asyncio.create_task(sweeper.run(most))
    try:
        async with asyncio.timeout(SOON):
            while True:
                found = until()
                if found is True or (not isinstance(found, bool) and await found):
                    return
                await asyncio.sleep(0.01)  # between two looks, up to the deadline
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def test_a_pass_is_bounded_and_the_next_one_goes_on_there(context: Context, clock: Clock) -> None:
    uploads = await overdue(context, clock, 25)
    sweeper = sweeper_of(context)
    counts = []
    for _ in range(3):
        report = await sweeper.sweep(most=10)
        counts.append((report.tallies[Action.EXPIRE].done, report.more))
    assert counts == [(10, True), (10, True), (5, False)]
    assert set(await states(context, uploads)) == {State.EXPIRED}


async def test_only_a_few_uploads_are_worked_on_at_a_time(
    context: Context, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await overdue(context, clock, 60)
    abort = context.data.abort
    under_way, most = 0, 0

    async def slow(upload: Upload) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await abort(upload)
        under_way -= 1

    monkeypatch.setattr(context.data, "abort", slow)
    report = await sweeper_of(context).sweep()
    assert report.tallies[Action.EXPIRE].done == 60
    assert 1 < most <= AT_ONCE


async def test_a_backlog_does_not_hold_up_what_has_to_be_driven_on(context: Context, clock: Clock) -> None:
    uploads = await overdue(context, clock, 40)
    late: list[Upload] = []

    async def one_has_been_finished_before_the_backlog_was_gone() -> bool:
        found = await states(context, uploads)
        if not late and State.EXPIRED in found:
            late.append(await half_finished(context))
        return bool(late) and await states(context, late) == [State.FINISHED] and State.OPEN in found

    await running(sweeper_of(context), one_has_been_finished_before_the_backlog_was_gone, most=2)


async def test_a_backlog_leaves_no_pause_between_passes(context: Context, clock: Clock) -> None:
    uploads = await overdue(context, clock, 30)

    async def all_expired() -> bool:
        return set(await states(context, uploads)) == {State.EXPIRED}

    await running(sweeper_of(context, interval=HOUR), all_expired, most=4)


async def test_the_backlog_is_counted_beyond_the_bound_of_a_pass(context: Context, clock: Clock) -> None:
    await overdue(context, clock, 30)
    sweeper = sweeper_of(context)
    await sweeper.sweep(most=10)
    assert shown(context)["tusfleet_janitor_overdue"] == 20
    await sweeper.sweep()
    assert shown(context)["tusfleet_janitor_overdue"] == 0


async def test_what_was_done_is_reported_and_counted(context: Context, clock: Clock, tmp_path: Path) -> None:
    part = await created(context, 5, b"12345", Concat(ConcatKind.PARTIAL, "partial"))
    concat = Concat(ConcatKind.FINAL, "final;x", (part.id,))
    await context.info.insert(replace(await created(context, 1), id="final", length=5, concat=concat))
    await half_finished(context)
    await stray(context, tmp_path)
    (tombstone,) = await overdue(context, clock, 1)
    ended: Any = {"state": State.TERMINATED, "ended_at": clock.now, "reserved": 0}
    await context.info.commit(tombstone, tombstone.fence, ended)
    clock.forward(1)
    await overdue(context, clock, 2, b"1234")
    report = await sweeper_of(context).sweep()
    expired = report.tallies.pop(Action.EXPIRE)
    assert report.tallies == {
        Action.FREE: Tally(),
        Action.FINISH: Tally(done=1),
        Action.MERGE: Tally(done=1),
        Action.BURY: Tally(done=1),
        Action.FORGET: Tally(),
        Action.LEFTOVER: Tally(done=1, bytes=3),
    }
    # These two, the merged part, and two without bytes that lent their records to others above.
    assert expired == Tally(done=5, bytes=2 * 4 + 5)
    assert report.well
    metrics = shown(context)
    for action, count in (("expire", 5), ("finish", 1), ("merge", 1), ("bury", 1), ("leftover", 1)):
        assert metrics[f'tusfleet_janitor_items_total{{action="{action}",outcome="done"}}'] == count
    assert metrics["tusfleet_janitor_pass_seconds_count"] == 1


async def test_a_dry_run_tells_what_a_pass_does_and_changes_nothing(
    context: Context, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [await created(context, 5, b"12345", Concat(ConcatKind.PARTIAL, "partial")) for _ in range(3)]
    for name, its in (("final", parts[:1]), ("hopeless", parts[1:2])):
        concat = Concat(ConcatKind.FINAL, f"final;{name}", tuple(part.id for part in its))
        await context.info.insert(replace(await created(context, 1), id=name, length=5, concat=concat))
    await terminate(context, Terminate(parts[1].id), ANYBODY)
    await half_finished(context)
    await stray(context, tmp_path)
    await overdue(context, clock, 2, b"1234")
    busy = await created(context, 10, b"12")
    clock.forward(HOUR + 1)

    for place, names in (
        (context.info, ("insert", "commit", "delete")),
        (context.data, ("finish", "concatenate", "abort", "probe")),
        (context.locker, ("acquire", "try_acquire")),
    ):
        for name in names:
            monkeypatch.setattr(place, name, None)
    before = await everything(context.info), files(tmp_path)
    monkeypatch.setattr(context.locker, "_held", {busy.id: None})
    would = await sweeper_of(context).sweep(dry_run=True)
    assert (await everything(context.info), files(tmp_path)) == before
    assert not any("janitor" in name and value for name, value in shown(context).items())
    monkeypatch.undo()

    async with context.leased(busy.id):
        did = await sweeper_of(context).sweep()
    assert would.tallies == did.tallies
    assert [(one.action, one.upload_id) for one in would.failures] == [(Action.MERGE, "hopeless")]
    assert [(one.action, one.upload_id) for one in did.failures] == [(Action.MERGE, "hopeless")]
    assert would.tallies[Action.EXPIRE].left == 1
    assert would.named[Action.LEFTOVER] == [("stray", 3)]
    assert [one["upload"] for one in would.plain()["uploads"] if one["action"] == "merge"] == ["final"]  # type: ignore[attr-defined]


async def everything(info: InfoStore) -> list[Upload]:
    page = await info.scan(Query(), 1000)
    return list(page.uploads)


def files(folder: Path) -> dict[str, bytes]:
    found = [path for name in ("partial", "files") for path in (folder / name).rglob("*") if path.is_file()]
    return {str(path): path.read_bytes() for path in found}


async def test_a_store_that_is_sick_ends_the_pass_and_is_told_of_once(
    context: Context, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await overdue(context, clock, 50, b"1234")
    sick = Unavailable("The bucket cannot be reached")
    calls = failing(monkeypatch, context.data, "abort", sick)
    failing(monkeypatch, context.data, "probe", sick)
    sweeper = sweeper_of(context)
    with caplog.at_level(logging.INFO, "tusfleet"):
        await running(sweeper, lambda: bool(caplog.records))
    assert len(calls) <= AT_ONCE
    (line,) = caplog.records
    assert line.levelno == logging.WARNING
    assert "gave up a pass" in line.getMessage()
    assert sick.detail in line.getMessage()
    # One that goes down a little later than the other is as sick.
    report = await sweeper.sweep()
    assert report.ended_early is sick
    assert report.tallies[Action.BURY] == Tally()


async def test_passes_over_a_sick_store_become_rare(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    failing(monkeypatch, context.info, "scan", Unavailable("Redis cannot be reached"))

    async def asleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 9:
            raise asyncio.CancelledError

    monkeypatch.setattr("tusfleet.janitor.sweeper.asyncio.sleep", asleep)
    with pytest.raises(asyncio.CancelledError):
        await sweeper_of(context, interval=1).run()
    assert pauses == [2, 4, 8, 16, 32, 64, 120, 120, 120]


async def test_a_store_that_lets_us_look_and_nothing_else_ends_the_pass_too(
    context: Context, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads = await overdue(context, clock, 100, b"1234")
    stuck = {upload.id for upload in uploads[:60]}
    calls = failing(monkeypatch, context.data, "abort", Unavailable("Not allowed"), stuck)
    sweeper = sweeper_of(context)
    first = await sweeper.sweep()
    assert first.ended_early is not None
    assert SICK_AFTER <= len(calls) < SICK_AFTER + AT_ONCE
    # The next passes go on behind those, so that they hold up nobody for good.
    for _ in range(4):
        await sweeper.sweep()
    assert {upload.id for upload in uploads} == set(calls)


async def test_no_failure_of_one_upload_ends_the_pass(
    context: Context, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    uploads = await overdue(context, clock, 30)
    stuck = {upload.id for upload in uploads[:3]}
    failing(monkeypatch, context.data, "abort", Unavailable("A folder stands in the way"), stuck)
    with caplog.at_level(logging.INFO, "tusfleet"):
        await running(sweeper_of(context), lambda: any("A pass" in one.getMessage() for one in caplog.records))
    told = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert {record.__dict__["upload_id"] for record in told} == stuck
    (line,) = [record.getMessage() for record in caplog.records if "A pass" in record.getMessage()]
    assert line == "A pass of the janitor: 27 expired, 3 failed"


async def test_of_many_failures_the_first_are_told_and_all_are_counted(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(25):
        await half_finished(context)
    failing(monkeypatch, context.data, "finish", StoreFull())
    report = await sweeper_of(context).sweep()
    plain = report.plain()
    assert (len(report.failures), report.failed, plain["failures_not_listed"]) == (20, 25, 5)
    assert {failure.reason for failure in report.failures} == {"store_full"}
    assert not report.well


async def test_the_age_of_what_cannot_be_finished_is_shown_while_it_lasts(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("tusfleet.janitor.sweeper._now", lambda: now[0])
    await half_finished(context)
    later = await half_finished(context)
    sweeper = sweeper_of(context)
    finish = context.data.finish
    failing(monkeypatch, context.data, "finish", StoreFull())
    ages = []
    for _ in range(3):
        await sweeper.sweep()
        ages.append(shown(context)["tusfleet_janitor_oldest_finishing_seconds"])
        now[0] += 60
    assert ages == [0, 60, 120]
    failing(monkeypatch, context.data, "finish", StoreFull(), {later.id})
    monkeypatch.setattr(context.data, "finish", finish)
    await sweeper.sweep()
    await sweeper.sweep()
    assert shown(context)["tusfleet_janitor_oldest_finishing_seconds"] == 0


async def test_who_does_not_lead_any_more_shows_nothing(context: Context, clock: Clock) -> None:
    await overdue(context, clock, 1)
    (busy,) = await overdue(context, clock, 1)
    sweeper = sweeper_of(context, interval=0.01)
    async with context.leased(busy.id):
        await running(sweeper, lambda: shown(context)["tusfleet_janitor_overdue"] == 1)
    metrics = shown(context)
    assert (metrics["tusfleet_janitor_overdue"], metrics["tusfleet_janitor_leading"]) == (0, 0)


async def test_leftovers_are_looked_for_rarely_and_again_after_a_failure(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("tusfleet.janitor.sweeper._now", lambda: now[0])
    sweeper = sweeper_of(context, leftover_age=1000, leftover_pause=5000)
    await sweeper.sweep()

    async def found_after(seconds: float) -> Report:
        now[0] += seconds
        return await sweeper.sweep()

    await stray(context, tmp_path)
    assert (await found_after(4990)).tallies[Action.LEFTOVER] == Tally()
    path = stray_in(tmp_path, "stray")
    abort = context.data.abort
    failing(monkeypatch, context.data, "abort", StoreFull(), {"stray"})
    assert (await found_after(11)).tallies[Action.LEFTOVER] == Tally(failed=1)
    monkeypatch.setattr(context.data, "abort", abort)
    assert (await found_after(590)).tallies[Action.LEFTOVER] == Tally()
    assert path.exists()
    assert (await found_after(11)).tallies[Action.LEFTOVER] == Tally(done=1, bytes=3)
    assert not path.exists()


async def test_bytes_of_a_tombstone_that_could_not_be_removed_are_removed_later(
    context: Context, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("tusfleet.janitor.sweeper._now", lambda: now[0])
    (upload,) = await overdue(context, clock, 1, b"1234")
    sweeper = sweeper_of(context)
    abort = context.data.abort
    failing(monkeypatch, context.data, "abort", Unavailable("Not now"), {upload.id})
    await sweeper.sweep()
    monkeypatch.setattr(context.data, "abort", abort)
    assert files(tmp_path)
    now[0] += 601
    report = await sweeper.sweep()
    assert report.tallies[Action.FREE] == Tally(done=1, bytes=4)
    assert not files(tmp_path)
