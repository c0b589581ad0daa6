"""The SQL of scans.

A scan goes in the order of insertion, which never changes: so a record that fits throughout is given exactly once,
however often it is changed meanwhile. Without a time among the conditions, an index holds the records of each state
in that order. An index by time holds them in another one. It is used while it gives few, which are sorted then; when
it gives many, a page is what fits among the next records, whether it is full then or not.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tusfleet.infostores._rows import COLUMNS, LARGEST, micros
from tusfleet.uploads.errors import BadRequest
from tusfleet.uploads.models import Query, State

SORTED_AT_MOST = 10_000
"""Records that are sorted for one page: about 5 ms."""

WINDOW = 10_000
"""Records looked at for one page when more than that would have to be sorted: about as long."""

_NAMES = ", ".join(COLUMNS)
SELECT = f"SELECT {_NAMES} FROM uploads"
ONE = f"{SELECT} WHERE id = ?"


# Each gives one text, see `gathered`.
MANY = f"""SELECT json_group_array(json_array({_NAMES})) FROM uploads
    WHERE id IN (SELECT value FROM json_each(?))"""
FINALS_OF = """SELECT json_group_array(json_array(uploads.seq, uploads.id))
    FROM finals CROSS JOIN uploads ON uploads.id = finals.final
    WHERE finals.part = ? AND uploads.state IN ('open', 'finishing')"""
OUTBOX = """SELECT json_group_array(json_array(seq, json(event)))
    FROM (SELECT seq, event FROM outbox ORDER BY seq LIMIT ?)"""
_ROWS = f"SELECT seq, {_NAMES} FROM uploads"
LAST = "SELECT max(seq) FROM uploads"
USAGE = "SELECT uploads, open, reserved FROM store"


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with its parameters."""

    sql: str
    parameters: tuple[str | int, ...]


def gathered(connection: sqlite3.Connection, sql: str, parameters: Sequence[str | int]) -> list[list[Any]]:
    """The rows of a statement that gives them as one JSON array of arrays, in no order."""
    rows: list[list[Any]] = json.loads(connection.execute(sql, parameters).fetchall()[0][0])
    return rows


def position(cursor: str | None) -> int:
    """The order number that a cursor stands for.

    Raises:
        BadRequest: it is no cursor of ours.
    """
    if cursor is None:
        return -1
    if not (cursor.isascii() and cursor.isdigit()) or len(cursor) > len(str(LARGEST)) or int(cursor) > LARGEST:
        raise BadRequest("This cursor does not come from a page of this list; start again without one")
    return int(cursor)


def page(connection: sqlite3.Connection, query: Query, limit: int, after: int) -> tuple[list[list[Any]], int | None]:
    """At most `limit` rows of `query` in order, order numbers in front, and where to go on; None at the end."""
    statement, last = _plan(connection, query, limit + 1, after)
    sql = f"SELECT json_group_array(json_array(seq, {_NAMES})) FROM ({statement.sql})"
    rows = sorted(gathered(connection, sql, statement.parameters), key=lambda row: int(row[0]))
    if len(rows) > limit:
        return rows[:limit], rows[limit - 1][0]
    if last is not None and last < (connection.execute(LAST).fetchall()[0][0] or 0):
        return rows, last
    return rows, None


def _plan(connection: sqlite3.Connection, query: Query, limit: int, after: int) -> tuple[Statement, int | None]:
    """The statement of a page, and the order number at which it ends early."""
    if query.states is not None and not query.states:
        return Statement(f"{_ROWS} WHERE 0", ()), None
    due = _due(query)
    if due is None:
        return _walked(query, limit, after), None
    count = f"SELECT count(*) FROM (SELECT 1 {due.sql} LIMIT {SORTED_AT_MOST})"
    if connection.execute(count, due.parameters).fetchall()[0][0] < SORTED_AT_MOST:
        return _sorted(query, due, limit, after), None
    last = min(after + WINDOW, LARGEST)
    return _window(query, limit, after, last), last


def _due(query: Query) -> Statement | None:
    """Where an index by time finds the records; None when no time is asked for."""
    if query.expires_before is not None:
        index, column, before = "uploads_by_expiry", "expires_at", query.expires_before
    elif query.ended_before is not None:
        index, column, before = "uploads_by_end", "ended_at", query.ended_before
    else:
        return None
    states = _in("state", _states(query))
    return Statement(
        f"FROM uploads INDEXED BY {index} WHERE {states.sql} AND {column} < ?", (*states.parameters, micros(before))
    )


def _sorted(query: Query, due: Statement, limit: int, after: int) -> Statement:
    finals, rest = _in("final", _finals(query)), _conditions(query)
    # Order numbers are sorted, not whole records.
    chosen = f"SELECT seq {due.sql} AND seq > ? AND {finals.sql}{rest.sql} ORDER BY seq LIMIT ?"
    return Statement(
        f"{_ROWS} WHERE seq IN ({chosen}) ORDER BY seq",
        (*due.parameters, after, *finals.parameters, *rest.parameters, limit),
    )


def _window(query: Query, limit: int, after: int, last: int) -> Statement:
    states, finals, rest = _in("state", _states(query)), _in("final", _finals(query)), _conditions(query)
    return Statement(
        # Left to itself, SQLite would sort all that are due.
        f"{_ROWS} NOT INDEXED WHERE seq > ? AND seq <= ?"
        f" AND {states.sql} AND {finals.sql}{rest.sql} ORDER BY seq LIMIT ?",
        (after, last, *states.parameters, *finals.parameters, *rest.parameters, limit),
    )


def _walked(query: Query, limit: int, after: int) -> Statement:
    # One arm for each state and kind: each comes in order out of its index, and SQLite merges them.
    index = "uploads_by_state" if query.tenant is None else "uploads_by_tenant"
    rest = _conditions(query)
    arm = f"{_ROWS} INDEXED BY {index} WHERE state = ? AND final = ? AND seq > ?{rest.sql}"
    parameters: list[str | int] = []
    arms = []
    for state in _states(query):
        for final in _finals(query):
            arms.append(arm)
            parameters += (state, final, after, *rest.parameters)
    return Statement(f"{' UNION ALL '.join(arms)} ORDER BY seq LIMIT ?", (*parameters, limit))


def _conditions(query: Query) -> Statement:
    sql = ""
    parameters: list[str | int] = []
    for condition, value in (
        (" AND tenant = ?", query.tenant),
        (" AND expires_at < ?", None if query.expires_before is None else micros(query.expires_before)),
        (" AND ended_at < ?", None if query.ended_before is None else micros(query.ended_before)),
    ):
        if value is not None:
            sql += condition
            parameters.append(value)
    return Statement(sql, tuple(parameters))


def _states(query: Query) -> list[str]:
    return sorted(state.value for state in (State if query.states is None else query.states))


def _finals(query: Query) -> Sequence[int]:
    return (0, 1) if query.finals is None else (int(query.finals),)


def _in(column: str, values: Sequence[str | int]) -> Statement:
    return Statement(f"{column} IN ({', '.join('?' * len(values))})", tuple(values))
