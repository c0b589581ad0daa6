"""What happens to records within one transaction. Each operation checks first and writes then, or changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from tusfleet.infostores._queries import ONE, USAGE
from tusfleet.infostores._rows import COLUMNS, INDEX, Row, Value, parts_of, upload_of
from tusfleet.uploads.errors import AlreadyExists, FenceLost, StoreFull
from tusfleet.uploads.models import State, Upload

_INSERT = (
    f"INSERT INTO uploads ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))}) ON CONFLICT (id) DO NOTHING"
)

_ALIVE = frozenset(state.value for state in State if state.alive)
_UNFINISHED = frozenset({State.OPEN.value, State.FINISHING.value})

_STATE, _RESERVED, _FENCE, _OFFSET, _CREATED = (
    INDEX[name] for name in ("state", "reserved", "fence", "offset", "created_at")
)


class Transaction:
    """The operations of one transaction, and the totals that they move.

    Parameters:
        connection: in a transaction that has just begun.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        uploads, open, reserved = connection.execute(USAGE).fetchone()
        self._before = self._totals = (int(uploads), int(open), int(reserved))

    def close(self) -> None:
        """Write the totals; the commit comes next."""
        if self._totals != self._before:
            uploads, open, reserved = self._totals
            self._connection.execute(
                "UPDATE store SET uploads = ?, open = ?, reserved = ?", (uploads, open, str(reserved))
            )

    def insert(self, row: Row, events: Sequence[tuple[str, str]], capacity: int | None) -> None:
        """Add a record.

        Raises:
            AlreadyExists, StoreFull: nothing was changed.
        """
        after = self._moved(None, row, capacity)
        if self._connection.execute(_INSERT, row).rowcount == 0:
            raise AlreadyExists
        self._totals = after
        self._connection.executemany("INSERT INTO finals VALUES (?, ?)", [(part, row[0]) for part in parts_of(row)])
        self._record(events)

    def commit(
        self,
        upload: Upload,
        identity: int,
        fence: int,
        change: Mapping[str, Value],
        events: Sequence[tuple[str, str]],
        capacity: int | None,
    ) -> Upload:
        """Change the record that was read as `upload` and created at `identity`, and give the new one.

        Raises:
            FenceLost, StoreFull: nothing was changed.
        """
        row = self._row(upload.id)
        # An id may be used again: another time of creation tells that this is not the record that was read.
        if row is None or row[_CREATED] != identity:
            raise FenceLost("The upload is gone")
        if _int(row[_FENCE]) > fence or row[_OFFSET] != upload.offset:
            raise FenceLost
        new = list(row)
        different = {}
        for name, value in (*change.items(), ("fence", fence)):
            if row[INDEX[name]] != value:
                different[name] = new[INDEX[name]] = value
        after = self._moved(row, tuple(new), capacity)
        if different:
            columns = ", ".join(f"{name} = ?" for name in different)
            self._connection.execute(f"UPDATE uploads SET {columns} WHERE id = ?", (*different.values(), upload.id))
        self._totals = after
        self._record(events)
        return upload_of(tuple(new))

    def delete(self, expected: Row) -> None:
        """Forget a record if it is as `expected`."""
        id = str(expected[0])
        row = self._row(id)
        if row != expected:
            return
        self._connection.execute("DELETE FROM uploads WHERE id = ?", (id,))
        self._connection.executemany(
            "DELETE FROM finals WHERE part = ? AND final = ?", [(part, id) for part in parts_of(row)]
        )
        self._totals = self._moved(row, None, None)

    def confirm(self, event_ids: Sequence[str]) -> None:
        """Take events out of the outbox."""
        self._connection.executemany("DELETE FROM outbox WHERE id = ?", [(id,) for id in event_ids])

    def next_epoch(self) -> int:
        """Count one epoch up."""
        self._connection.execute("UPDATE store SET epoch = epoch + 1")
        return int(self._connection.execute("SELECT epoch FROM store").fetchone()[0])

    def probe(self) -> int:
        """Write something that is different every time, and give it."""
        self._connection.execute("UPDATE store SET probes = probes + 1")
        return int(self._connection.execute("SELECT probes FROM store").fetchone()[0])

    def _row(self, id: str) -> Row | None:
        rows: list[Row] = self._connection.execute(ONE, (id,)).fetchall()
        return rows[0] if rows else None

    def _record(self, events: Sequence[tuple[str, str]]) -> None:
        if events:
            self._connection.executemany("INSERT INTO outbox (id, event) VALUES (?, ?)", events)

    def _moved(self, old: Row | None, new: Row | None, capacity: int | None) -> tuple[int, int, int]:
        """The totals once `old` has become `new`.

        Raises:
            StoreFull: more bytes would be set aside than before, and more than the capacity.
        """
        gone, come = _share(old), _share(new)
        growth = come[2] - gone[2]
        uploads, open, reserved = self._totals
        if growth > 0 and capacity is not None and reserved + growth > capacity:
            raise StoreFull(f"The store has room for {max(capacity - reserved, 0)} more bytes, not for {growth}")
        return uploads + come[0] - gone[0], open + come[1] - gone[1], reserved + growth


def _share(row: Row | None) -> tuple[int, int, int]:
    """What one record adds to the totals; a tombstone adds nothing."""
    if row is None or row[_STATE] not in _ALIVE:
        return 0, 0, 0
    return 1, int(row[_STATE] in _UNFINISHED), _int(row[_RESERVED])


def _int(value: Value) -> int:
    return int(value or 0)
