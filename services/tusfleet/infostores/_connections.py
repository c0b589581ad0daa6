"""The three connections of a store to its file: one that writes, one for the event loop, one for longer reads."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

from tusfleet.infostores._schema import Migration, migrate, recognise, told
from tusfleet.uploads.errors import Unavailable

BUSY_SECONDS = 5.0
"""How long writes and scans wait for another program that holds the file's lock, e.g. the sqlite3 shell."""

LOOKUP_BUSY_SECONDS = 0.05
"""The same on the event loop, where everybody waits. Readers meet a lock only while a file is being recovered."""

LOG_KEPT_BYTES = 64 * 1024 * 1024
"""The log is cut to this size when it has grown beyond it, as it does while somebody reads for a long time."""


class Connections(NamedTuple):
    """The connections of one store."""

    writing: sqlite3.Connection
    lookup: sqlite3.Connection
    scanning: sqlite3.Connection


def connect(path: Path, durable: bool, migrations: Sequence[Migration]) -> Connections:
    """Open a file that is ours, creating or migrating it where needed.

    Raises:
        UnusableFile, Unavailable, StoreFull: as `SqliteInfoStore.open`.
    """
    recognise(path)
    with ExitStack() as stack:
        try:
            writing = stack.enter_context(closing(_open(path, "rwc", BUSY_SECONDS)))
            # Created and migrated with the classic journal's care: a header that names us is in the file itself.
            writing.execute("PRAGMA synchronous = FULL")
            migrate(writing, path, migrations)
            _log_ahead(writing, path)
            # NORMAL syncs only before the log is merged into the file: a power cut costs the last commits and never
            # the file, which OFF could. A process that is killed leaves its commits to the kernel in any case.
            writing.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            # SQLite opens a file that it may not write for reading, and says so only with the first write.
            writing.execute("BEGIN IMMEDIATE")
            writing.execute("ROLLBACK")
            if not durable:
                writing.execute("PRAGMA wal_autocheckpoint = 0")  # the writer has it done beside the event loop
            writing.execute("PRAGMA busy_timeout = 0")  # from here on it is used on the event loop
            lookup = stack.enter_context(closing(_open(path, "ro", LOOKUP_BUSY_SECONDS)))
            scanning = stack.enter_context(closing(_open(path, "ro", BUSY_SECONDS)))
            for connection in (lookup, scanning):
                connection.execute("SELECT epoch FROM store").fetchall()
        except sqlite3.Error as error:
            raise told(error, f"The info store {path} cannot be opened") from error
        stack.pop_all()
    return Connections(writing, lookup, scanning)


def _open(path: Path, mode: str, busy: float) -> sqlite3.Connection:
    # Every connection has one user at a time, though not always the thread that made it.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=busy,
        isolation_level=None,
        check_same_thread=False,
    )


def _log_ahead(connection: sqlite3.Connection, path: Path) -> None:
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise Unavailable(f"The info store {path} needs a file system with shared memory: a local disk")
    connection.execute(f"PRAGMA journal_size_limit = {LOG_KEPT_BYTES}")
    # macOS: without it the drive may hold back what was synced.
    connection.execute("PRAGMA fullfsync = ON")
