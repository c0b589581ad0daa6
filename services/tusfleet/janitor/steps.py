"""What the janitor does to one upload, and how it finds those it may do it to.

Everything is done under the lease of the upload, by the record as it stands under that lease, and may be repeated or
cut short: so it does no harm when two janitors do it at once. Each step has a second form that only looks.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from tusfleet.janitor.report import Action, Outcome
from tusfleet.uploads.concatenate import drive
from tusfleet.uploads.context import Context
from tusfleet.uploads.errors import Gone
from tusfleet.uploads.finish import finish
from tusfleet.uploads.models import Query, State, Upload
from tusfleet.uploads.ports import Lease
from tusfleet.uploads.terminate import expire, forget, free

PAGE = 100
"""Records taken at a time."""

GONE = frozenset({State.EXPIRED, State.FAILED})
TERMINATED = frozenset({State.TERMINATED})
FINISHED = frozenset({State.FINISHED})
UNFINISHED = frozenset({State.OPEN, State.FINISHING})
ALIVE = frozenset({*UNFINISHED, State.FINISHED})

Find = Callable[[Context], AsyncGenerator[Upload, None]]

Act = Callable[[Context, Upload], Awaitable[Outcome | None]]
"""Does what is to be done to one upload; None: there was nothing to be done after all."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing the janitor does.

    Parameters:
        action: what.
        find: gives the uploads it may have to be done to.
        act: does it.
        preview: tells, as far as that can be seen, what `act` would do, and changes nothing.
        pause: seconds between two of its rounds; 0 has it done in every pass.
    """

    action: Action
    find: Find
    act: Act
    preview: Act
    pause: float = 0.0


def steps(
    tombstone_ttl: timedelta, finished_ttl: timedelta | None, leftover_age: float, leftover_pause: float
) -> tuple[Step, ...]:
    """All steps, in their order: what has all of its bytes is finished rather than expired, however late that is.

    Parameters:
        tombstone_ttl: how long expired and failed uploads are remembered.
        finished_ttl: how long finished uploads are remembered; None for ever.
        leftover_age: seconds for which bytes without a record were not touched when they are removed.
        leftover_pause: seconds between two looks for what died half-way.
    """

    def due(context: Context) -> AsyncGenerator[Upload, None]:
        now = context.clock()
        ended = Query(states=TERMINATED, ended_before=now)
        return _every(context, ended, Query(states=GONE, ended_before=now - tombstone_ttl))

    async def aged(context: Context) -> AsyncGenerator[Upload, None]:
        if finished_ttl is None:
            return
        async for upload in _every(context, Query(states=FINISHED, ended_before=context.clock() - finished_ttl)):
            if not upload.is_partial:  # its object is nobody's product, and found by its record alone
                yield upload

    def left_over(context: Context) -> AsyncGenerator[Upload, None]:
        return _unreferenced(context, leftover_age)

    return (
        Step(Action.FREE, _burdened, _free, _would_unless_used, leftover_pause),
        Step(Action.FINISH, _finishing, _finish, _would_unless_used),
        Step(Action.MERGE, _finals, _merge, _would_merge),
        Step(Action.EXPIRE, overdue, _expire, _would_expire),
        Step(Action.BURY, due, _bury, _would_unless_used),
        Step(Action.FORGET, aged, _forget, _would_unless_used),
        Step(Action.LEFTOVER, left_over, _remove, _would_unless_used, leftover_pause),
    )


async def _every(context: Context, *queries: Query) -> AsyncGenerator[Upload, None]:
    for query in queries:
        cursor = None
        while True:
            page = await context.info.scan(query, PAGE, cursor)
            for upload in page.uploads:
                yield upload
            cursor = page.cursor
            if cursor is None:
                break


def overdue(context: Context) -> AsyncGenerator[Upload, None]:
    """Uploads whose time is over."""
    return _every(context, Query(states=ALIVE, expires_before=context.clock()))


def _finishing(context: Context) -> AsyncGenerator[Upload, None]:
    return _every(context, Query(states=frozenset({State.FINISHING}), finals=False))


def _finals(context: Context) -> AsyncGenerator[Upload, None]:
    return _every(context, Query(states=UNFINISHED, finals=True))


async def _burdened(context: Context) -> AsyncGenerator[Upload, None]:
    """Tombstones that still hold bytes: others may have their place once these are gone."""
    async for upload in _every(context, Query(states=GONE | TERMINATED)):
        if upload.placement:
            yield upload


async def _unreferenced(context: Context, age: float) -> AsyncGenerator[Upload, None]:
    batch: list[Upload] = []
    async for found in context.data.leftovers(age):
        batch.append(found)
        if len(batch) == PAGE:
            for stray in await _without_record(context, batch):
                yield stray
            batch = []
    for stray in await _without_record(context, batch):
        yield stray


async def _without_record(context: Context, batch: list[Upload]) -> list[Upload]:
    # Nearly all have a record: that is found out for many at once.
    records = await context.info.read_many([found.id for found in batch])
    return [found for found, record in zip(batch, records, strict=True) if not _referenced(context, record, found)]


def _referenced(context: Context, record: Upload | None, found: Upload) -> bool:
    return record is not None and context.data.references(record, found)


async def _unless_changed(
    context: Context, upload: Upload, work: Callable[[Upload, Lease], Awaitable[object]]
) -> Outcome | None:
    """Do something to an upload under its lease, if it is as it was found."""
    async with _unless_used(context, upload.id) as lease:
        if lease is None:
            return Outcome.LEFT
        current = await _unchanged(context, upload, lease)
        if current is None:
            return None
        await work(current, lease)
        return Outcome.DONE


async def _free(context: Context, upload: Upload) -> Outcome | None:
    return await _unless_changed(context, upload, lambda current, lease: free(context, current, lease))


async def _finish(context: Context, upload: Upload) -> Outcome | None:
    async with _unless_used(context, upload.id) as lease:
        if lease is None:
            return Outcome.LEFT
        current = await context.current(lease)
        if current is None or current.state is not State.FINISHING:
            return None
        await finish(context, current, lease)
        return Outcome.DONE


async def _merge(context: Context, upload: Upload) -> Outcome | None:
    driven = await drive(context, upload)
    if driven.state is State.FINISHED:
        return Outcome.DONE
    return Outcome.LEFT if driven.state is State.FINISHING else None  # one that waits for parts is as it should be


async def _expire(context: Context, upload: Upload) -> Outcome | None:
    return Outcome.DONE if await expire(context, upload) else Outcome.LEFT


async def _bury(context: Context, upload: Upload) -> Outcome | None:
    # Its bytes are removed once more: who made it may have died before that.
    return await _unless_changed(context, upload, lambda current, _: forget(context, current))


async def _forget(context: Context, upload: Upload) -> Outcome | None:
    return await _unless_changed(context, upload, lambda current, _: context.info.delete(current))


async def _remove(context: Context, found: Upload) -> Outcome | None:
    # Under the lease: an id may be used again, and its new bytes must not be taken for the old ones.
    async with _unless_used(context, found.id) as lease:
        if lease is None:
            return Outcome.LEFT
        if _referenced(context, await context.current(lease), found):
            return None
        if lease.lost:
            return Outcome.LEFT
        await context.data.abort(found)
        return Outcome.DONE


async def _would_unless_used(context: Context, upload: Upload) -> Outcome | None:
    return Outcome.LEFT if (await context.locker.standing(upload.id)).held else Outcome.DONE


async def _would_merge(context: Context, upload: Upload) -> Outcome | None:
    ready = await _parts_ready(context, upload)
    if ready is None:
        raise Gone("A partial upload of this final one is gone")
    return await _would_unless_used(context, upload) if ready else None


async def _would_expire(context: Context, upload: Upload) -> Outcome | None:
    # What would have been finished, merged or given up by then would not expire any more.
    if upload.is_final:
        if await _parts_ready(context, upload) is not False:
            return None
    elif upload.state is State.FINISHING:
        return None
    elif upload.state is State.FINISHED and await _waited_for(context, upload):
        return Outcome.LEFT
    return await _would_unless_used(context, upload)


async def _waited_for(context: Context, part: Upload) -> bool:
    """Whether a final upload would still need a part after it had been driven on."""
    finals = await context.info.read_many(await context.info.finals_of(part.id))
    return any([final is not None and await _parts_ready(context, final) is False for final in finals])


async def _parts_ready(context: Context, final: Upload) -> bool | None:
    """Whether all parts of a final upload are finished; None when one of them never will be."""
    parts = await context.info.read_many(() if final.concat is None else final.concat.parts)
    if any(part is None or not part.state.alive for part in parts):
        return None
    return all(part is not None and part.state is State.FINISHED for part in parts)


async def _unchanged(context: Context, upload: Upload, lease: Lease) -> Upload | None:
    """The record under the lease if it is still as the scan gave it: its place may be another's by now."""
    current = await context.current(lease)
    if current is None or replace(current, fence=upload.fence) != upload:
        return None
    return current


@asynccontextmanager
async def _unless_used(context: Context, id: str) -> AsyncIterator[Lease | None]:
    """Hold the lease of an upload; None when somebody else does, who is not disturbed."""
    lease = await context.locker.try_acquire(id)
    try:
        yield lease
    finally:
        if lease is not None:
            await lease.release()
