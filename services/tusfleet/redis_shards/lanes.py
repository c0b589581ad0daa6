"""Commands that are given in one turn of the event loop go to the server as one pipeline.

A round trip costs a client about 200 us of CPU, a command in a pipeline 22. While as many pipelines are under way as
there are connections, commands wait and go together with the next one: so a server that does not answer is not met by
a storm of connections either.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ReadOnlyError, ResponseError

from tusfleet.redis_shards.failures import FAILURES, TooFewReplicas

CONNECTIONS = 4
"""Pipelines under way to one server at a time; what is more waits for the next one."""

BATCH = 256
"""Most commands of one pipeline: its answers are worked through without a pause."""


def packed(*arguments: str | int) -> bytes:
    """A command as it is sent. In C: the packing of redis-py takes longer than all the rest of a command."""
    command: bytes = pack_command(arguments)  # type: ignore[arg-type]  # its stub allows for one argument
    return command


_ASKING = packed("ASKING")


class Server(Protocol):
    """Where connections of a lane come from."""

    async def connect(self) -> AbstractConnection:
        """A connection that is ready to be used.

        Raises:
            FAILURES: there is none to be had.
        """
        ...

    async def drop(self, connection: AbstractConnection) -> None:
        """Close a connection that is not used any more."""
        ...


@dataclass(frozen=True, slots=True)
class Durability:
    """How many replicas must have a change, and the seconds they have."""

    replicas: int
    seconds: float


@dataclass(slots=True)
class Command:
    """One command on its way, as it is sent; the answer, or what went wrong, comes to `answer`."""

    packed: bytes
    writes: bool
    answer: asyncio.Future[Any]
    asking: bool = False


@dataclass(slots=True)
class Lane:
    """The way to one server.

    Parameters:
        server: gives connections.
        timeout: seconds for the answers of one pipeline.
        durability: what a change waits for.
    """

    server: Server
    timeout: float
    durability: Durability
    _waiting: list[Command] = field(default_factory=list)
    _idle: list[AbstractConnection] = field(default_factory=list)
    _running: set[asyncio.Task[None]] = field(default_factory=set)
    _scheduled: bool = False

    def send(self, command: Command) -> None:
        """Have a command carried out with the others of this turn."""
        self._waiting.append(command)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    async def close(self) -> None:
        """End what is under way, and the connections."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        _fail(self._waiting, ConnectionResetError("the connection was closed"))
        while self._idle:
            await self.server.drop(self._idle.pop())

    def _flush(self) -> None:
        self._scheduled = False
        while self._waiting and len(self._running) < CONNECTIONS:
            # Whoever does not wait any more does not want it done either.
            batch = [command for command in self._waiting[:BATCH] if not command.answer.done()]
            del self._waiting[:BATCH]
            if batch:
                task = asyncio.create_task(self._carry_out(batch))
                self._running.add(task)
                task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._flush()

    async def _carry_out(self, batch: list[Command]) -> None:
        connection = None
        usable = False
        try:
            connection = self._idle.pop() if self._idle else await self.server.connect()
            usable = await self._exchange(connection, batch)
        except FAILURES as error:
            _fail(batch, error)
        finally:
            _fail(batch, ConnectionResetError("the connection was closed"))
            if connection is not None:
                if usable:
                    self._idle.append(connection)
                else:
                    await self.server.drop(connection)

    async def _exchange(self, connection: AbstractConnection, batch: list[Command]) -> bool:
        """Send a pipeline and hand out its answers; tell whether the connection may be used again."""
        waits = self.durability.replicas > 0 and any(command.writes for command in batch)
        usable = True
        reached: Any = None
        answers: list[tuple[Command, Any]] = []
        async with asyncio.timeout(self.timeout + (self.durability.seconds if waits else 0)):
            await connection.send_packed_command(self._wire(batch, waits))
            for command in batch:
                if command.asking:
                    await _answer(connection)
                answer = await _answer(connection)
                usable = usable and not isinstance(answer, ReadOnlyError)
                if waits and command.writes:
                    answers.append((command, answer))
                else:
                    _resolve(command, answer)
            if waits:
                reached = await _answer(connection)
        for command, answer in answers:
            _resolve(command, self._kept(answer, reached))
        return usable

    def _kept(self, answer: Any, reached: Any) -> Any:
        """The answer to a change that so many replicas have; `reached` may be an error instead."""
        # One that was not carried out needs no replicas. A server that has become a replica refuses to wait for others:
        # what counts then is that it refuses the change too, and where it says that the key is now.
        if isinstance(answer, ResponseError):
            return answer
        if not isinstance(reached, int):
            return reached
        return answer if reached >= self.durability.replicas else TooFewReplicas(reached, self.durability.replicas)

    def _wire(self, batch: list[Command], waits: bool) -> bytes:
        wire = []
        for command in batch:
            if command.asking:
                wire.append(_ASKING)
            wire.append(command.packed)
        if waits:
            milliseconds = math.ceil(self.durability.seconds * 1000)
            wire.append(packed("WAIT", self.durability.replicas, milliseconds))
        return b"".join(wire)


async def _answer(connection: AbstractConnection) -> Any:
    try:
        # The whole pipeline has a time limit: one for each answer costs more than the answer.
        return await connection.read_response(timeout=math.inf)
    except ResponseError as error:
        return error


def _resolve(command: Command, answer: Any) -> None:
    if command.answer.done():
        return
    if isinstance(answer, Exception):
        command.answer.set_exception(answer)
    else:
        command.answer.set_result(answer)


def _fail(batch: Sequence[Command], error: Exception) -> None:
    for command in batch:
        _resolve(command, error)
