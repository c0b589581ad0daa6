"""What a step costs in a Redis that holds a thousand upload records, and a million: `python -m bench.scale`.

Counted are round trips, commands and bytes on the wire, not times: they are the same on every machine.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import redis as redis_py

from bench import records
from bench.scale_report import Cost, Growth, Memory, Scale, grew, render
from bench.tap import Tap
from tests.testbed.redis import standalone
from tests.testbed.redis_node import RedisNode
from tusfleet.gateway.app import Service
from tusfleet.infostores.redis import RedisInfoStore
from tusfleet.lockers._redis_lease import RedisLease
from tusfleet.lockers.redis import RedisLocker
from tusfleet.redis_shards.access import RedisAccess
from tusfleet.redis_shards.shards import Shards, open_shards
from tusfleet.settings import DataStoreKind, InfoStoreKind, Settings
from tusfleet.uploads.growing import Growing
from tusfleet.uploads.models import Change, Placement, Query, State, Upload

_RESULTS = Path(__file__).parent / "SCALE.md"

MOST_RECORDS = 1_000_000
FEWEST_RECORDS = 1_000
PART_COUNTS = (10, 1_000, 10_000)

PAGE = 100
"""As the janitor takes them."""

PARTS_OF_MANY = 4
"""Parts that each of the many records has."""

_WAIT_SECONDS = 10.0
_LONG_SECONDS = 600.0
"""No lease runs out while its memory is measured."""

_RENEW_SECONDS = 1.0
"""Time between renewals here; a gateway has 2.5 s."""

_MEMORY_RECORDS = 20_000
_TAIL_RECORDS = 500
_TAIL_BYTES = 128 * 1024
"""Half of what `s3_tail_inline_max` allows for: the mean of such tails."""

COMPACT = ("hash-max-listpack-value", "1024")
"""The setting of Redis that lets it keep records in their compact form: by default no value may exceed 64 bytes."""

_ALIVE = frozenset(state for state in State if state.alive)
_NOT_OURS = frozenset({"cmdstat_info", "cmdstat_config|resetstat", "cmdstat_config|set"})

Work = Callable[[], Awaitable[object]]


@dataclass
class Scene:
    """A store in a Redis of its own, reached by a way that counts."""

    node: RedisNode
    tap: Tap
    folder: Path
    shards: Shards
    control: redis_py.Redis
    info: RedisInfoStore = field(init=False)
    locker: RedisLocker = field(init=False)

    def __post_init__(self) -> None:
        self.info = RedisInfoStore(self.shards)
        # Not opened: what it does beside requests would be counted with them.
        self.locker = RedisLocker(self.shards)

    async def cost(self, work: Work) -> Cost:
        """What `work` asks of Redis."""
        self.control.config_resetstat()
        before = self.tap.traffic
        await work()
        used = self.tap.traffic - before
        stats: dict[str, Any] = self.control.info("commandstats")
        return Cost(used, {name[8:]: int(value["calls"]) for name, value in stats.items() if name not in _NOT_OURS})

    async def fill(self, like: Upload, seed: str, count: int) -> None:
        """Add records like `like`."""
        await records.fill(self.shards, self.node.port, like, records.ids(seed, count))

    async def sweep(self) -> None:
        """One whole pass of the janitor, from its first connection to its last."""
        settings = Settings(
            infostore=InfoStoreKind.REDIS,
            datastore=DataStoreKind.FILESYSTEM,
            redis_url=self.tap.url,
            data_dir=self.folder,
        )
        report = await Service(settings).sweep_once()
        assert report.well, report.line()

    def memory(self) -> int:
        """Bytes that Redis has in use."""
        return int(self.control.info("memory")["used_memory"])


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """An empty store."""
    with standalone(folder / "redis") as node, node.client() as control:
        async with Tap.to(node.port) as tap:
            shards = await open_shards(RedisAccess(tap.url), "gateway-1")
            try:
                yield Scene(node, tap, folder / "data", shards, control)
            finally:
                await shards.close()


async def steps(at: Scene) -> dict[str, Cost]:
    """What each step costs in the store as it is now; it is left as it was."""
    costs: dict[str, Cost] = {}
    subject, *due = [records.upload(id) for id in records.ids("subjects", PAGE + 1)]
    # The same ids at every size: the names of their shards are as long.
    late = [replace(one, expires_at=one.created_at - timedelta(days=1)) for one in due]

    async def patch() -> None:
        lease = await at.locker.acquire(subject.id, _WAIT_SECONDS)
        assert lease.upload is not None
        change: Placement = records.begun(1)
        await at.info.commit(lease.upload, lease.fence, {"offset": records.PART_BYTES, "placement": change}, ends=lease)
        await lease.release()

    def page(**conditions: Any) -> Work:
        query = Query(states=_ALIVE, **{"expires_before": datetime.now(UTC), **conditions})
        return lambda: at.info.scan(query, PAGE)

    costs["create (POST)"] = await at.cost(lambda: at.info.insert(subject))
    costs["HEAD"] = await at.cost(lambda: at.locker.standing(subject.id))
    costs["PATCH of one part"] = await at.cost(patch)
    costs[f"renewal of {PAGE} leases"] = await renewal(at, due)
    costs["totals for the metrics"] = await at.cost(at.info.usage)
    costs["page of the expiry sweep, nothing is due"] = await at.cost(page())
    costs["janitor: a whole pass, nothing to do"] = await at.cost(at.sweep)
    await asyncio.gather(*(at.info.insert(one) for one in late))
    costs[f"page of the expiry sweep, {PAGE} are due"] = await at.cost(page())
    costs[f"janitor: a whole pass, {PAGE} expire"] = await at.cost(at.sweep)
    costs["page of the expiry sweep, every upload is due"] = await at.cost(
        page(expires_before=datetime.now(UTC) + timedelta(days=9))
    )
    for id in (subject.id, *(one.id for one in late)):
        left = await at.info.read(id)
        assert left is not None
        await at.info.delete(left)
    return costs


async def renewal(at: Scene, uploads: Sequence[Upload]) -> Cost:
    """What a gateway does every 2.5 s that holds leases of these."""
    async with RedisLocker.open(at.shards, ttl=_WAIT_SECONDS, renew_every=_RENEW_SECONDS) as locker:
        await locker.listening()
        leases = [await locker.acquire(one.id, _WAIT_SECONDS) for one in uploads]

        async def renewed() -> None:
            due = leases[-1].good_until
            async with asyncio.timeout(_WAIT_SECONDS):
                while leases[-1].good_until == due:
                    await asyncio.sleep(_RENEW_SECONDS / 100)

        await renewed()
        used = await at.cost(renewed)
        await asyncio.gather(*(lease.release() for lease in leases))
    return used


BOUNDED = frozenset({"page of the expiry sweep, every upload is due"})
"""What may cost more among more records, up to a bound."""


WITH_PARTS = "PATCH: commit the last part, get all of them"
"""What carries the parts: once in the life of an upload, to whoever makes its object."""


async def sizes(at: Scene, counts: Sequence[int]) -> Scale:
    """What steps cost among so many records, fewest first, and the memory of the last."""
    await steps(at)  # with it the scripts are there
    empty = at.memory()
    there = 0
    found: dict[int, dict[str, Cost]] = {}
    for count in counts:
        await at.fill(records.upload("0" * 32, records.begun(PARTS_OF_MANY)), f"to {count}", count - there)
        there = count
        usage = await at.info.usage()
        assert usage.open == count, usage
        found[count] = await steps(at)
    return Scale(found, at.memory() - empty)


async def parts(at: Scene, counts: Sequence[int]) -> Growth:
    """What steps cost at an upload that has so many parts."""
    await _at_parts(at, 1)  # with it the scripts are there
    return {count: await _at_parts(at, count) for count in counts}


async def _at_parts(at: Scene, count: int) -> dict[str, Cost]:
    (id,) = records.ids("parts", 1)
    await at.info.insert(replace(records.upload(id, records.begun(count)), length=(count + 2) * records.PART_BYTES))
    costs = {"HEAD": await at.cost(lambda: at.locker.standing(id))}
    costs["page of a scan that has it"] = await at.cost(lambda: at.info.scan(Query(states=_ALIVE), PAGE))
    held: list[tuple[RedisLease, Upload]] = []

    async def acquire() -> None:
        lease = await at.locker.acquire(id, _WAIT_SECONDS)
        assert lease.upload is not None
        held.append((lease, lease.upload))

    async def commit(change: Change, *, last: bool = False) -> None:
        lease, upload = held.pop()
        held.append((lease, await at.info.commit(upload, lease.fence, change, ends=lease if last else None)))

    one = _added(count, 1)
    all_there: Change = {**_added(count, 2), "state": State.FINISHING}
    whole: Change = {"placement": records.finished(id).placement, "state": State.FINISHED, "expires_at": None}
    costs["PATCH: take the lease, read the record"] = await at.cost(acquire)
    costs["PATCH: commit one part more"] = await at.cost(lambda: commit(one))
    costs[WITH_PARTS] = await at.cost(lambda: commit(all_there))
    ((_, finishing),) = held
    assert len(Growing.of(finishing.placement).more) == count + 2
    costs["PATCH: commit that the object is there"] = await at.cost(lambda: commit(whole, last=True))
    left = await at.info.read(id)
    assert left is not None
    await at.info.delete(left)
    return costs


def _added(count: int, more: int) -> Change:
    """A commit of as many parts more."""
    texts = [records.part_text(count + number) for number in range(more)]
    parts = Growing(texts, count, records.part_text(count - 1)).json()
    placement: Placement = {**records.begun(count), "parts": parts, "count": count + more}
    return {"offset": (count + more) * records.PART_BYTES, "placement": placement}


async def memory(at: Scene, count: int, tails: int) -> list[Memory]:
    """Bytes of Redis for a record of each kind, by its own settings and with COMPACT."""
    zero = "0" * 32
    tailed = f"open, 4 parts and a tail of {_TAIL_BYTES // 1024} KiB"
    kinds = [
        ("open, no bytes yet", records.upload(zero), count),
        ("open, 4 parts of a multipart upload", records.upload(zero, records.begun(4)), count),
        ("open, 32 parts", records.upload(zero, records.begun(32)), count),
        (tailed, records.upload(zero, records.begun(4, _TAIL_BYTES)), tails),
        ("finished", records.finished(zero), count),
        ("expired, remembered for `tombstone_ttl`", records.tombstone(zero), count),
    ]
    default = str(at.control.config_get(COMPACT[0])[COMPACT[0]])
    measured: list[Memory] = []
    for name, like, many in kinds:
        each = []
        for value in (default, COMPACT[1]):
            at.control.flushall()
            at.control.config_set(COMPACT[0], value)
            before = at.memory()
            await at.fill(like, name, many)
            each.append((at.memory() - before) / many)
        measured.append(Memory(name, many, *each))
    at.control.flushall()
    at.control.config_set(COMPACT[0], default)
    return [*measured, await _lease_memory(at, count)]


async def _lease_memory(at: Scene, count: int) -> Memory:
    await at.fill(records.upload("0" * 32), "leased", count)
    before = at.memory()
    locker = RedisLocker(at.shards, ttl=_LONG_SECONDS)
    ids = list(records.ids("leased", count))
    for first in range(0, count, PAGE):
        await asyncio.gather(*(locker.acquire(id, _WAIT_SECONDS) for id in ids[first : first + PAGE]))
    each = (at.memory() - before) / count
    at.control.flushall()
    # A lease is short: it is in the compact form anyway.
    return Memory("a lease, while a request writes to the upload", count, each, each)


async def measure(folder: Path, options: argparse.Namespace) -> tuple[str, bool]:
    """All tables, and whether every cost that must not grow has stayed."""
    async with scene(folder / "sizes") as at:
        scale = await sizes(at, (min(FEWEST_RECORDS, options.records), options.records))
        version = at.control.info("server")["redis_version"]
    async with scene(folder / "parts") as at:
        grown = await parts(at, PART_COUNTS)
    async with scene(folder / "memory") as at:
        kinds = await memory(at, options.memory_records, _TAIL_RECORDS)
    text = render(scale, grown, kinds, bounded=BOUNDED, redis=version, parts_of_many=PARTS_OF_MANY)
    return text, not grew(scale.costs) - BOUNDED


def main(arguments: list[str]) -> int:
    """Measure, write the tables and print them; 1 when a cost grew that must not."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--records", type=int, default=MOST_RECORDS, help="the larger store (default 1,000,000)")
    parser.add_argument("--memory-records", type=int, default=_MEMORY_RECORDS, help="records of each kind (20,000)")
    parser.add_argument("--output", type=Path, default=_RESULTS, help="where the tables go (default bench/SCALE.md)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="tusfleet-scale-") as folder:
        text, held = asyncio.run(measure(Path(folder), options))
    options.output.write_text(text, encoding="utf-8")
    print(text)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
