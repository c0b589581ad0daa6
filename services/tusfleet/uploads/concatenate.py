"""Final uploads: made of partial ones, merged as soon as the last of them is finished."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

from tusfleet.uploads.context import Context
from tusfleet.uploads.errors import (
    DataLost,
    Draining,
    FenceLost,
    Gone,
    InvalidConcatenation,
    Locked,
    StoreFull,
    TooLarge,
    Unavailable,
)
from tusfleet.uploads.finish import fail
from tusfleet.uploads.models import EventType, Principal, State, Upload
from tusfleet.uploads.ports import Lease
from tusfleet.uploads.terminate import discard

_WAVE = 256
"""Parts read at once: a header may name tens of thousands, and others are waiting."""


async def create_final(context: Context, upload: Upload, principal: Principal) -> Upload:
    """Record a final upload, and merge it at once when its parts are finished.

    Raises:
        InvalidConcatenation: a part is unknown, not partial, or gone.
        TooLarge: the sum of the parts is beyond the limit, or one object cannot have them all.
        StoreFull: there is no room for the sum; nothing was created.
        Unavailable: try again later.
    """
    parts = await _parts(context, upload)
    for id, part in zip(_ids(upload), parts, strict=True):
        if part is None or not part.state.alive or not principal.may_see(part) or context.overdue(part):
            raise InvalidConcatenation(f"There is no partial upload {id}")
        if not part.is_partial:
            raise InvalidConcatenation(f"The upload {id} was not created with Upload-Concat: partial")
    length = _total(parts)
    if length is not None and context.policy.max_size is not None and length > context.policy.max_size:
        raise TooLarge(f"The parts have {length} bytes together; the limit is {context.policy.max_size}")
    upload = replace(upload, length=length, reserved=length or 0, expires_at=context.expiry())
    await context.insert(upload)
    try:
        return await drive(context, upload)
    except (StoreFull, Unavailable):
        # The client is told no URL and asks again: the parts must not be merged twice.
        async with context.leased(upload.id) as lease:
            current = await context.current(lease)
            if current is not None and current.state.alive:
                await discard(context, current, lease)
        raise


async def drive(context: Context, upload: Upload) -> Upload:
    """Merge a final upload if its parts are finished and nobody else is at it; give the record as it is then."""
    lease = await context.locker.try_acquire(upload.id)
    return upload if lease is None else await _drive(context, upload, lease)


async def _drive(context: Context, upload: Upload, lease: Lease) -> Upload:
    try:
        current = await context.current(lease)
        if current is None or current.state not in (State.OPEN, State.FINISHING):
            return current or upload
        return await _merge(context, current, lease)
    finally:
        await lease.release()


async def _merge(context: Context, upload: Upload, lease: Lease) -> Upload:
    parts = await _parts(context, upload)
    if any(part is None or not part.state.alive for part in parts):
        await fail(context, upload, lease)
        raise Gone("A partial upload of this final one is gone; start a new one")
    length = _total(parts)
    if length is not None and length != upload.length:
        upload = await _declare(context, upload, lease, length)
    present = [part for part in parts if part is not None]
    if any(part.state is not State.FINISHED for part in present):
        return await _put_off(context, upload, lease, present)
    if upload.state is State.OPEN:
        upload = await context.commit(upload, lease, {"state": State.FINISHING})
    try:
        merged = replace(upload, placement=await context.data.concatenate(upload, present), offset=length or 0)
        if lease.doubt is not None:
            # That may have taken long: whoever has lost the lease meanwhile learns it here, and makes no object.
            upload = await context.commit(upload, lease, {})
        placement = await context.data.finish(merged)
    except (DataLost, TooLarge):
        await fail(context, upload, lease)
        raise
    # Before the last commit, after which nobody would come back to them; until then `expire` keeps them.
    await _let_go(context, present)
    return await context.commit(
        upload,
        lease,
        {
            "state": State.FINISHED,
            "offset": length or 0,
            "placement": placement,
            "ended_at": context.clock(),
            "expires_at": None,
        },
        EventType.FINISHED,
        last=True,
    )


async def _put_off(context: Context, upload: Upload, lease: Lease, parts: list[Upload]) -> Upload:
    """Bytes of a part are bytes of the final upload: that lives at least as long as the parts it waits for."""
    latest = max((part.expires_at for part in parts if part.expires_at is not None), default=None)
    if upload.expires_at is None or latest is None or latest <= upload.expires_at:
        return upload
    return await context.commit(upload, lease, {"expires_at": latest})


async def _declare(context: Context, upload: Upload, lease: Lease, length: int) -> Upload:
    """The length of a final upload is known once that of its last part is."""
    if context.policy.max_size is not None and length > context.policy.max_size:
        await fail(context, upload, lease)
        raise TooLarge(f"The parts have {length} bytes together; the limit is {context.policy.max_size}")
    return await context.commit(upload, lease, {"length": length, "reserved": length})


async def part_finished(context: Context, part: Upload) -> None:
    """Merge the final uploads that waited for `part`; what cannot be merged now is left to the janitor."""
    for id in await context.info.finals_of(part.id):
        final = await context.info.read(id)
        if final is None or final.state is not State.OPEN:
            continue
        try:
            # Whoever holds it may have looked at the parts too early, and would leave it as it is.
            lease = await context.locker.acquire(id, context.policy.lock_timeout)
            await _drive(context, final, lease)
        except (DataLost, Draining, FenceLost, Gone, Locked, StoreFull, TooLarge, Unavailable):
            # The answer to the part is about the part: whoever asks for the final one is told what is wrong with it.
            continue


async def _let_go(context: Context, parts: list[Upload]) -> None:
    """Have merged parts expire soon: their bytes stand in the final upload now."""
    expires = context.clock() + context.policy.partial_grace

    async def soon(part: Upload) -> None:
        with suppress(FenceLost):  # somebody is terminating it, which is as good
            await context.info.commit(part, part.fence, {"expires_at": expires})

    late = {part.id: part for part in parts if part.expires_at is None or part.expires_at > expires}
    # At once, so that they share their way to the disk: there may be a thousand.
    await asyncio.gather(*map(soon, late.values()))


async def _parts(context: Context, upload: Upload) -> list[Upload | None]:
    """The parts in their order. One that is missing spoils the whole: those after it may count as missing as well."""
    ids = _ids(upload)
    named = list(dict.fromkeys(ids))
    found: dict[str, Upload | None] = {}
    for start in range(0, len(named), _WAVE):
        wave = named[start : start + _WAVE]
        records = await context.info.read_many(wave)
        found.update(zip(wave, records, strict=True))
        if None in records:
            break
    return [found.get(id) for id in ids]


def _ids(upload: Upload) -> tuple[str, ...]:
    return () if upload.concat is None else upload.concat.parts


def _total(parts: list[Upload | None]) -> int | None:
    lengths = [None if part is None else part.length for part in parts]
    known = [length for length in lengths if length is not None]
    return sum(known) if len(known) == len(lengths) else None
