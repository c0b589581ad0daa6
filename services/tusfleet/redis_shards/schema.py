"""The version of the layout, kept in the store itself: a gateway never touches a store that a newer one has changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from tusfleet.redis_shards.access import RedisAccess
from tusfleet.redis_shards.layout import Layout
from tusfleet.uploads.errors import Unavailable


class Store(Protocol):
    """As much of a store as a migration needs."""

    access: RedisAccess
    layout: Layout

    async def command(self, name: str, key: str, *arguments: str | int, writes: bool = False) -> object:
        """Carry out one command of Redis on a key."""
        ...


Migration = Callable[[Store], Awaitable[None]]
"""Brings a store from one version to the next. Safe to repeat, and gateways of the version before may be running."""


async def _first(store: Store) -> None:
    """There is nothing before version 1."""


MIGRATIONS: Sequence[Migration] = (_first,)
"""Entry n brings version n to n + 1; what was released is only ever changed by adding an entry."""


class UnusableStore(Unavailable):
    """The store in Redis cannot be used by this program; it was not changed."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, lasting=True)


async def brought_up(store: Store, key: str, noted: Sequence[str | None], migrations: Sequence[Migration]) -> Layout:
    """Bring a store, of which `noted` are the version and the number of shards, to the newest version.

    Raises:
        UnusableStore: it is of a newer version, damaged, or has another number of shards than was asked for.
    """
    version, shards = (int(value) if value and value.isdecimal() else 0 for value in noted)
    if version < 1 or shards < 1:
        raise UnusableStore(f"The key {key} in Redis is not one of ours; choose another prefix")
    if version > len(migrations):
        raise UnusableStore(
            f"The store {store.access.prefix!r} in Redis has schema version {version}, and this program knows up to "
            f"{len(migrations)}: it was written by a newer one; use that, or choose another prefix"
        )
    if store.access.shards is not None and store.access.shards != shards:
        raise UnusableStore(
            f"The store {store.access.prefix!r} in Redis has {shards} shards, which cannot be changed, "
            f"not {store.access.shards}: leave the setting out, or choose another prefix"
        )
    store.layout = Layout(store.access.prefix, shards)
    for number, migration in enumerate(migrations[version:], version + 1):
        await migration(store)
        await store.command("HSET", key, "schema", number, writes=True)
    return store.layout
