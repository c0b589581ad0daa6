"""Where an upload stands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from tusfleet.uploads.concatenate import drive
from tusfleet.uploads.context import Context
from tusfleet.uploads.errors import DataLost
from tusfleet.uploads.finish import finish
from tusfleet.uploads.intents import Inspect
from tusfleet.uploads.models import Principal, State, Upload
from tusfleet.uploads.ports import Content


async def inspect(context: Context, intent: Inspect, principal: Principal) -> Upload:
    """Tell where an upload stands, for a client that wants to go on with it.

    A request that is writing it is asked to let go first, so that the offset told is one that the next append may
    use. An upload that has all of its bytes but no object yet is driven on.

    Raises:
        NotFound, Gone: there is none.
        Locked: another request did not let go in time.
    """
    standing = await context.locker.standing(intent.id)
    upload = context.visible(standing.upload or await context.info.read(intent.id), principal)
    if upload.is_final:
        return upload if upload.state is State.FINISHED else await drive(context, upload)
    if upload.state is State.FINISHED:
        return upload
    if standing.held:
        await context.locker.settle(intent.id, context.policy.lock_timeout)
        upload = await context.present(intent.id, principal)
    if upload.complete and upload.state is not State.FINISHED:
        async with context.leased(intent.id) as lease:
            upload = await finish(context, context.visible(await context.current(lease), principal), lease)
    return upload


async def peek(context: Context, id: str, principal: Principal) -> Upload:
    """Tell where an upload stands without disturbing anybody, for those who only watch.

    Raises:
        NotFound, Gone: there is none.
    """
    return await context.present(id, principal)


@asynccontextmanager
async def reading(context: Context, upload: Upload, span: tuple[int, int] | None = None) -> AsyncIterator[Content]:
    """Open the bytes of a record that was read without a lease: they may have been put elsewhere since.

    Parameters:
        span: see `DataStore.read`.

    Raises:
        DataLost: they are not there.
    """
    async with AsyncExitStack() as stack:
        try:
            content = await stack.enter_async_context(context.data.read(upload, span))
        except DataLost:
            current = await context.info.read(upload.id)
            if current is None or current.placement == upload.placement:
                raise
            moved = replace(upload, placement=current.placement)
            content = await stack.enter_async_context(context.data.read(moved, span))
        yield content
