"""Records and outbox in one SQLite file: for a server on one box, of one process or several.

Writes are committed in groups (`_writer`). A lookup by primary key runs on the event loop: it takes about 15 us, and
the way to a thread and back 75. Everything that may take longer runs in a thread, as one step that gives all rows as
one JSON text: a thread that fetches rows one by one waits for the interpreter once a row.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tusfleet.infostores import _queries
from tusfleet.infostores._connections import BUSY_SECONDS, connect
from tusfleet.infostores._recent import Recent
from tusfleet.infostores._rows import changed, event_of, event_text, micros, row_of, upload_of
from tusfleet.infostores._schema import MIGRATIONS, Migration, told
from tusfleet.infostores._transaction import Transaction
from tusfleet.infostores._writer import Writer
from tusfleet.uploads.errors import Unavailable
from tusfleet.uploads.models import Change, Event, Page, Query, Upload, Usage
from tusfleet.uploads.ports import Lease

FEW = 16
"""Records looked up on the event loop one after the other; more of them are worth the way to the thread."""

CANNOT_READ = "The info store cannot be read"

T = TypeVar("T")


class SqliteInfoStore:
    """An info store in one file; made by `open`."""

    def __init__(
        self,
        writer: Writer,
        lookup: sqlite3.Connection,
        scanner: sqlite3.Connection,
        capacity: int | None,
        recent: Recent | None,
    ) -> None:
        self._writer = writer
        self._lookup = lookup
        self._scanner = scanner
        self._scans = ThreadPoolExecutor(1, thread_name_prefix="tusfleet-info-scan")
        self._capacity = capacity
        self._recent = recent
        self._closed = False

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        durable: bool,
        capacity: int | None,
        sole: bool = False,
        patience: float = BUSY_SECONDS,
        migrations: Sequence[Migration] = MIGRATIONS,
    ) -> SqliteInfoStore:
        """Open the file, creating or migrating it where needed.

        Parameters:
            path: the file; its folder exists. Two more files stand beside it while it is open.
            durable: whether a change has reached the disk before it is acknowledged. If not, a power cut may cost the
                changes of the last seconds, never the file, and the death of the process costs nothing.
            capacity: most bytes that all records together may set aside; None without a limit.
            sole: whether nobody else writes to the file while it is open, so that what was written need not be read.
            patience: seconds that a write waits for another program's lock.
            migrations: the versions of the schema.

        Raises:
            UnusableFile: it is not ours, of a newer version, damaged or cannot be opened; it was not changed.
            Unavailable: another program holds its lock, or the file system has no shared memory.
            StoreFull: the disk is full.
        """
        connections = await asyncio.to_thread(connect, path, durable, migrations)
        writer = Writer(connections.writing, asyncio.get_running_loop(), durable=durable, patience=patience)
        return cls(writer, connections.lookup, connections.scanning, capacity, Recent() if sole else None)

    async def close(self) -> None:
        """Carry out what is waiting, then close the file. Safe to repeat."""
        self._closed = True
        await asyncio.to_thread(self._scans.shutdown)
        self._lookup.close()
        self._scanner.close()
        # Last, since the last connection to be closed merges the log into the file.
        await self._writer.close()

    @property
    def transactions(self) -> int:
        """Transactions committed since the file was opened; fewer than commits, since these go in groups."""
        return self._writer.transactions

    async def insert(self, upload: Upload, events: Sequence[Event] = ()) -> None:
        row, texts = row_of(upload), _texts(events)
        await self._writer.do(lambda transaction: transaction.insert(row, texts, self._capacity))
        if self._recent is not None and not upload.placement:  # a hook's may be others once they have been JSON
            self._recent.put(upload)

    async def read(self, id: str) -> Upload | None:
        if self._recent is not None and not self._closed and (found := self._recent.get(id)) is not None:
            return found
        return self._look(partial(_one, self._lookup, id))

    async def read_many(self, ids: Sequence[str]) -> list[Upload | None]:
        if len(ids) <= FEW:
            return self._look(lambda: [_one(self._lookup, id) for id in ids])
        return await self._thread(lambda: _many(self._scanner, ids))

    async def commit(
        self,
        upload: Upload,
        fence: int,
        change: Change,
        events: Sequence[Event] = (),
        ends: Lease | None = None,  # noqa: ARG002 - the leases are kept elsewhere
    ) -> Upload:
        identity, columns, texts = micros(upload.created_at), changed(change), _texts(events)
        try:
            new = await self._writer.do(
                lambda transaction: transaction.commit(upload, identity, fence, columns, texts, self._capacity)
            )
        except BaseException:
            self._forget(upload.id)  # it may have been carried out all the same
            raise
        if self._recent is not None:
            self._recent.put(new)
        return new

    async def delete(self, upload: Upload) -> None:
        row = row_of(upload)
        try:
            await self._writer.do(lambda transaction: transaction.delete(row))
        finally:
            self._forget(upload.id)

    def _forget(self, id: str) -> None:
        if self._recent is not None:
            self._recent.drop(id)

    async def scan(self, query: Query, limit: int = 100, cursor: str | None = None) -> Page:
        after = _queries.position(cursor)
        return await self._thread(lambda: _page(self._scanner, query, limit, after))

    async def finals_of(self, part_id: str) -> list[str]:
        rows = await self._thread(lambda: _queries.gathered(self._scanner, _queries.FINALS_OF, (part_id,)))
        return [id for _, id in sorted(rows)]

    async def usage(self) -> Usage:
        rows = self._look(lambda: self._lookup.execute(_queries.USAGE).fetchall())
        uploads, open, reserved = rows[0]
        return Usage(uploads, open, int(reserved))

    async def outbox(self, limit: int = 100) -> list[Event]:
        rows = await self._thread(lambda: _queries.gathered(self._scanner, _queries.OUTBOX, (limit,)))
        return [event_of(event) for _, event in sorted(rows, key=_order)]

    async def confirm(self, event_ids: Sequence[str]) -> None:
        ids = tuple(event_ids)
        await self._writer.do(lambda transaction: transaction.confirm(ids))

    async def probe(self) -> None:
        written = await self._writer.do(Transaction.probe)
        read = self._look(lambda: self._lookup.execute("SELECT probes FROM store").fetchall())
        # Others may probe at the same time.
        if not read or read[0][0] < written:
            raise Unavailable("The info store does not give back what was written")

    async def next_epoch(self) -> int:
        """A number greater than every one given before by this file; durable."""
        return await self._writer.do(Transaction.next_epoch)

    def _look(self, lookup: Callable[[], T]) -> T:
        if self._closed:
            raise Unavailable("The info store is closed")
        try:
            return lookup()
        except sqlite3.Error as error:
            raise told(error, CANNOT_READ) from error

    async def _thread(self, read: Callable[[], T]) -> T:
        if self._closed:
            raise Unavailable("The info store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._scans, self._look, read)


def _one(connection: sqlite3.Connection, id: str) -> Upload | None:
    # All rows are fetched: a statement that is left half-way would hold on to its moment of the file.
    rows = connection.execute(_queries.ONE, (id,)).fetchall()
    return upload_of(rows[0]) if rows else None


def _page(connection: sqlite3.Connection, query: Query, limit: int, after: int) -> Page:
    rows, last = _queries.page(connection, query, limit, after)
    return Page(tuple(upload_of(row[1:]) for row in rows), None if last is None else str(last))


def _many(connection: sqlite3.Connection, ids: Sequence[str]) -> list[Upload | None]:
    rows = _queries.gathered(connection, _queries.MANY, (json.dumps(ids),))
    found = {row[0]: upload_of(row) for row in rows}
    return [found.get(id) for id in ids]


def _order(row: list[Any]) -> int:
    return int(row[0])


def _texts(events: Sequence[Event]) -> list[tuple[str, str]]:
    return [(event.id, event_text(event)) for event in events]
