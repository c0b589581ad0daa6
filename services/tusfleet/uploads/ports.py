"""What the domain asks of the outside: five ports, each with its contract.

A contract is kept by whoever implements the port, and tested by the kit of that port under `tests/kits`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

from tusfleet.uploads.models import (
    BodyEnd,
    Change,
    Checkpoint,
    Event,
    Page,
    Placement,
    Query,
    Upload,
    Usage,
)

MOST_INTAKE = 16 * 1024 * 1024
INTAKE_SHARE = 8


def intake_of(buffer_memory: int) -> int:
    """Bytes of the memory for bodies that have come and were not read yet, in all streams of a process together.

    The others are for the buffers of the data store.
    """
    return min(MOST_INTAKE, buffer_memory // INTAKE_SHARE)


class ByteStream(Protocol):
    """The bytes of one request body, as the data store reads them.

    `end` is None while more may come; once `read` has returned an empty list it says why.
    """

    @property
    def end(self) -> BodyEnd | None: ...

    async def read(self, want: int, wait: float) -> Sequence[bytes]:
        """Give the next bytes, at most `want` of them, as chunks.

        Waits for the first byte; then returns once `want` bytes are there, `wait` seconds have passed, no more can come
        before some are taken, or the body has ended. An empty list means the end. While it waits it keeps no chunk
        alive.
        """
        ...

    async def coming(self) -> int:
        """Wait until there is a byte to read, and tell about how many have come; 0 at the end, which `read` gives then.

        They stay where they are: whoever has no memory for them yet takes none, and nothing is lost when this is
        cancelled.
        """
        ...

    def interrupt(self) -> None:
        """End the body early: what has arrived is still given, then the end with `BodyEnd.INTERRUPTED`."""
        ...


class Tentative(Protocol):
    """What a `ByteStream` may be besides: one whose bytes may turn out to count for nothing.

    While `tentative`, no checkpoint with new bytes counts but the last one, which comes once the stream has ended: a
    data store need make none before, and none that costs something. One without new bytes is committed at once.
    """

    @property
    def tentative(self) -> bool: ...


def is_tentative(stream: ByteStream) -> bool:
    """Whether a stream is `Tentative`, and so at present; as `pump_of`, without `isinstance`."""
    return bool(getattr(stream, "tentative", False))


def may_exceed(stream: ByteStream) -> bool:
    """Whether a stream may turn out to have more bytes than there is room for, after all that there is have come."""
    return bool(getattr(stream, "may_exceed", False))


@dataclass(frozen=True, slots=True)
class Pumped:
    """What a stream has moved into a file by itself: bytes written, and the error that ended it."""

    written: int
    error: OSError | None = None


class Pump(Protocol):
    """What a `ByteStream` may be besides: one that can move bytes into a file by itself, past the event loop.

    Its `read` may be cancelled: what has come by then is given by the next one.
    """

    @property
    def worth(self) -> int:
        """From how many bytes of one `read` on it is worth pumping what follows, as things stand."""
        ...

    async def pump(self, file: int, position: int, want: int, seconds: float) -> Pumped:
        """Write the next bytes at `position` of the file with the descriptor `file`, in order and without a gap.

        Returns once about `want` bytes are written, `seconds` have passed, the sender pauses, or it cannot go on in
        this way now; with no bytes, `read` goes on. Not while a `read` is under way. When it is cancelled, no write of
        it is under way any more once that has been carried out. After an error bytes are missing: give the stream up.
        """
        ...


def pump_of(stream: ByteStream) -> Pump | None:
    """The stream itself if it is a `Pump`.

    `isinstance` with a protocol takes 15 us, a tenth of a small request; this takes less than one.
    """
    return cast("Pump", stream) if hasattr(stream, "pump") else None


class Content(Protocol):
    """Readable bytes of one upload, a snapshot that a later deletion does not disturb."""

    size: int

    def fileno(self) -> int | None:
        """A file descriptor that holds the bytes from position 0, for sendfile; None when there is none."""
        ...

    def chunks(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to, not including, `stop`."""
        ...


