"""The SQL of scans.

A scan goes in the order of insertion, which never changes: so a record that fits throughout is given exactly once,
however often it is changed meanwhile. The price is that an index by time gives the records in the wrong order.
It is used all the same while it gives few of them, which are sorted then; when it gives many, the records of each
state are walked in order, and not many have to be looked at before a page is full.
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
"""Records that are sorted for one page: about 3 ms."""

_NAMES = ", ".join(COLUMNS)
SELECT = f"SELECT {_NAMES} FROM uploads"
ONE = f"{SELECT} WHERE id = ?"


# Each gives one text, see `gathered`.
MANY = f"""SELECT json_group_array(json_array({_NAMES})) FROM uploads
    WHERE id IN (SELECT value FROM json_each(?))"""
FINALS_OF = """SELECT json_group_array(json_array(uploads.seq, uploads.id))
    FROM finals CROSS JOIN uploads ON uploads.id = finals.final
    WHERE finals.part = ? AND uploads.state = 'open'"""
OUTBOX = """SELECT json_group_array(json_array(seq, json(event)))
    FROM (SELECT seq, event FROM outbox ORDER BY seq LIMIT ?)"""
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


def scan(connection: sqlite3.Connection, query: Query, limit: int, after: int) -> Statement:
    """The statement that gives the next `limit` records of `query`, for `gathered`, order numbers in front."""
    page = _page(connection, query, limit, after)
    return Statement(f"SELECT json_group_array(json_array(seq, {_NAMES})) FROM ({page.sql})", page.parameters)


def _page(connection: sqlite3.Connection, query: Query, limit: int, after: int) -> Statement:
    for column, before in (("expires_at", query.expires_before), ("ended_at", query.ended_before)):
        if before is not None:
            index = "uploads_by_expiry" if column == "expires_at" else "uploads_by_end"
            due = _due(query, index, column, micros(before))
            count = f"SELECT count(*) FROM (SELECT 1 {due.sql} LIMIT {SORTED_AT_MOST})"
            if connection.execute(count, due.parameters).fetchone()[0] < SORTED_AT_MOST:
                return _sorted(query, due, limit, after)
    return _walked(query, limit, after)


def _due(query: Query, index: str, column: str, before: int) -> Statement:
    states = _states(query)
    marks = ", ".join("?" * len(states))
    return Statement(f"FROM uploads INDEXED BY {index} WHERE state IN ({marks}) AND {column} < ?", (*states, before))


def _sorted(query: Query, due: Statement, limit: int, after: int) -> Statement:
    rest = _conditions(query)
    finals = (0, 1) if query.finals is None else (int(query.finals),)
    marks = ", ".join("?" * len(finals))
    # Order numbers are sorted, not whole records.
    page = f"SELECT seq {due.sql} AND seq > ? AND final IN ({marks}){rest.sql} ORDER BY seq LIMIT ?"
    return Statement(
        f"SELECT seq, {_NAMES} FROM uploads WHERE seq IN ({page}) ORDER BY seq",
        (*due.parameters, after, *finals, *rest.parameters, limit),
    )


def _walked(query: Query, limit: int, after: int) -> Statement:
    # One arm for each state and kind: each comes in order out of its index, and SQLite merges them.
    index = "uploads_by_state" if query.tenant is None else "uploads_by_tenant"
    rest = _conditions(query)
    arm = f"SELECT seq, {_NAMES} FROM uploads INDEXED BY {index} WHERE state = ? AND final = ? AND seq > ?{rest.sql}"
    finals: Sequence[int] = (0, 1) if query.finals is None else (int(query.finals),)
    parameters: list[str | int] = []
    arms = []
    for state in _states(query):
        for final in finals:
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
