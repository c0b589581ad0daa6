"""Records and outbox in Redis, for many gateways: a change is one script in the shard of its upload, one round trip."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from tusfleet.infostores._redis_outbox import Outbox
from tusfleet.infostores._redis_scan import Scanner
from tusfleet.redis_shards.eviction import Eviction
from tusfleet.redis_shards.layout import store_key
from tusfleet.redis_shards.records import (
    Changed,
    changed,
    committed,
    event_text,
    micros,
    stored,
    tenant_text,
    upload_of,
    whole,
)
from tusfleet.redis_shards.scripts import COMMIT, CREATE, DELETE, END, LINK, LISTEN, PROBE, READ
from tusfleet.redis_shards.shards import Shards, uncut
from tusfleet.uploads.errors import AlreadyExists, FenceLost, StoreFull, Unavailable
from tusfleet.uploads.models import Change, Event, Page, Query, State, Upload, Usage
from tusfleet.uploads.ports import Lease

LINK_SECONDS = 24 * 3600
"""How long it is remembered what is made of a part that has no record; of one that has, as long as the record lives."""

LISTENED_SECONDS = 7 * 24 * 3600
"""How long it is remembered that events are delivered: their courier comes back after an outage, and not for ever."""

THOUSAND_MILLIONS = 10**9
"""Totals of bytes are kept in two numbers: this many bytes, and the rest."""


class RedisInfoStore:
    """An info store in Redis.

    Parameters:
        shards: the store.
        capacity: most bytes that all records together may set aside; None without a limit.

    Raises:
        ValueError: a capacity cannot be kept on a Cluster, whose shards are on different servers, unless there is
            one shard only.
    """

    def __init__(self, shards: Shards, capacity: int | None = None) -> None:
        if capacity is not None and shards.clustered and shards.layout.shards > 1:
            raise ValueError(
                "max_store_size cannot be kept on a Redis Cluster of several shards: "
                "use one server or Sentinel, or a store of one shard under another prefix"
            )
        self._shards = shards
        self._layout = shards.layout
        self._capacity = "" if capacity is None else str(capacity)
        # Only looked at with a capacity, which needs the totals of all shards.
        self._usages = [] if capacity is None else self._layout.all("usage")
        self._scanner = Scanner(shards)
        self._outbox = Outbox(shards)
        self._eviction = Eviction(shards)

    async def insert(self, upload: Upload, events: Sequence[Event] = ()) -> None:
        record = stored(upload)
        tenant = "" if upload.tenant is None else tenant_text(upload.tenant)
        arguments: list[str | int] = [upload.id, self._shards.token(), tenant, self._capacity]
        arguments += _lists(self._usages, record.flat(), record.parts, [event_text(event) for event in events])

        async def steps() -> None:
            # A link without its final upload is harmless; a final upload without its link would wait for ever.
            await self._link(upload)
            answer = await self._shards.run(CREATE, self._change_keys(upload.id), arguments)
            if answer[0] == "exists":
                raise AlreadyExists
            if answer[0] == "full":
                raise _full(answer[1], upload.reserved)

        await uncut(steps())

    async def read(self, id: str) -> Upload | None:
        return await self._read(id, wanted=True)

    async def read_many(self, ids: Sequence[str]) -> list[Upload | None]:
        # They go as few pipelines.
        return list(await asyncio.gather(*(self._read(id, wanted=False) for id in ids)))

    async def _read(self, id: str, *, wanted: bool) -> Upload | None:
        """A record; the entries of its list if they are `wanted` and it is `finishing`."""
        start = self._layout.start(self._layout.shard(id))
        keys = [f"{start}u:{id}", f"{start}parts:{id}", f"{start}lease:{id}"]
        record, _ = await self._shards.run(READ, keys, [int(wanted)])
        return upload_of(id, *record) if record else None

    async def commit(
        self, upload: Upload, fence: int, change: Change, events: Sequence[Event] = (), ends: Lease | None = None
    ) -> Upload:
        texts = [event_text(event) for event in events]
        token = self._shards.token()

        async def steps() -> Upload:
            answer = await self._try_commit(upload, fence, change, changed(upload, change), texts, token, ends)
            if answer[0] == "parts" and (way := whole(upload, change)) is not None:
                answer = await self._try_commit(upload, fence, change, way, texts, token, ends)
            if answer[0] in {"fenced", "parts"}:
                raise FenceLost
            if answer[0] == "full":
                raise _full(answer[1], change.get("reserved", 0) - upload.reserved)
            _, ended, flat, listed = answer
            if ended and ends is not None:
                ends.ended()
            return committed(upload, change, flat, listed)

        return await uncut(steps())

    async def _try_commit(
        self,
        upload: Upload,
        fence: int,
        change: Change,
        way: Changed,
        events: Sequence[str],
        token: str,
        ends: Lease | None,
    ) -> Any:
        fields = [text for field in way.fields.items() for text in field]
        state = change.get("state", upload.state)
        # The end of an upload frees memory: it must be possible in a Redis that is full.
        script = COMMIT if state.alive else END
        arguments: list[str | int] = [
            self._layout.channels, upload.id, token, self._capacity,
            micros(upload.created_at), upload.offset, fence, int(ends is not None),
            way.way, way.known, way.last, int(way.lacks),
            *_lists(self._usages, fields, way.removed, way.parts, events),
        ]  # fmt: skip
        return await self._shards.run(script, self._change_keys(upload.id), arguments)

    async def delete(self, upload: Upload) -> None:
        shard = self._layout.shard(upload.id)
        record = stored(upload)
        tenant = "" if upload.tenant is None else tenant_text(upload.tenant)
        names = (
            f"u:{upload.id}",
            f"parts:{upload.id}",
            "fence",
            "index",
            "expiry",
            "ended",
            "finished",
            "usage",
            f"links:{upload.id}",
        )
        keys = [self._layout.key(shard, name) for name in names]
        arguments = [upload.id, tenant, record.known, record.last, *_lists(record.flat())]

        async def steps() -> None:
            if await self._shards.run(DELETE, keys, arguments):
                await self._unlink(upload)

        await uncut(steps())

    async def scan(self, query: Query, limit: int = 100, cursor: str | None = None) -> Page:
        return await self._scanner.page(query, limit, cursor)

    async def finals_of(self, part_id: str) -> list[str]:
        ids: list[str] = await self._shards.command("ZRANGE", self._links(part_id), 0, -1)
        waiting = (State.OPEN, State.FINISHING)
        return [
            final.id
            for final in await self.read_many(ids)
            if final is not None and final.state in waiting and final.concat and part_id in final.concat.parts
        ]

    async def usage(self) -> Usage:
        keys = self._layout.all("usage")
        names = ("uploads", "open", "high", "low")
        rows = await asyncio.gather(*(self._shards.command("HMGET", key, *names) for key in keys))
        uploads, open, high, low = (sum(int(value or 0) for value in column) for column in zip(*rows, strict=True))
        return Usage(uploads, open, high * THOUSAND_MILLIONS + low)

    async def outbox(self, limit: int = 100) -> list[Event]:
        return await self._outbox.oldest(limit)

    async def confirm(self, event_ids: Sequence[str]) -> None:
        await self._outbox.confirm(event_ids)

    async def listen(self) -> None:
        await self._listen(1)

    async def listened(self) -> bool:
        return bool(await self._listen(0))

    async def _listen(self, says: int) -> Any:
        return await self._shards.run(LISTEN, [store_key(self._layout.prefix)], [says, LISTENED_SECONDS * 10**6])

    async def probe(self) -> None:
        if not all(await asyncio.gather(*(self._shards.run(PROBE, [key], ()) for key in self._shards.probes))):
            raise Unavailable("Redis does not give back what was written")

    async def warning(self) -> str | None:
        """What is wrong with the settings of Redis, though it works now; one sentence."""
        return await self._eviction.warning()

    def _change_keys(self, id: str) -> list[str]:
        start = self._layout.start(self._layout.shard(id))
        names = (f"u:{id}", f"parts:{id}", f"lease:{id}", "index", "expiry", "ended", "finished", "usage", "outbox")
        return [start + name for name in names]

    def _links(self, part: str) -> str:
        return self._layout.key(self._layout.shard(part), f"links:{part}")

    async def _link(self, upload: Upload) -> None:
        if not upload.is_final or upload.concat is None:
            return
        await asyncio.gather(
            *(
                self._shards.run(
                    LINK,
                    [self._links(part), self._layout.key(self._layout.shard(part), f"u:{part}")],
                    [upload.id, LINK_SECONDS],
                )
                for part in set(upload.concat.parts)
            )
        )

    async def _unlink(self, upload: Upload) -> None:
        if upload.is_final and upload.concat is not None:
            parts = set(upload.concat.parts)
            await asyncio.gather(
                *(self._shards.command("ZREM", self._links(part), upload.id, writes=True) for part in parts)
            )


def _lists(*lists: Sequence[str]) -> list[str | int]:
    """Lists as scripts take them: each with its length in front."""
    flat: list[str | int] = []
    for values in lists:
        flat.append(len(values))
        flat += values
    return flat


def _full(free: str, growth: int) -> StoreFull:
    return StoreFull(f"The store has room for {free} more bytes, not for {growth}")
