from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterable
from typing import Any

import pytest

from tusfleet.gateway.body import AsgiBody, request_body
from tusfleet.uploads.models import BodyEnd

pytestmark = pytest.mark.anyio
LONG = 30.0


class Messages:
    """What a server would give; then it is silent."""

    def __init__(self, messages: Iterable[dict[str, Any]] = ()) -> None:
        self.queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.calls = 0
        self.cancelled = 0
        for message in messages:
            self.queue.put_nowait(message)

    async def __call__(self) -> dict[str, Any]:
        self.calls += 1
        try:
            return await self.queue.get()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    def add(self, body: bytes, *, more: bool = True) -> None:
        self.queue.put_nowait({"type": "http.request", "body": body, "more_body": more})


async def test_a_body_is_complete_and_receive_is_not_called_again() -> None:
    messages = Messages()
    messages.add(b"ab")
    messages.add(b"")
    messages.add(b"cd", more=False)
    body = AsgiBody(messages, LONG)
    reads, ends = [], []
    for _ in range(3):
        reads.append(await body.read(100, LONG))
        ends.append(body.end)
    assert reads == [[b"ab", b"cd"], [], []]
    assert ends == [None, BodyEnd.COMPLETE, BodyEnd.COMPLETE]
    assert messages.calls == 3


async def test_a_disconnect_comes_after_the_bytes() -> None:
    messages = Messages()
    messages.add(b"ab")
    messages.queue.put_nowait({"type": "http.disconnect"})
    body = AsgiBody(messages, LONG)
    assert await body.read(100, LONG) == [b"ab"]
    assert await body.read(100, LONG) == []
    assert body.end is BodyEnd.CUT


async def test_a_wait_that_is_over_loses_no_message() -> None:
    messages = Messages()
    messages.add(b"ab")
    body = AsgiBody(messages, LONG)
    assert await body.read(100, 0.01) == [b"ab"]
    messages.add(b"cd", more=False)
    assert await body.read(2, LONG) == [b"cd"]
    assert (messages.calls, messages.cancelled) == (2, 0)
    assert await body.read(2, 0) == []


async def test_silence_ends_it() -> None:
    messages = Messages()
    body = AsgiBody(messages, 0.01)
    assert await body.read(100, LONG) == []
    assert body.end is BodyEnd.STALLED
    await _until_cancelled(messages)


async def test_an_interrupted_reader_wakes_and_the_server_is_left_alone() -> None:
    messages = Messages()
    body = AsgiBody(messages, LONG)
    reading = asyncio.create_task(body.read(100, LONG))
    while not messages.calls:
        await asyncio.sleep(0)
    body.interrupt()
    assert await reading == []
    assert body.end is BodyEnd.INTERRUPTED
    assert messages.cancelled == 1


async def test_what_arrived_is_given_after_an_interruption() -> None:
    messages = Messages()
    messages.add(b"ab")
    body = AsgiBody(messages, LONG)
    reading = asyncio.create_task(body.read(100, LONG))
    while messages.calls < 2:
        await asyncio.sleep(0)
    body.interrupt()
    assert await reading == [b"ab"]
    assert await body.read(1, LONG) == []
    assert body.end is BodyEnd.INTERRUPTED


async def test_a_cancelled_read_loses_nothing() -> None:
    messages = Messages()
    body = AsgiBody(messages, LONG)
    reading = asyncio.create_task(body.read(100, LONG))
    while not messages.calls:
        await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    messages.add(b"ab", more=False)
    assert await body.read(100, LONG) == [b"ab"]


async def test_an_error_of_the_server_reaches_the_reader() -> None:
    async def receive() -> dict[str, Any]:
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        await AsgiBody(receive, LONG).read(1, LONG)


async def test_nothing_is_left_waiting_when_the_request_ends() -> None:
    messages = Messages()
    messages.add(b"ab")

    async def request() -> None:
        body = request_body({}, messages, LONG)
        assert await body.read(100, 0.01) == [b"ab"]

    await asyncio.create_task(request())
    await _until_cancelled(messages)


async def test_no_chunk_is_kept_while_the_client_is_silent() -> None:
    messages = Messages()
    messages.add(b"x" * 70_000)
    body = AsgiBody(messages, LONG)
    assert len((await body.read(70_000, 0))[0]) == 70_000
    reading = asyncio.create_task(body.read(1, 0))
    while messages.calls < 2:
        await asyncio.sleep(0)
    gc.collect()
    messages_alive = [
        item for item in gc.get_objects() if isinstance(item, dict) and item.get("type") == "http.request"
    ]
    assert messages_alive == []
    body.close()
    assert await reading == []


async def _until_cancelled(messages: Messages) -> None:
    for _ in range(100):
        if messages.cancelled:
            return
        await asyncio.sleep(0)
    raise AssertionError("somebody still waits for a message")
