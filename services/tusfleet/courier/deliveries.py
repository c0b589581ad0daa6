"""Takes events from the outbox to their sink, each at least once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from tusfleet.observability.logs import LOGGER
from tusfleet.uploads.errors import UploadError
from tusfleet.uploads.models import Event
from tusfleet.uploads.ports import EventSink, InfoStore

logger = logging.getLogger(LOGGER)

BATCH = 1000
"""Events looked at in one round, besides those that could not be delivered before: these hold up none of the others."""

LONGEST_LOOK = 20_000
"""Most events looked at in one round; each takes a few KB of memory."""

AGAIN_SECONDS = 5.0
"""Time of one round for events that are tried again: they come after new ones, and hold up the next look no longer."""

POLL_SECONDS = 1.0
"""Pause between two looks into the outbox when nobody says that there is something new."""

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 300.0
"""Seconds before an event is tried again; the pause doubles from the first to the longest."""


class Courier:
    """Delivers the outbox of one info store.

    Parameters:
        info: whose outbox.
        sink: who is told.
    """

    def __init__(self, info: InfoStore, sink: EventSink) -> None:
        self._info = info
        self._sink = sink
        self._news = asyncio.Event()
        self._failures: dict[str, tuple[int, float]] = {}

    def wake(self) -> None:
        """Say that there may be something new."""
        self._news.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            self._news.clear()
            try:
                await self.deliver()
            except UploadError as error:
                logger.warning("The outbox cannot be read: %s", error.detail, extra={"reason": error.code})
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def deliver(self) -> None:
        """Deliver what is due now."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        events = await self._info.outbox(min(BATCH + len(self._failures), LONGEST_LOOK))
        self._forget(events)
        new = [event for event in events if event.id not in self._failures]
        again = [event for event in events if self._due(event, now)]
        delivered: list[str] = []
        try:
            for event in new:
                if await self._try(event, now):
                    delivered.append(event.id)  # noqa: PERF401 - known when the next one is cut short
            ends = loop.time() + AGAIN_SECONDS
            for event in again:
                if loop.time() >= ends:
                    break
                if await self._try(event, now):
                    delivered.append(event.id)
        finally:
            # Also when the server stops in between: what a slow sink has been told need not be told again.
            if delivered:
                await self._info.confirm(delivered)

    def _forget(self, events: Sequence[Event]) -> None:
        present = {event.id for event in events}
        self._failures = {id: failure for id, failure in self._failures.items() if id in present}

    def _due(self, event: Event, now: float) -> bool:
        """Whether an event that could not be delivered is to be tried again."""
        failure = self._failures.get(event.id)
        return failure is not None and failure[1] <= now

    async def _try(self, event: Event, now: float) -> bool:
        try:
            await self._sink.deliver(event)
        except (Exception, asyncio.CancelledError):
            # The sink is somebody else's code: whatever goes wrong there, the event is kept and tried again.
            if _ending():
                raise
            attempts = self._failures.get(event.id, (0, 0.0))[0] + 1
            pause = min(FIRST_PAUSE * 2 ** (attempts - 1), LONGEST_PAUSE)
            self._failures[event.id] = (attempts, now + pause)
            logger.exception(
                "%s could not be told of %s; it is tried again in %g s",
                self._sink.name,
                event.type.value,
                pause,
                extra={"upload_id": event.upload.id},
            )
            return False
        self._failures.pop(event.id, None)
        return True


def _ending() -> bool:
    """Whether this task itself is being cancelled, rather than something that it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
