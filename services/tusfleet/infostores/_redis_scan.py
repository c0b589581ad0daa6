"""Scans of records in Redis: shard by shard, in each in the order of ids, so that a cursor is a shard and an id.

Indexes by time hold the records in another order. They are used while they give few, which are sorted by the server
then; when they give many, the records of the wanted states are looked through in the order of their ids instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from tusfleet.redis_shards.records import micros, tenant_text, upload_of
from tusfleet.redis_shards.scripts import SCAN
from tusfleet.redis_shards.shards import Shards
from tusfleet.uploads.errors import BadRequest
from tusfleet.uploads.models import Page, Query, State, Upload, valid_id

SORTED_AT_MOST = 2_000
"""Ids of one shard that are sorted for one page: about 2 ms in which a server does nothing else."""

WINDOW = 500
"""Records of one state looked at for one page when not all of them fit: about as long."""

MOST_SHARDS_AT_ONCE = 32
"""Shards asked at the same time when the ones before gave little: fifteen round trips for a thousand empty ones."""

_ALIVE = frozenset(state for state in State if state.alive)
_FINISHED = frozenset({State.FINISHED})
_UNFINISHED = frozenset({State.OPEN, State.FINISHING})


@dataclass(frozen=True, slots=True)
class _Found:
    """What one shard has given: where to go on in it ("" at its end), and records."""

    after: str
    uploads: Sequence[Upload]


class Scanner:
    """Finds records in all shards of a store."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._layout = shards.layout

    async def page(self, query: Query, limit: int, cursor: str | None) -> Page:
        """One page of a scan, as `InfoStore.scan`."""
        shard, after = self._position(cursor)
        states = frozenset(State) if query.states is None else query.states
        if not states:
            return Page((), None)
        uploads: list[Upload] = []
        at_once = 1
        while shard < self._layout.shards:
            # Nearly always the first shard fills the page; when it does not, several are asked together.
            group = range(shard, min(shard + at_once, self._layout.shards))
            at_once = min(at_once * 2, MOST_SHARDS_AT_ONCE)
            wanted = limit - len(uploads)
            found = await asyncio.gather(
                *(self._one(query, states, number, after if number == shard else "", wanted) for number in group)
            )
            for number, one in zip(group, found, strict=True):
                room = limit - len(uploads)
                if len(one.uploads) > room or one.after:
                    uploads += one.uploads[:room]
                    last = one.uploads[room - 1].id if room and len(one.uploads) > room else one.after
                    return Page(tuple(uploads), f"{number}.{last if room else ''}")
                uploads += one.uploads
            shard, after = group.stop, ""
            if len(uploads) == limit and shard < self._layout.shards:
                return Page(tuple(uploads), f"{shard}.")
        return Page(tuple(uploads), None)

    def _position(self, cursor: str | None) -> tuple[int, str]:
        if cursor is None:
            return 0, ""
        number, dot, after = cursor.partition(".")
        known = number.isascii() and number.isdigit() and len(number) <= 4 and int(number) < self._layout.shards
        if not known or not dot or (after and not valid_id(after)):
            raise BadRequest("This cursor does not come from a page of this list; start again without one")
        return int(number), after

    async def _one(self, query: Query, states: frozenset[State], shard: int, after: str, limit: int) -> _Found:
        by_time = ""
        if query.expires_before is not None:
            by_time = "expiry"
        elif query.ended_before is not None and states == _FINISHED:
            by_time = "finished"
        elif query.ended_before is not None and not states & _ALIVE:
            by_time = "ended"
        indexes = _indexes(query, states)
        # Where every member of the index fits, one more than the page holds tells whether there is another page.
        exact = not by_time and query == Query(states=query.states)
        texts = [state.value for state in states]
        arguments: list[str | int] = [
            self._layout.start(shard), after, limit,
            SORTED_AT_MOST, limit + 1 if exact else max(WINDOW, limit + 1),
            len(indexes), *indexes, len(texts), *texts,
            "" if query.expires_before is None else micros(query.expires_before),
            "" if query.ended_before is None else micros(query.ended_before),
            "" if query.finals is None else int(query.finals),
            "" if query.tenant is None else tenant_text(query.tenant),
            by_time,
        ]  # fmt: skip
        keys = [self._layout.key(shard, name) for name in ("index", by_time) if name]
        more, records = await self._shards.run(SCAN, keys, arguments)
        return _Found(more, [upload_of(id, *record) for id, *record in records])


def _indexes(query: Query, states: frozenset[State]) -> list[str]:
    """What the members of the index begin with that hold every record which fits; each record once."""
    if query.tenant is not None:
        return [f"tenant:{tenant_text(query.tenant)}\0"]
    if query.finals and states <= _UNFINISHED:
        return ["final:"]
    return [f"state:{state.value}:" for state in states]
