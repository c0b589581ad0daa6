"""Whether anybody is told of events, where several processes share one outbox and few of them deliver.

A janitor has no functions of its own to call, but what it does to uploads happens all the same: it puts events into the
outbox as long as some process of the fleet delivers them.
"""

from __future__ import annotations

import asyncio
import logging

from tusfleet.observability.logs import LOGGER
from tusfleet.uploads.context import Context
from tusfleet.uploads.errors import UploadError
from tusfleet.uploads.ports import Shared

logger = logging.getLogger(LOGGER)

SAY_SECONDS = 3600.0
"""Pause between two times that a process says it delivers events: what it says is remembered for days."""

ASK_SECONDS = 5.0
"""Pause between two looks whether some other process does."""


async def begin(context: Context, *, delivers: bool) -> None:
    """Find out, at the start, whether events are to be put into the outbox; `delivers` when this process delivers."""
    context.record_events = delivers
    if isinstance(context.info, Shared):
        try:
            context.record_events = await _once(context.info, delivers=delivers)
        except UploadError as error:
            # An event for nobody is soon out of the way; one that is missing is missed.
            context.record_events = True
            logger.warning("Whether anybody is told of events is not known: %s", error.detail)


async def go_on(context: Context, *, delivers: bool) -> None:
    """Say so again and again, or ask again and again, until cancelled."""
    info = context.info
    assert isinstance(info, Shared)
    while True:
        pause = ASK_SECONDS
        try:
            context.record_events = await _once(info, delivers=delivers)
            pause = SAY_SECONDS if delivers else ASK_SECONDS
        except UploadError:
            pass  # other things tell of a store that is away
        await asyncio.sleep(pause)


async def _once(info: Shared, *, delivers: bool) -> bool:
    if delivers:
        await info.listen()
        return True
    return await info.listened()
