"""One store in Redis: runs scripts and commands in its shards, again where that may help, within a time limit."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from itertools import count
from typing import Any, TypeVar

from redis.exceptions import AskError, MovedError, NoScriptError

from tusfleet.observability.metrics import Metrics
from tusfleet.redis_shards.access import RedisAccess, Topology, target_of
from tusfleet.redis_shards.failures import FAILURES, Failure, passing, told
from tusfleet.redis_shards.lanes import Command, Lane, packed
from tusfleet.redis_shards.layout import DEFAULT_SHARDS, MOST_SHARDS, Layout, store_key
from tusfleet.redis_shards.schema import MIGRATIONS, Migration, UnusableStore, brought_up
from tusfleet.redis_shards.scripts import OPEN, Script
from tusfleet.redis_shards.topologies import Servers, servers_of
from tusfleet.uploads.errors import Unavailable

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.5
"""Seconds before another attempt; the pause doubles from the first to the longest, and half of it is chance."""

T = TypeVar("T")


class Shards:
    """The shards of one store; made by `open_shards`.

    Parameters:
        access: how Redis is reached.
        servers: the way there.
        layout: the keys.
        gateway: names this process among all that share the store; letters, digits and `. _ : -`.
        where: names the servers in messages.
        clustered: whether shards may be on different servers.
        metrics: where times are counted.
        chance: a number from 0 up to 1, another one every time.
    """

    def __init__(
        self,
        access: RedisAccess,
        servers: Servers,
        layout: Layout,
        gateway: str,
        *,
        where: str,
        clustered: bool,
        metrics: Metrics | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.access = access
        self.layout = layout
        self.gateway = gateway
        self.clustered = clustered
        self._servers = servers
        self._where = where
        self._metrics = metrics
        self._chance = chance
        self._numbers = count()
        self._closed = False

    @property
    def servers(self) -> Servers:
        """The servers of the store."""
        return self._servers

    @property
    def probes(self) -> list[str]:
        """Keys by which every server of the store is asked how it is: on a Cluster some may be well and others not."""
        return self.layout.all("probe") if self.clustered else [self.layout.key(0, "probe")]

    def token(self) -> str:
        """A name for one change, or one lease, that no other has in the whole store."""
        return f"{self.gateway}.{next(self._numbers):x}"

    async def run(
        self, script: Script, keys: Sequence[str], arguments: Sequence[str | int], patience: float | None = None
    ) -> Any:
        """Run a script where its first key is, and give its answer.

        It may be run twice when an answer is lost: scripts know a repetition by its token.

        Parameters:
            patience: seconds after which it fails; None those of the store.

        Raises:
            StoreFull: Redis is full.
            Unavailable: it did not succeed in time; whether the script was run is not known.
        """
        rest = (len(keys), *keys, *arguments)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            return await self._attempts(
                keys[0],
                ("EVALSHA", script.digest, *rest),
                ("EVAL", script.source, *rest),
                script.writes,
                began + (self.access.patience if patience is None else patience),
            )
        finally:
            if self._metrics is not None:
                self._metrics.redis_seconds.labels(script.name).observe(loop.time() - began)

    async def command(self, name: str, key: str, *arguments: str | int, writes: bool = False) -> Any:
        """Carry out one command of Redis on a key, and give its answer.

        Raises:
            StoreFull, Unavailable: as `run`.
        """
        command = (name, key, *arguments)
        deadline = asyncio.get_running_loop().time() + self.access.patience
        return await self._attempts(key, command, command, writes, deadline)

    async def ask_server(self, key: str, *command: str) -> Any:
        """The answer of the server that has `key` to a command that names no key and changes nothing.

        Raises:
            StoreFull, Unavailable: as `run`.
        """
        deadline = asyncio.get_running_loop().time() + self.access.patience
        return await self._attempts(key, command, command, False, deadline)

    async def close(self) -> None:
        """End all connections. Safe to repeat."""
        self._closed = True
        await self._servers.close()

    def refusal(self, error: BaseException) -> Exception:
        """What a person is told of a failure."""
        return told(error, self._where)

    def pause(self, attempt: int) -> float:
        """Seconds to wait before another attempt; 0 is the first."""
        return min(FIRST_PAUSE * 2.0**attempt, LONGEST_PAUSE) * (0.5 + self._chance() / 2)

    async def _attempts(
        self,
        key: str,
        command: tuple[str | int, ...],
        whole: tuple[str | int, ...],
        writes: bool,
        deadline: float,
    ) -> Any:
        loop = asyncio.get_running_loop()
        once: Lane | None = None
        attempt = 0
        cause: Failure | None = None
        while True:
            if self._closed:
                raise Unavailable("The connection to Redis is closed")
            try:
                async with asyncio.timeout_at(deadline):
                    lane = once or await self._servers.lane(key)
                    answer: asyncio.Future[Any] = loop.create_future()
                    lane.send(Command(packed(*command), writes, answer, asking=once is not None))
                    return await answer
            except NoScriptError:
                # A server that was restarted, emptied of scripts, or has just become the master.
                command = whole
                continue
            except FAILURES as error:
                # That the time is over is not what went wrong, when something else did before.
                cause = error if cause is None or not isinstance(error, TimeoutError) else cause
                once = await self._after(cause if loop.time() >= deadline else error, attempt, deadline)
            attempt += 1

    async def _after(self, error: Failure, attempt: int, deadline: float) -> Lane | None:
        """Wait until another attempt is due, and give the lane that it is to take, if it is another one.

        Raises:
            StoreFull, Unavailable: there is no point in it, or no time left.
        """
        loop = asyncio.get_running_loop()
        moved = isinstance(error, AskError)
        # An idle connection that was closed meanwhile is the usual reason of a first failure: no need to wait then.
        pause = 0.0 if moved or attempt == 0 else self.pause(attempt - 1)
        if not passing(error) or loop.time() + pause >= deadline:
            raise self.refusal(error) from error
        try:
            async with asyncio.timeout_at(deadline):
                lane = await self._servers.learn(error)
                if isinstance(error, MovedError) and attempt > 0:
                    pause = self.pause(attempt - 1)
                await asyncio.sleep(pause)
        except TimeoutError:
            raise self.refusal(error) from error
        return lane


async def open_shards(
    access: RedisAccess,
    gateway: str,
    *,
    metrics: Metrics | None = None,
    migrations: Sequence[Migration] = MIGRATIONS,
    make: bool = True,
) -> Shards:
    """Reach Redis, and make or check the store in it.

    Parameters:
        access: how.
        gateway: names this process among all that share the store.
        metrics: where times are counted.
        migrations: the versions of the schema.
        make: whether to make the store when there is none.

    Raises:
        ValueError: the URL, the prefix or the number of shards cannot be.
        UnusableStore: the store is of a newer version, has another number of shards, or is not there.
        Unavailable: Redis cannot be reached, or refuses.
    """
    target = target_of(access.url)
    if not access.prefix or set(access.prefix) & set("{} \t\n"):
        raise ValueError("the prefix of keys in Redis is a word without braces")
    if access.shards is not None and not 1 <= access.shards <= MOST_SHARDS:
        raise ValueError(f"a store has 1 to {MOST_SHARDS} shards")
    shards = Shards(
        access,
        servers_of(access, target),
        Layout(access.prefix, access.shards or DEFAULT_SHARDS),
        gateway,
        where=str(target),
        clustered=target.topology is Topology.CLUSTER,
        metrics=metrics,
    )
    try:
        key = store_key(access.prefix)
        if make:
            noted = await shards.run(OPEN, [key], [len(migrations), access.shards or DEFAULT_SHARDS])
        else:
            noted = await shards.command("HMGET", key, "schema", "shards")
            if noted == [None, None]:
                raise UnusableStore(f"There is no store {access.prefix!r} in Redis")
        shards.layout = await brought_up(shards, key, noted, migrations)
    except BaseException:
        await shards.close()
        raise
    return shards


async def uncut(steps: Coroutine[Any, Any, T]) -> T:
    """Carry out steps to their end; a cancellation takes effect after that.

    A change of a caller that is gone must have landed or failed before the next one may take its place.
    """
    task = asyncio.create_task(steps)
    cancelled = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        # Whatever became of it, nobody asks any more.
        task.exception()
        raise cancelled
    return task.result()
