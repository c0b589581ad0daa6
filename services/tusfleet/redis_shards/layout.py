r"""The names of keys. All keys of a shard carry its hash tag, so that one script may touch them on a Cluster too.

<prefix>:store                  hash: schema version, number of shards, when a process last said that it tells of events
<prefix>:{<n>}:u:<id>           hash: the record of an upload
<prefix>:{<n>}:parts:<id>       list: the parts of its placement
<prefix>:{<n>}:lease:<id>       hash that runs out: token, gateway and fence of whoever may write, who waits for it
<prefix>:{<n>}:links:<id>       sorted set: final uploads made of this part, by the time of their creation
<prefix>:{<n>}:index            sorted set in the order of bytes: `state:<state>:<id>`, `final:<id>`, `tenant:<t>\0<id>`
<prefix>:{<n>}:expiry           sorted set: ids by the time at which they expire
<prefix>:{<n>}:ended            sorted set: ids of tombstones by the time at which they ended
<prefix>:{<n>}:finished         sorted set: ids of finished uploads, likewise
<prefix>:{<n>}:usage            hash: records, those unfinished, bytes set aside (thousand millions and the rest)
<prefix>:{<n>}:outbox           stream: events that nobody has confirmed
<prefix>:{<n>}:fence            the highest fence of ids that have no record
<prefix>:gateway:<name>         channel: what a gateway is told about leases
"""

from __future__ import annotations

import zlib

DEFAULT_SHARDS = 64
"""Shards of a new store: a Cluster of dozens of servers gets its even share, and asking all shards stays cheap."""

MOST_SHARDS = 1024


class Layout:
    """The keys of one store.

    Parameters:
        prefix: in front of every key.
        shards: how many shards there are.
    """

    def __init__(self, prefix: str, shards: int) -> None:
        self.prefix = prefix
        self.shards = shards
        self.channels = f"{prefix}:gateway:"
        self._starts = [f"{prefix}:{{{number}}}:" for number in range(shards)]

    def shard(self, id: str) -> int:
        """The shard of an upload; the same in every process and for ever."""
        return zlib.crc32(id.encode()) % self.shards

    def start(self, shard: int) -> str:
        """What all keys of a shard begin with."""
        return self._starts[shard]

    def key(self, shard: int, name: str) -> str:
        """A key that a shard has once."""
        return self._starts[shard] + name

    def all(self, name: str) -> list[str]:
        """A key that every shard has, of all of them."""
        return [start + name for start in self._starts]


def store_key(prefix: str) -> str:
    """The key that tells the version and the shape of a store."""
    return f"{prefix}:store"
