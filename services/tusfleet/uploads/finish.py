"""From all bytes to a whole object: two commits, and whoever sees the upload in between drives it on."""

from __future__ import annotations

from tusfleet.uploads.context import Context
from tusfleet.uploads.errors import DataLost
from tusfleet.uploads.models import Change, EventType, State, Upload
from tusfleet.uploads.ports import Lease
from tusfleet.uploads.terminate import free


async def finish(context: Context, upload: Upload, lease: Lease) -> Upload:
    """Bring a complete upload to `finished`; one that is not complete, or finished already, stays as it is.

    Raises:
        DataLost: its bytes are not there any more; it is `failed` now.
        StoreFull, Unavailable: not now; the next request or the janitor goes on.
    """
    if not upload.complete or upload.state not in (State.OPEN, State.FINISHING) or upload.is_final:
        return upload
    if upload.state is State.OPEN:
        upload = await context.commit(upload, lease, {"state": State.FINISHING})
    try:
        placement = await context.data.finish(upload)
    except DataLost:
        await fail(context, upload, lease)
        raise
    return await finished(context, upload, lease, {"placement": placement})


async def finished(context: Context, upload: Upload, lease: Lease, change: Change) -> Upload:
    """Commit that the whole object is there, with what else there is to change."""
    change["state"] = State.FINISHED
    change["reserved"] = change.get("offset", upload.offset)
    change["ended_at"] = context.clock()
    if not upload.is_partial:  # a finished partial upload is of use only until it is merged: it goes on expiring
        change["expires_at"] = None
    event = None if upload.is_partial else EventType.FINISHED
    return await context.commit(upload, lease, change, event, last=True)


async def fail(context: Context, upload: Upload, lease: Lease) -> Upload:
    """Give up an upload that can never finish, and count its lost bytes."""
    failed = await context.commit(
        upload,
        lease,
        {"state": State.FAILED, "ended_at": context.clock(), "expires_at": None, "reserved": 0},
        EventType.FAILED,
    )
    # Not before: what a holder whose lease is over does not find may be in its place.
    if upload.offset and not upload.is_final:
        context.metrics.offsets_lost.inc()
    return await free(context, failed, lease)
