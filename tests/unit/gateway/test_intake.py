"""The memory of bytes that nobody has read yet: bounded for all connections together, fair between them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import pytest

from tusfleet.gateway.http_body import NativeBody
from tusfleet.gateway.http_flow import Flow, Timer
from tusfleet.gateway.http_intake import ABREAST, INTAKE, LEAST_QUEUED, READ_BYTES, allow
from tusfleet.uploads.models import BodyEnd
from tusfleet.uploads.ports import MOST_INTAKE, intake_of

pytestmark = pytest.mark.anyio

LIMIT = 1024 * 1024


class Transport:
    """The part of a transport that a flow uses."""

    def __init__(self) -> None:
        self.paused = False

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def is_closing(self) -> bool:
        return True


class Client:
    """One connection with a body, and a sender that never stops."""

    def __init__(self, length: int = 2**40) -> None:
        loop = asyncio.get_running_loop()
        self.transport = Transport()
        flow = Flow(loop, cast("Any", self.transport), 10)
        self.body = NativeBody(
            flow, Timer(loop), length, expects=False, idle_timeout=10, lane=None, passed=lambda: None
        )

    def send(self) -> int:
        """Send as much as is read before the connection is paused."""
        sent = 0
        while not self.transport.paused:
            size = len(INTAKE.buffer(self.body.queued, self.body.wanted))
            self.body.feed(bytes(size))
            sent += size
        return sent


@pytest.fixture(autouse=True)
def small() -> Iterator[None]:
    assert INTAKE.used == INTAKE.wanted == 0
    allow(LIMIT)
    yield
    assert INTAKE.used == INTAKE.wanted == 0
    allow(MOST_INTAKE)


async def test_one_connection_has_a_part_and_leaves_the_others_to_whoever_comes() -> None:
    client = Client()
    sent = client.send()
    assert LIMIT // (4 * ABREAST) <= sent <= LIMIT // ABREAST
    client.body.drop()


async def test_thousands_that_nobody_reads_stay_within_the_bound() -> None:
    clients = [Client() for _ in range(2000)]
    for client in clients:
        client.send()
    assert all(client.transport.paused for client in clients)
    assert INTAKE.used == sum(client.body.queued for client in clients)
    assert INTAKE.used <= LIMIT + len(clients) * LEAST_QUEUED
    for client in clients:
        client.body.drop()


async def test_a_reader_that_has_memory_gets_more_than_thousands_that_nobody_reads() -> None:
    stalled = [Client() for _ in range(500)]
    for client in stalled:
        client.send()
    fast, received = Client(), 0
    for _ in range(20):
        fast.send()
        reading = asyncio.create_task(fast.body.read(4 * READ_BYTES, 10))
        await asyncio.sleep(0)
        fast.send()
        received += sum(map(len, await reading))
    assert received >= 20 * LIMIT // 2
    assert INTAKE.used <= LIMIT + 501 * LEAST_QUEUED
    for client in (*stalled, fast):
        client.body.drop()


async def test_a_reader_gets_what_it_wants_while_there_is_room() -> None:
    client = Client()
    client.send()
    before = client.body.queued
    reading = asyncio.create_task(client.body.read(LIMIT // 2, 10))
    await asyncio.sleep(0)
    assert not client.transport.paused, f"its reader has memory for more than {before}"
    client.send()
    assert sum(map(len, await reading)) == LIMIT // 2
    client.body.drop()


async def test_whoever_wants_too_much_is_woken_when_no_more_is_read_for_it() -> None:
    client = Client()
    reading = asyncio.create_task(client.body.read(100 * LIMIT, 10))
    sent = 0
    while not reading.done():
        sent += client.send()
        await asyncio.sleep(0)
    sent -= client.body.queued
    assert sum(map(len, await reading)) == sent <= LIMIT
    client.body.drop()


async def test_to_wait_for_bytes_takes_none() -> None:
    client = Client(length=3)
    waiting = asyncio.create_task(client.body.coming())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    client.body.feed(b"ab")
    assert await client.body.coming() == 2
    client.body.feed(b"c")
    client.body.complete()
    assert await client.body.coming() == 3
    assert await client.body.read(10, 0) == [b"ab", b"c"]
    assert await client.body.coming() == 0
    assert await client.body.read(10, 0) == []
    assert client.body.end is BodyEnd.COMPLETE


async def test_a_read_never_takes_more_than_it_wants() -> None:
    client = Client(length=6)
    for piece in (b"abc", b"def"):
        client.body.feed(piece)
    assert await client.body.read(2, 0) == [b"ab"]
    assert await client.body.read(1, 0) == [b"c"]
    assert await client.body.read(5, 0) == [b"def"]


async def test_the_bound_is_a_part_of_the_memory_for_bodies() -> None:
    assert intake_of(256 * 2**20) == MOST_INTAKE
    assert intake_of(16 * 2**20) == 2 * 2**20
    assert len(INTAKE.buffer(0, 0)) <= READ_BYTES
    assert len(INTAKE.buffer(2**40, 0)) == LEAST_QUEUED
