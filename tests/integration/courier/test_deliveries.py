"""Events from the outbox of a real info store to a sink: at least once, and nobody holds up the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contexts import context_in
from tests.kits.streams import FakeStream
from tusfleet.courier import deliveries
from tusfleet.courier.deliveries import Courier
from tusfleet.events.callback import CallbackSink
from tusfleet.uploads.context import Context
from tusfleet.uploads.create import create
from tusfleet.uploads.intents import Body, Create
from tusfleet.uploads.models import Event, EventType, Principal, State, Upload

pytestmark = pytest.mark.anyio


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[Context]:
    async with context_in(tmp_path, record_events=True) as context:
        yield context


async def uploaded(context: Context) -> Upload:
    return await create(context, Create(3, body=Body(3)), FakeStream(b"123"), Principal(), lambda: None, "tus")


async def test_an_event_is_delivered_with_the_record_as_it_was_and_leaves_the_outbox(context: Context) -> None:
    told: list[Event] = []

    async def tell(event: Event) -> None:
        told.append(event)

    upload = await uploaded(context)
    await Courier(context.info, CallbackSink({EventType.FINISHED: tell})).deliver()
    assert [(event.type, event.upload.id, event.upload.state) for event in told] == [
        (EventType.FINISHED, upload.id, State.FINISHED)
    ]
    assert await context.info.outbox() == []


async def test_an_event_that_fails_is_kept_and_the_others_go_on(context: Context) -> None:
    first, second = await uploaded(context), await uploaded(context)
    told: list[str] = []

    async def tell(event: Event) -> None:
        if event.upload.id == first.id:
            raise RuntimeError("not now")
        told.append(event.upload.id)

    courier = Courier(context.info, CallbackSink({EventType.FINISHED: tell}))
    await courier.deliver()
    assert told == [second.id]
    assert [event.upload.id for event in await context.info.outbox()] == [first.id]


async def test_an_event_that_failed_waits_before_it_is_tried_again(context: Context) -> None:
    await uploaded(context)
    attempts = 0

    async def tell(event: Event) -> None:
        nonlocal attempts
        attempts += 1
        raise RuntimeError("not now")

    courier = Courier(context.info, CallbackSink({EventType.FINISHED: tell}))
    for _ in range(3):
        await courier.deliver()
    assert attempts == 1


async def test_what_a_courier_did_not_deliver_the_next_one_does(context: Context, tmp_path: Path) -> None:
    upload = await uploaded(context)
    told = asyncio.Event()

    async def tell(event: Event) -> None:
        assert event.upload.id == upload.id
        told.set()

    task = asyncio.create_task(Courier(context.info, CallbackSink({EventType.FINISHED: tell})).run())
    await asyncio.wait_for(told.wait(), 5)
    task.cancel()
    await asyncio.wait([task])


async def test_a_courier_that_is_woken_does_not_wait_for_its_next_look(context: Context) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()

    async def tell(event: Event) -> None:
        told.put_nowait(event.upload.id)

    courier = Courier(context.info, CallbackSink({EventType.FINISHED: tell}))
    context.on_event = courier.wake
    task = asyncio.create_task(courier.run())
    for _ in range(5):
        upload = await uploaded(context)
        assert await asyncio.wait_for(told.get(), 5) == upload.id
    task.cancel()
    await asyncio.wait([task])


async def test_what_was_delivered_before_a_stop_is_not_delivered_again(context: Context) -> None:
    first, second = await uploaded(context), await uploaded(context)
    told: list[str] = []

    async def tell(event: Event) -> None:
        told.append(event.upload.id)
        if event.upload.id == second.id:
            await asyncio.Event().wait()

    delivering = asyncio.create_task(Courier(context.info, CallbackSink({EventType.FINISHED: tell})).deliver())
    while len(told) < 2:
        await asyncio.sleep(0)
    delivering.cancel()
    await asyncio.wait([delivering])
    assert told == [first.id, second.id]
    left = [event.upload.id for event in await context.info.outbox() if event.type is EventType.FINISHED]
    assert left == [second.id]


async def test_a_cancellation_inside_of_a_callback_ends_no_courier(context: Context) -> None:
    upload = await uploaded(context)

    async def tell(event: Event) -> None:
        raise asyncio.CancelledError

    await Courier(context.info, CallbackSink({EventType.FINISHED: tell})).deliver()
    assert [event.upload.id for event in await context.info.outbox()] == [upload.id]


async def test_more_failing_events_than_are_looked_at_in_a_round_hold_up_nobody(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "BATCH", 4)
    failing = {(await uploaded(context)).id for _ in range(9)}
    told: list[str] = []

    async def tell(event: Event) -> None:
        if event.upload.id in failing:
            raise RuntimeError("never")
        told.append(event.upload.id)

    courier = Courier(context.info, CallbackSink({EventType.FINISHED: tell}))
    upload = await uploaded(context)
    for _ in range(12):
        await courier.deliver()
    assert told == [upload.id]


async def test_what_is_tried_again_waits_for_what_is_new_and_takes_little_of_a_round(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(deliveries, "AGAIN_SECONDS", 0.05)
    failing = {(await uploaded(context)).id for _ in range(6)}
    told: list[str] = []

    async def tell(event: Event) -> None:
        told.append(event.upload.id)
        if event.upload.id in failing:
            await asyncio.sleep(0.04)
            raise RuntimeError("never")

    courier = Courier(context.info, CallbackSink({EventType.FINISHED: tell}))
    await courier.deliver()
    upload = await uploaded(context)
    told.clear()
    await courier.deliver()
    assert told[0] == upload.id
    assert 2 <= len(told) <= 1 + 2
