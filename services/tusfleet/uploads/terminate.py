"""The end of an upload, at somebody's wish or because its time is over."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from tusfleet.uploads.context import Context
from tusfleet.uploads.errors import Forbidden
from tusfleet.uploads.intents import Terminate
from tusfleet.uploads.models import Change, EventType, Principal, State, Upload
from tusfleet.uploads.ports import Lease

T = TypeVar("T")


async def terminate(context: Context, intent: Terminate, principal: Principal) -> None:
    """End an upload and free its bytes; a request that is writing it is asked to let go first.

    Raises:
        NotFound, Gone: there is none to end.
        Forbidden: it is finished, and this server keeps what is finished.
        Locked: another request did not let go in time.
    """
    lease = await context.taken(intent.id, principal)
    try:
        upload = context.visible(await context.current(lease), principal)
        if upload.state is State.FINISHED and not context.policy.terminate_finished and not upload.is_partial:
            raise Forbidden("This server does not delete finished uploads")
        await discard(context, upload, lease)
    finally:
        await lease.release()


async def discard(context: Context, upload: Upload, lease: Lease) -> None:
    """End an upload, free its bytes and forget it; its tombstone stays only if that is cut short."""
    ended = await context.commit(upload, lease, _ended(context, State.TERMINATED), EventType.TERMINATED)
    await forget(context, ended)


async def forget(context: Context, ended: Upload) -> None:
    """Free the bytes of a tombstone and take its record away; whoever calls holds its lease and has just read it."""

    async def steps() -> None:
        await context.data.abort(ended)
        await context.info.delete(ended)

    await _uncut(steps())


async def free(context: Context, ended: Upload, lease: Lease) -> Upload:
    """Free the bytes of a tombstone that is kept, and forget where they were: others may have that place soon."""

    async def steps() -> Upload:
        await context.data.abort(ended)
        if not ended.placement:
            return ended
        return await context.info.commit(ended, lease.fence, {"placement": {}})

    return await _uncut(steps())


async def _uncut(steps: Coroutine[None, None, T]) -> T:
    """Carry out steps that belong together; a cancellation takes effect after the last one."""
    task = asyncio.create_task(steps)
    cancelled = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None and task.exception() is None:
        raise cancelled
    return task.result()


async def expire(context: Context, upload: Upload) -> bool:
    """Let an upload expire if its time is over and nobody is writing it; tell whether it did."""
    lease = await context.locker.try_acquire(upload.id)
    if lease is None:
        return False
    try:
        current = await context.current(lease)
        if current is None or not context.overdue(current):
            return False
        if current.state is State.FINISHED and await context.info.finals_of(current.id):
            return False  # a part whose bytes are still to be merged; the final upload expires first
        expired = await context.commit(current, lease, _ended(context, State.EXPIRED), EventType.EXPIRED)
        await free(context, expired, lease)
        return True
    finally:
        await lease.release()


def _ended(context: Context, state: State) -> Change:
    return {"state": state, "ended_at": context.clock(), "expires_at": None, "reserved": 0}
