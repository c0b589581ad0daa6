"""A new upload, perhaps with its first bytes."""

from __future__ import annotations

from contextlib import suppress

from tusfleet.uploads.append import TrailerChecksum, Writing, early, write
from tusfleet.uploads.concatenate import create_final, part_finished
from tusfleet.uploads.context import Context, under
from tusfleet.uploads.errors import (
    AlreadyExists,
    BadRequest,
    ChecksumMismatch,
    HookFailed,
    InvalidHeader,
    LengthExceeded,
    StoreFull,
    TooLarge,
    Unavailable,
    UnsupportedChecksum,
    UnsupportedMediaType,
    UploadError,
)
from tusfleet.uploads.finish import finish
from tusfleet.uploads.intents import Body, Create
from tusfleet.uploads.models import BodyEnd, Principal, State, Upload, valid_id
from tusfleet.uploads.ports import ByteStream, Lease, Placeable
from tusfleet.uploads.terminate import discard

_REFUSALS = (BadRequest, ChecksumMismatch, InvalidHeader, LengthExceeded, StoreFull, TooLarge, UnsupportedChecksum)
"""After these a creation leaves nothing behind; after others what arrived is kept."""


async def create(
    context: Context,
    intent: Create,
    stream: ByteStream | None,
    principal: Principal,
    trailer: TrailerChecksum,
    protocol: str,
) -> Upload:
    """Create an upload; with a body, store its bytes too.

    Raises:
        UnsupportedMediaType, LengthExceeded, TooLarge, StoreFull, InvalidConcatenation, AlreadyExists, Locked: nothing
            was created.
        ChecksumMismatch, Unavailable: nothing was kept.
        BodyCut, BodyStalled, Interrupted, Draining: the body ended early; what arrived, if anything did, is kept until
            it expires.
        UploadError: whatever the hook refuses with.
    """
    body = await _first_bytes(context, intent.body, stream)
    _guard(context, intent, body)
    upload = Upload(
        id=context.new_id(),
        protocol=protocol,
        created_at=context.clock(),
        length=intent.length,
        metadata=intent.metadata,
        concat=intent.concat,
        reserved=intent.length or 0,
        expires_at=context.expiry(),
        tenant=principal.tenant,
        state=State.FINISHING if intent.length == 0 else State.OPEN,
    )
    if context.hooks is not None:
        upload = await context.hooks.before_create(upload)
        if not valid_id(upload.id):
            raise HookFailed("The hook gave an id that is not 1-128 of A-Z a-z 0-9 _ -, first a letter or digit")
        _check_choice(context, upload)
        if await context.info.read(upload.id) is not None:
            # Before its lease is taken, which would interrupt whoever is writing it.
            raise AlreadyExists
    if upload.is_final:
        return await create_final(context, upload, principal)
    if body is not None and stream is not None and (body.length != 0 or body.verified):
        upload = await _write(context, upload, body, stream, trailer)
    elif upload.length == 0:
        upload = await _finish_empty(context, upload)
    else:
        await context.insert(upload)
    if upload.is_partial and upload.state is State.FINISHED:
        await part_finished(context, upload)
    return upload


def _check_choice(context: Context, upload: Upload) -> None:
    """A placement says where bytes are, so one of a hook's invention could name those of somebody else."""
    if not upload.placement:
        return
    if not isinstance(context.data, Placeable):
        raise HookFailed("The hook gave a placement, and this data store itself decides where uploads go")
    try:
        context.data.check_choice(upload.placement)
    except ValueError as error:
        raise HookFailed(f"The hook gave a placement that cannot be used: {error}") from error


async def _first_bytes(context: Context, body: Body | None, stream: ByteStream | None) -> Body | None:
    """The body as far as it counts: bytes of another media type are refused, an empty body of any type is none."""
    if body is None or body.acceptable:
        return body
    if body.length == 0:
        return body if body.verified else None
    if body.length is None and stream is not None and not await stream.read(1, 0):
        if stream.end is not BodyEnd.COMPLETE:
            raise early(context, stream.end)  # nobody knows whether it would have been empty
        return None
    raise UnsupportedMediaType("Send first bytes as Content-Type: application/offset+octet-stream, or no body at all")


def _guard(context: Context, intent: Create, body: Body | None) -> None:
    maximum = context.largest(declared=intent.length is not None)
    if maximum is not None and intent.length is not None and intent.length > maximum:
        raise TooLarge(f"Upload-Length is {intent.length}; the limit is {maximum}")
    size = 0 if body is None else body.length or 0
    if intent.length is not None and size > intent.length:
        raise LengthExceeded(f"{size} bytes go beyond the length of {intent.length}")
    if intent.length is None and maximum is not None and size > maximum:
        raise TooLarge(f"{size} bytes go beyond the limit of {maximum}")


async def _write(context: Context, upload: Upload, body: Body, stream: ByteStream, trailer: TrailerChecksum) -> Upload:
    # The lease comes first: a server that gives none any more makes no record either, and nobody gets in between.
    async with context.leased(upload.id) as lease:
        upload = under(lease, await context.insert(upload))
        try:
            return await write(Writing(context, upload, lease, upload.length), body, stream, trailer)
        except _REFUSALS:
            # The client is told no URL, so nobody could ever go on with it.
            await _take_back(context, lease)
            raise
        except Unavailable:
            # Nor is it to be finished by the janitor, beside the one that the client makes instead.
            with suppress(UploadError):
                await _take_back(context, lease)
            raise


async def _finish_empty(context: Context, upload: Upload) -> Upload:
    async with context.leased(upload.id) as lease:
        upload = under(lease, await context.insert(upload))
        try:
            return await finish(context, upload, lease)
        except (StoreFull, Unavailable):
            # The client is told no URL and asks again: no file may appear later for this attempt.
            with suppress(UploadError):
                await _take_back(context, lease)
            raise


async def _take_back(context: Context, lease: Lease) -> None:
    current = await context.current(lease)
    if current is not None:
        await discard(context, current, lease)