class DataStore(Protocol):
    """Where bytes go.

    It keeps no state of its own: everything it must remember travels in the record's `placement`, and what the
    record says is the truth. Bytes beyond the record's offset, left by a writer that died, are never served and
    are overwritten or cut by the next `append`.
    """

    def append(self, upload: Upload, stream: ByteStream) -> AsyncGenerator[Checkpoint, None]:
        """Store the bytes of `stream` after `upload.offset`.

        Yields a checkpoint only when every byte up to it is durable, in growing order, at least every checkpoint
        interval while bytes arrive, and a last one for all bytes of the stream, however it ended. No bytes, no
        checkpoint. The stream is read to its end before an object is made whole: what the stream raises there, such
        as a checksum that does not match, must leave none. When the iteration is closed or cancelled, no write of it
        is under way any more once that has been carried out.

        Raises:
            StoreFull: no space; the checkpoints given before stay true.
            DataLost: the bytes below `upload.offset` are not all there.
            Unavailable: the store cannot be reached; checkpoints given before stay true.
        """
        ...

    async def finish(self, upload: Upload) -> Placement:
        """Make the complete upload appear as one whole object and return its placement. Safe to repeat.

        The record is `finishing`, and all of its placement is here.

        Raises:
            DataLost: the bytes are not all there.
            StoreFull, Unavailable: try again later.
        """
        ...

    async def concatenate(self, upload: Upload, parts: Sequence[Upload]) -> Placement:
        """Store the bytes of the finished `parts`, in order, as the bytes of `upload`; durable. Safe to repeat.

        Raises:
            DataLost: a part is not there any more.
            TooLarge: they do not fit into one upload; trying again does not help.
            StoreFull, Unavailable: try again later.
        """
        ...

    async def abort(self, upload: Upload) -> None:
        """Free everything stored for `upload`, finished or not. Safe to repeat."""
        ...

    def read(self, upload: Upload, span: tuple[int, int] | None = None) -> AbstractAsyncContextManager[Content]:
        """Open the bytes below `upload.offset` for reading.

        Parameters:
            span: start and stop of what will be asked for first, at least one byte; None: everything. Where opening
                costs a request, it is one for these.

        Raises:
            DataLost: they are not there.
        """
        ...

    def leftovers(self, age: float) -> AsyncIterator[Upload]:
        """Uploads, as far as the store can tell, whose unfinished bytes nobody has touched for `age` seconds.

        `offset` is how many bytes they are, 0 where the store cannot tell.

        The janitor asks the info store for their records, and aborts those that no record references.
        """
        ...

    def references(self, record: Upload, found: Upload) -> bool:
        """Tell whether `record` still needs the bytes of `found`, which `leftovers` gave."""
        ...

    async def probe(self) -> None:
        """Check that bytes can be written.

        Raises:
            Unavailable: they cannot; the message says why.
        """
        ...


class InfoStore(Protocol):
    """Where records go, and the outbox of events.

    Every change is one atomic, durable step: after it both the record and its events are there, or neither.

    Records may come without the entries of a list that grows (see `growing`), but for one that is `finishing` when it
    is given by `read`, by `commit`, or with its lease.
    """

    async def insert(self, upload: Upload, events: Sequence[Event] = ()) -> None:
        """Add a record.

        Raises:
            AlreadyExists: the id is taken, by a tombstone too.
            StoreFull: the bytes it reserves go beyond the capacity.
        """
        ...

    async def read(self, id: str) -> Upload | None:
        """The record, tombstones too; None when there is none."""
        ...

    async def read_many(self, ids: Sequence[str]) -> list[Upload | None]:
        """The records of `ids`, in that order."""
        ...

    async def commit(
        self, upload: Upload, fence: int, change: Change, events: Sequence[Event] = (), ends: Lease | None = None
    ) -> Upload:
        """Change the record that was read as `upload`, and give the new one, which carries `fence`.

        A store that keeps the leases too gives `ends` back in the same step and tells it by `Lease.ended`; others
        leave it alone.

        A caller that is cancelled gets its cancellation once the commit has landed or failed: no commit of it can move
        the record under the next lease.

        Raises:
            FenceLost: the record's fence is newer than `fence`, its offset is not `upload.offset`, or it is gone;
                nothing was changed.
            StoreFull: the bytes it reserves go beyond the capacity; nothing was changed.
        """
        ...

    async def delete(self, upload: Upload) -> None:
        """Forget a record, unless it has changed since it was read. Safe to repeat."""
        ...

    async def scan(self, query: Query, limit: int = 100, cursor: str | None = None) -> Page:
        """Records that fit `query`, at most `limit`; `cursor` of a page continues after it.

        A record that fits during the whole of a scan is given exactly once. A page may be short, or empty, and have a
        cursor all the same; the scan is over when there is none.

        Raises:
            BadRequest: the cursor is not one that this store gave.
        """
        ...

    async def finals_of(self, part_id: str) -> list[str]:
        """The ids of the final uploads, not finished yet, that wait for the partial upload `part_id`."""
        ...

    async def usage(self) -> Usage:
        """What is stored now; a constant number of steps, however many records there are."""
        ...

    async def outbox(self, limit: int = 100) -> list[Event]:
        """The oldest events that nobody has confirmed, in the order of their commits."""
        ...

    async def confirm(self, event_ids: Sequence[str]) -> None:
        """Take delivered events out of the outbox. Safe to repeat."""
        ...

    async def probe(self) -> None:
        """Check that records can be read and written.

        Raises:
            Unavailable: they cannot; the message says why.
        """
        ...


