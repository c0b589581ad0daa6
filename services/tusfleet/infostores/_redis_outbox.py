"""The outbox in Redis: one stream for each shard, so that an event is added in the step that changes its upload."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from tusfleet.redis_shards.records import event_of
from tusfleet.redis_shards.shards import Shards
from tusfleet.uploads.models import Event

LEAST = 8
"""Events taken from a shard at a time, at least."""

REMEMBERED = 20_000
"""Places in the streams that are remembered, for those who confirm what they were given."""

LOOKED_AT = 1_000
"""Events looked at in one step for one whose place is not known."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """An event, its place in the stream of its shard, and the time of its commit in microseconds."""

    shard: int
    place: str
    at: int
    event: Event


@dataclass(slots=True)
class _Stream:
    """What was read of one stream and not given yet."""

    shard: int
    entries: list[_Entry] = field(default_factory=list)
    last: str = ""
    ended: bool = False


class Outbox:
    """The events of all shards."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._layout = shards.layout
        self._places: dict[str, tuple[int, str]] = {}

    async def oldest(self, limit: int) -> list[Event]:
        """The oldest events, those of a shard in the order of their commits, all by the clocks of their servers."""
        streams = [_Stream(shard) for shard in range(self._layout.shards)]
        at_once = max(LEAST, -(-2 * limit // len(streams)))
        given: list[_Entry] = []
        while len(given) < limit:
            empty = [stream for stream in streams if not stream.entries and not stream.ended]
            # Which event is the oldest is known once every stream has shown its first one.
            await asyncio.gather(*(self._fill(stream, at_once) for stream in empty))
            streams = [stream for stream in streams if stream.entries]
            if not streams:
                break
            first = min(streams, key=lambda stream: stream.entries[0].at)
            given.append(first.entries.pop(0))
        for entry in given:
            self._places[entry.event.id] = (entry.shard, entry.place)
        while len(self._places) > REMEMBERED:
            del self._places[next(iter(self._places))]
        return [entry.event for entry in given]

    async def confirm(self, event_ids: Sequence[str]) -> None:
        """Take events out."""
        places: dict[int, list[str]] = {}
        unknown = set()
        for id in event_ids:
            known = self._places.pop(id, None)
            if known is None:
                unknown.add(id)
            else:
                places.setdefault(known[0], []).append(known[1])
        if unknown:
            # Given by another process, or confirmed already: rare, and worth a look at all that is there.
            for shard, found in enumerate(await asyncio.gather(*(self._find(n, unknown) for n in self._all()))):
                places.setdefault(shard, []).extend(found)
        await asyncio.gather(
            *(
                self._shards.command("XDEL", self._key(shard), *chosen, writes=True)
                for shard, chosen in places.items()
                if chosen
            )
        )

    async def _find(self, shard: int, ids: set[str]) -> list[str]:
        found = []
        stream = _Stream(shard)
        while not stream.ended:
            await self._fill(stream, LOOKED_AT)
            found += [entry.place for entry in stream.entries if entry.event.id in ids]
            stream.entries.clear()
        return found

    async def _fill(self, stream: _Stream, count: int) -> None:
        after = f"({stream.last}" if stream.last else "-"
        rows = await self._shards.command("XRANGE", self._key(stream.shard), after, "+", "COUNT", count)
        stream.ended = len(rows) < count
        for place, values in rows:
            fields = dict(zip(values[::2], values[1::2], strict=True))
            stream.entries.append(_Entry(stream.shard, place, int(fields["at"]), event_of(fields["event"])))
            stream.last = place

    def _all(self) -> range:
        return range(self._layout.shards)

    def _key(self, shard: int) -> str:
        return self._layout.key(shard, "outbox")
