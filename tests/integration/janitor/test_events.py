"""What a janitor process does is told by the process of the fleet that delivers events; two processes, one Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.redis.gateways import Gateway, gateway_at, until
from tests.kits.streams import FakeStream
from tests.servers import Server, serving
from tests.testbed.gateways import Backend, Janitor, on_disk
from tests.testbed.redis_node import RedisNode
from tests.testbed.redis_topologies import RedisTopology
from tusfleet.courier.deliveries import Courier
from tusfleet.datastores.filesystem import FilesystemDataStore
from tusfleet.events.callback import CallbackSink
from tusfleet.gateway import listening
from tusfleet.gateway.app import Role, Service
from tusfleet.gateway.callables import Callables
from tusfleet.settings import InfoStoreKind, Settings
from tusfleet.uploads.models import Event, EventType, State, Upload

pytestmark = pytest.mark.anyio

SOON = 60.0
"""Seconds in which a process has started and done its work, on a busy machine too."""

FLAGS = ("--sweep-interval", "50ms")


@pytest.fixture
def backend(redis_alone: RedisNode, tmp_path: Path) -> Backend:
    return on_disk(RedisTopology("standalone", redis_alone.url, [redis_alone]), tmp_path / "data")


@asynccontextmanager
async def janitor(folder: Path, backend: Backend) -> AsyncIterator[Server]:
    """A janitor process; starting it does not hold up what runs in this one."""
    running = serving(folder, *backend.flags, *FLAGS, kind=Janitor)
    server = await asyncio.to_thread(running.__enter__)
    try:
        yield server
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


@asynccontextmanager
async def service(backend: Backend, redis: RedisNode, on_finished: Callable[[Event], Any]) -> AsyncIterator[Service]:
    """A gateway that is embedded in this process and sweeps nothing itself."""
    settings = Settings(infostore=InfoStoreKind.REDIS, redis_url=redis.url, data_dir=backend.files)
    running = Service(settings, Callables(on_finished=on_finished), roles=frozenset({Role.UPLOADS}))
    await running.start()
    try:
        yield running
    finally:
        await running.stop()


def upload_of(id: str, **fields: Any) -> Upload:
    return Upload(id, "tus", datetime.now(UTC).replace(microsecond=1), length=5, reserved=5, **fields)


async def half_finished(gateway: Gateway, folder: Path, id: str) -> None:
    """An upload that has all of its bytes, and whose gateway died before its object was made."""
    data = FilesystemDataStore(folder, durable=False, checkpoint_interval=1.0, key_template="{id}")
    await data.prepare()
    upload = upload_of(id)
    await gateway.info.insert(upload)
    async for checkpoint in data.append(upload, FakeStream(b"12345")):
        change: Any = {"offset": 5, "placement": checkpoint.placement, "state": State.FINISHING}
        upload = await gateway.info.commit(upload, 1, change)


async def test_what_a_janitor_finishes_is_told_by_a_gateway(
    redis_alone: RedisNode, backend: Backend, tmp_path: Path
) -> None:
    assert backend.files is not None
    told: list[str] = []
    async with (
        service(backend, redis_alone, lambda event: told.append(event.upload.id)),
        gateway_at(redis_alone.url) as gateway,
        janitor(tmp_path / "janitor", backend),
    ):
        await half_finished(gateway, backend.files, "left")

        async def heard() -> bool:
            return told == ["left"]

        await until(heard, SOON)

        async def delivered() -> bool:
            return await gateway.info.outbox() == []

        await until(delivered, SOON)
        finished = await gateway.info.read("left")
        assert finished is not None
        assert finished.state is State.FINISHED
    assert (backend.files / "files" / "left").read_bytes() == b"12345"


async def test_a_janitor_that_was_there_first_learns_that_events_are_wanted(
    redis_alone: RedisNode, backend: Backend, tmp_path: Path
) -> None:
    told: list[str] = []
    async with janitor(tmp_path / "janitor", backend), gateway_at(redis_alone.url) as gateway:
        past = datetime.now(UTC) - timedelta(hours=1)
        await gateway.info.insert(upload_of("for-nobody", expires_at=past))
        await until(lambda: expired(gateway, "for-nobody"), SOON)
        assert await gateway.info.outbox() == []
        await gateway.info.listen()
        await asyncio.sleep(2 * listening.ASK_SECONDS)
        await gateway.info.insert(upload_of("expired", expires_at=past))
        lost = upload_of("lost", state=State.FINISHING, offset=5)
        await gateway.info.insert(lost)
        await until(lambda: expired(gateway, "expired"), SOON)

        async def tell(event: Event) -> None:
            told.append(f"{event.type.value} {event.upload.id}")

        courier = Courier(gateway.info, CallbackSink(dict.fromkeys(EventType, tell)))

        async def both() -> bool:
            await courier.deliver()
            return sorted(told) == ["upload.expired expired", "upload.failed lost"]

        await until(both, SOON)
        assert await gateway.info.outbox() == []


async def expired(gateway: Gateway, id: str) -> bool:
    upload = await gateway.info.read(id)
    return upload is not None and upload.state is State.EXPIRED


async def test_it_is_remembered_for_a_week_that_events_are_delivered(redis_alone: RedisNode) -> None:
    async with gateway_at(redis_alone.url) as gateway:
        assert not await gateway.info.listened()
        await gateway.info.listen()
        assert await gateway.info.listened()
        said = int(redis_alone.ask("HGET", "tf:store", "listened"))
        week = 7 * 24 * 3600 * 10**6
        redis_alone.ask("HSET", "tf:store", "listened", said - week + 60 * 10**6)
        assert await gateway.info.listened()
        redis_alone.ask("HSET", "tf:store", "listened", said - week)
        assert not await gateway.info.listened()


async def test_a_process_that_sweeps_once_knows_it_too(redis_alone: RedisNode, backend: Backend) -> None:
    settings = Settings(infostore=InfoStoreKind.REDIS, redis_url=redis_alone.url, data_dir=backend.files)
    async with gateway_at(redis_alone.url) as gateway:
        await gateway.info.listen()
        past = datetime.now(UTC) - timedelta(hours=1)
        await gateway.info.insert(upload_of("late", expires_at=past))
        assert (await Service(settings).sweep_once()).well
        assert [event.type for event in await gateway.info.outbox()] == [EventType.EXPIRED]
