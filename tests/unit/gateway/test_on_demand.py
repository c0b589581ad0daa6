from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from tusfleet.gateway.dispatch import Application
from tusfleet.gateway.on_demand import OnDemand

pytestmark = pytest.mark.anyio


class Made:
    """Makes an application, and notes where and for whom."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.threads: list[threading.Thread] = []
        self.asked: list[object] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def __call__(self) -> Application:
        self.threads.append(threading.current_thread())
        assert self.go_on.wait(10)
        if self.failures:
            raise self.failures.pop()
        return self.application

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(scope)


async def test_it_is_made_once_and_in_a_thread() -> None:
    made = Made()
    application = OnDemand(made)
    assert made.threads == []
    await asyncio.gather(*(application(number, None, None) for number in range(5)))
    await application(5, None, None)
    assert sorted(made.asked, key=str) == [0, 1, 2, 3, 4, 5]
    assert len(made.threads) == 1
    assert made.threads[0] is not threading.current_thread()


async def test_a_request_that_is_given_up_leaves_it_to_the_others() -> None:
    made = Made()
    made.go_on.clear()
    application = OnDemand(made)
    first = asyncio.create_task(application("first", None, None))
    second = asyncio.create_task(application("second", None, None))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    made.go_on.set()
    await second
    assert made.asked == ["second"]
    assert len(made.threads) == 1


async def test_after_a_failure_the_next_request_tries_again() -> None:
    made = Made(ImportError("no memory"))
    application = OnDemand(made)
    with pytest.raises(ImportError):
        await application("first", None, None)
    await application("second", None, None)
    assert made.asked == ["second"]
