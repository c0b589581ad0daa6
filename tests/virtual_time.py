"""Coroutines in virtual time: whatever waits on the event loop's clock takes no time at all.

For code that only waits; real sockets answer in real time, and would seem to take hours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import looptime

Result = TypeVar("Result")


def run(coroutine: Coroutine[Any, Any, Result], most_seconds: float = 86400.0) -> Result:
    """Run a coroutine in a loop of its own; one that takes longer than so many virtual seconds hangs, and fails."""

    def loop() -> asyncio.AbstractEventLoop:
        made = looptime.new_event_loop()
        made.setup_looptime(start=0, end=most_seconds, _enabled=True)
        return made

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(coroutine)


def now() -> float:
    """Virtual seconds since the loop began."""
    return asyncio.get_running_loop().time()
