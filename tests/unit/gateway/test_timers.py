"""Deadlines of connections: many in one timer of the loop, none early, none lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tusfleet.gateway.http_flow import TICK, Timer

pytestmark = pytest.mark.anyio

ROOM = 5.0
"""Seconds by which a busy machine may be late."""


async def test_deadlines_that_are_close_share_a_timer_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    armed: list[float] = []
    call_at = loop.call_at

    def counting(when: float, *arguments: Any, **more: Any) -> asyncio.TimerHandle:
        armed.append(when)
        return call_at(when, *arguments, **more)

    monkeypatch.setattr(loop, "call_at", counting)
    timers = [Timer(loop) for _ in range(100)]
    for timer in timers:
        timer.set(60, armed.clear)
    # All of them are set at once, or nearly so.
    assert 1 <= len(armed) <= 1 + (loop.time() - (min(armed) - 60 - TICK)) / TICK
    for timer in timers:
        timer.close()


@pytest.mark.parametrize("seconds", [0.0, 0.05, TICK, 0.25])
async def test_a_deadline_is_not_early_and_little_late(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    begun, fired = loop.time(), loop.create_future()
    Timer(loop).set(seconds, lambda: fired.set_result(loop.time()))
    took = await asyncio.wait_for(fired, ROOM) - begun
    assert seconds - 0.01 <= took < ROOM


async def test_a_deadline_that_was_moved_further_away_comes_once_and_then() -> None:
    loop = asyncio.get_running_loop()
    begun, fired = loop.time(), []
    timer = Timer(loop)
    timer.set(0.05, lambda: fired.append(("first", 0.0)))
    timer.set(0.4, lambda: fired.append(("second", loop.time() - begun)))
    await asyncio.sleep(0.4 + 3 * TICK)
    assert [name for name, _ in fired] == ["second"]
    assert fired[0][1] >= 0.39


async def test_a_deadline_that_was_moved_closer_comes_then() -> None:
    loop = asyncio.get_running_loop()
    fired = asyncio.Event()
    timer = Timer(loop)
    timer.set(3600, lambda: None)
    timer.set(0.05, fired.set)
    await asyncio.wait_for(fired.wait(), ROOM)


async def test_what_was_cleared_or_closed_does_not_come() -> None:
    loop = asyncio.get_running_loop()
    fired: list[str] = []
    cleared, closed, other = Timer(loop), Timer(loop), Timer(loop)
    cleared.set(0.01, lambda: fired.append("cleared"))
    closed.set(0.01, lambda: fired.append("closed"))
    other.set(0.01, lambda: fired.append("other"))
    cleared.clear()
    closed.close()
    await asyncio.sleep(3 * TICK)
    assert fired == ["other"]


async def test_a_deadline_that_fails_holds_back_no_other() -> None:
    loop = asyncio.get_running_loop()
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: told.append(context))
    fired: list[int] = []

    def fail() -> None:
        raise RuntimeError("no")

    for number in range(10):
        Timer(loop).set(0.01, fail if number % 2 else lambda: fired.append(1))
    await asyncio.sleep(3 * TICK)
    assert len(fired) == 5
    assert [str(context["exception"]) for context in told] == ["no"] * 5
