"""The schema, its versions, and how a file is recognised as ours before anything is written to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from tusfleet.uploads.errors import StoreFull, Unavailable, UploadError

APPLICATION_ID = 0x54554642
"""Marks a file as ours ("TUFB" in its header), as file(1) and we read it."""

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_APPLICATION_ID_AT = slice(68, 72)  # https://www.sqlite.org/fileformat2.html#the_database_header

Migration = Sequence[str]
"""Statements that bring a file from one version to the next, carried out in one transaction."""

MIGRATIONS: Sequence[Migration] = (
    (
        # `seq` is the order of insertion. It never changes, so that a scan in its order gives a record exactly once.
        """CREATE TABLE uploads (
            seq INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            protocol TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            length INTEGER,
            offset INTEGER NOT NULL,
            metadata TEXT NOT NULL,
            concat TEXT,
            concat_raw TEXT,
            parts TEXT,
            final INTEGER NOT NULL,
            state TEXT NOT NULL,
            placement TEXT NOT NULL,
            fence INTEGER NOT NULL,
            reserved INTEGER NOT NULL,
            expires_at INTEGER,
            ended_at INTEGER,
            tenant TEXT
        )""",
        "CREATE INDEX uploads_by_state ON uploads (state, final)",
        "CREATE INDEX uploads_by_tenant ON uploads (tenant, state, final) WHERE tenant IS NOT NULL",
        "CREATE INDEX uploads_by_expiry ON uploads (state, expires_at, final) WHERE expires_at IS NOT NULL",
        "CREATE INDEX uploads_by_end ON uploads (state, ended_at, final) WHERE ended_at IS NOT NULL",
        # Which final uploads are made of a partial one.
        "CREATE TABLE finals (part TEXT NOT NULL, final TEXT NOT NULL, PRIMARY KEY (part, final)) WITHOUT ROWID",
        "CREATE TABLE outbox (seq INTEGER PRIMARY KEY, id TEXT NOT NULL, event TEXT NOT NULL)",
        "CREATE INDEX outbox_by_id ON outbox (id)",
        # One row. The sum of the bytes is text: it may go beyond 2^63, since every single length may come close.
        """CREATE TABLE store (
            only INTEGER PRIMARY KEY CHECK (only = 1),
            epoch INTEGER NOT NULL,
            probes INTEGER NOT NULL,
            uploads INTEGER NOT NULL,
            open INTEGER NOT NULL,
            reserved TEXT NOT NULL
        )""",
        "INSERT INTO store VALUES (1, 0, 0, 0, 0, '0')",
    ),
)
"""Entry n brings version n to n + 1; a file that was released is only ever changed by adding an entry."""


class UnusableFile(Unavailable):
    """The file cannot serve as the info store; it was not changed."""


def recognise(path: Path) -> None:
    """Check that `path` does not exist yet or is a file of ours, by its header alone.

    Raises:
        UnusableFile: it is something else, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UnusableFile(f"The info store {path} cannot be opened: {error.strerror}") from error
    if not header.strip(b"\0"):
        return  # empty, or a creation that a power cut interrupted: SQLite's journal tells
    if not header.startswith(_MAGIC):
        raise UnusableFile(f"{path} is not an SQLite database; move it away or choose another data folder")
    if int.from_bytes(header[_APPLICATION_ID_AT], "big") != APPLICATION_ID:
        raise UnusableFile(f"{path} is a database of another program; move it away or choose another data folder")


def migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Create the schema, or bring it to the newest version.

    Raises:
        UnusableFile: the file was written by a newer version of this program.
        sqlite3.Error: the file is damaged, or cannot be written.
    """
    version = _version(connection)
    if version > len(migrations):
        raise UnusableFile(
            f"{path} has schema version {version}, and this program knows up to {len(migrations)}: "
            "it was written by a newer one; use that, or choose another data folder"
        )
    # Reads the whole schema, so that a damaged one is told of now.
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    for number, statements in enumerate(migrations[version:], version + 1):
        # After an error the caller closes the connection, which undoes what was begun.
        connection.execute("BEGIN IMMEDIATE")
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection held the lock for too long."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def told(error: sqlite3.Error, what: str) -> UploadError:
    """The error that tells of `error`; `what` begins its sentence."""
    if is_busy(error):
        return Unavailable(f"{what}: another program holds its lock")
    code = _code(error)
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(f"{what}: the disk is full")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return UnusableFile(f"{what}: it is damaged ({error}); restore it from a backup or move it away")
    return Unavailable(f"{what}: {error}")


def _code(error: sqlite3.Error) -> int:
    # Extended codes carry the primary one in their low byte; errors of the module itself have none.
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