class Lease(Protocol):
    """The right to write one upload, until it is released or lost.

    `upload` is the record as it stood when the lease began, where leases and records are kept together; None where
    they are not, and where there is no record.

    `doubt` is the newest fence among the earlier leases that were never given back, whose holders may still be at work:
    0 when there is none, and None where a lease does not end before its holder has let go or died.
    """

    id: str
    fence: int
    doubt: int | None
    lost: bool
    upload: Upload | None

    def on_request(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, once, when somebody else asks for the upload or the lease is lost.

        It is called at once if that has happened already.
        """
        ...

    async def release(self) -> None:
        """Give the upload back. Safe to repeat."""
        ...

    def ended(self) -> None:
        """Learn that a commit has given the upload back already; `release` has nothing left to do."""
        ...


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether somebody holds an upload, and the record, with the same meaning of None as `Lease.upload`."""

    held: bool
    upload: Upload | None = None


class Locker(Protocol):
    """Who may write now.

    At most one lease of an id is in force. Fences grow with every lease of an id, over restarts too. A commit
    under an older fence can no longer succeed once a newer lease has committed, and a holder that lives learns
    that it is to let go.
    """

    async def acquire(self, id: str, wait: float) -> Lease:
        """Take the lease of `id`, asking its present holder to let go, waiting at most `wait` seconds.

        Raises:
            Locked: the time is over.
            Draining: no more leases are given.
        """
        ...

    async def try_acquire(self, id: str) -> Lease | None:
        """Take the lease of `id` if nobody holds it, disturbing nobody; otherwise, and while draining, None."""
        ...

    async def standing(self, id: str) -> Standing:
        """Tell whether somebody holds `id`, disturbing nobody."""
        ...

    async def settle(self, id: str, wait: float) -> None:
        """Ask the holder of `id`, if there is one, to let go, and return once that holder has done so.

        Raises:
            Locked: `wait` seconds are over.
        """
        ...

    def drain(self) -> None:
        """Ask every holder of this process to let go, and give no more leases."""
        ...


@runtime_checkable
class Redirecting(Protocol):
    """What a `DataStore` may be besides: one that lets clients fetch finished bytes from where they are."""

    async def presigned(self, upload: Upload, *, seconds: int, content_type: str, disposition: str) -> str:
        """A URL that gives the bytes of a finished upload to anybody for `seconds`, with these two headers."""
        ...


class Limited(Protocol):
    """What a `DataStore` may be besides: one that does not take uploads of any size."""

    def capacity(self, *, declared: bool) -> int:
        """Most bytes of one upload whose length is known before the first of them, or is not `declared` by then.

        Final uploads are not meant: `concatenate` knows how much it can join.
        """
        ...


def capacity_of(data: DataStore, *, declared: bool) -> int | None:
    """The capacity of a data store that is `Limited`, else None; as `pump_of`, without `isinstance`."""
    capacity = getattr(data, "capacity", None)
    return None if capacity is None else cast("Limited", data).capacity(declared=declared)


@runtime_checkable
class Cautious(Protocol):
    """What an `InfoStore` may be besides: one that knows when it works and its records are at risk all the same."""

    async def warning(self) -> str | None:
        """What an operator ought to change, in one sentence; None when nothing is known."""
        ...


@runtime_checkable
class Shared(Protocol):
    """What an `InfoStore` may be besides: one that processes share of which few deliver the events of all."""

    async def listen(self) -> None:
        """Say that events are delivered. It is remembered for days, so that a fleet may be down, and said again."""
        ...

    async def listened(self) -> bool:
        """Whether somebody has said so within these days."""
        ...


@runtime_checkable
class Placeable(Protocol):
    """What a `DataStore` may be besides: one that lets a hook say where an upload goes."""

    def check_choice(self, placement: Placement) -> None:
        """Check the placement that a hook gave a new upload.

        Raises:
            ValueError: it cannot be; the message says why, without repeating it.
        """
        ...


class HookRunner(Protocol):
    """Asks others before something happens."""

    async def before_create(self, upload: Upload) -> Upload:
        """Ask whether `upload` may be created.

        Returns the upload to create: its id, metadata, tenant and placement may differ.

        Raises:
            UploadError: refused, with the code and the message for the client.
            HookFailed: the hook itself went wrong.
        """
        ...


class EventSink(Protocol):
    """Tells somebody of an event."""

    name: str

    async def deliver(self, event: Event) -> None:
        """Deliver one event; may be called again with the same event, so a receiver goes by `event.id`.

        Raises:
            Exception: any failure; the event is delivered again later.
        """
        ...
