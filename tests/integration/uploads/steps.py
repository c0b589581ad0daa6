"""The use cases in the few words that tests of them need."""

from __future__ import annotations

from tests.kits.streams import FakeStream
from tusfleet.uploads import append as appending
from tusfleet.uploads import create as creating
from tusfleet.uploads.context import Context
from tusfleet.uploads.inspect import inspect
from tusfleet.uploads.intents import Append, Body, Create, Inspect, Terminate
from tusfleet.uploads.models import BodyEnd, Concat, ConcatKind, Metadata, Principal, Upload
from tusfleet.uploads.terminate import terminate

ANYBODY = Principal(admin=True)
PARTIAL = Concat(ConcatKind.PARTIAL, "partial")


def final_of(*parts: Upload) -> Concat:
    """The concatenation of `parts`."""
    ids = tuple(part.id for part in parts)
    return Concat(ConcatKind.FINAL, "final;" + " ".join(f"/files/{id}" for id in ids), ids)


async def create(
    context: Context,
    length: int | None = None,
    data: bytes = b"",
    *,
    concat: Concat | None = None,
    metadata: Metadata | None = None,
    end: BodyEnd = BodyEnd.COMPLETE,
) -> Upload:
    """Create an upload, with `data` as its first bytes."""
    intent = Create(length, metadata or Metadata(), concat, Body(len(data)) if data else None)
    return await creating.create(context, intent, FakeStream(data, end=end), ANYBODY, lambda: None, "tus")


async def append(
    context: Context, id: str, offset: int, body: bytes | FakeStream, *, length: int | None = None
) -> Upload:
    """Append bytes, of a known number or as a stream; `length` declares the size of the upload."""
    stream = FakeStream(body) if isinstance(body, bytes) else body
    size = len(body) if isinstance(body, bytes) else None
    return await appending.append(context, Append(id, offset, Body(size), length), stream, ANYBODY, lambda: None)


async def head(context: Context, id: str) -> Upload:
    """Ask where an upload stands."""
    return await inspect(context, Inspect(id), ANYBODY)


async def delete(context: Context, id: str) -> None:
    """Give an upload up."""
    await terminate(context, Terminate(id), ANYBODY)
