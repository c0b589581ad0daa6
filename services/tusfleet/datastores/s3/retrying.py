"""Calls that are made again: later and later, at random moments, and never more of them than the service can bear.

Each call has its own limit in time. All calls of a process share a budget: a retry takes one from it, ten calls that
succeed bring one back. When most calls fail the budget is soon empty, and the service gets one attempt a call instead
of a storm; when few fail nobody notices it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from tusfleet.datastores.s3.failures import S3Failure

FIRST_PAUSE = 0.1
"""Longest pause in seconds before the second attempt; it doubles with each."""

LONGEST_PAUSE = 5.0
"""Longest pause in seconds."""

THROTTLED_PAUSE = 0.5
"""Longest first pause when the service asks for fewer calls."""

REFUND = 0.1
"""What a call that succeeds brings back: one retry is earned by ten of them."""

T = TypeVar("T")


class Watch(Protocol):
    """Is told what happens; metrics are made of it."""

    def request(self, operation: str, outcome: str, seconds: float) -> None:
        """Count one attempt: `ok`, `refused` (an answer that is no failure of the service), `failed` or `cancelled`."""

    def retried(self, operation: str) -> None:
        """Count one attempt that follows another."""


class Unwatched:
    """A `Watch` that nobody reads."""

    def request(self, operation: str, outcome: str, seconds: float) -> None:
        """Do nothing."""

    def retried(self, operation: str) -> None:
        """Do nothing."""


class RetryBudget:
    """Retries that all calls of this process may make.

    Parameters:
        size: most that can be saved up; it begins full.
    """

    def __init__(self, size: int) -> None:
        self._size = float(size)
        self._left = float(size)

    def take(self) -> bool:
        """Take one retry; False when there is none left."""
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def earned(self) -> None:
        """Take note of a call that succeeded."""
        self._left = min(self._size, self._left + REFUND)


class Retrying:
    """Makes calls until they succeed, fail for good, or have taken too long.

    Parameters:
        budget: shared by all calls.
        seconds: longest time of a call with all of its attempts.
        chance: gives a random number from 0 to 1.
        watch: is told of every attempt.
    """

    def __init__(self, budget: RetryBudget, seconds: float, chance: Callable[[], float], watch: Watch) -> None:
        self._budget = budget
        self._seconds = seconds
        self._chance = chance
        self._watch = watch

    async def run(self, operation: str, attempt: Callable[[], Awaitable[T]], seconds: float | None = None) -> T:
        """Make a call.

        Parameters:
            seconds: another limit for it.

        Raises:
            S3Failure: the last one.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (self._seconds if seconds is None else seconds)
        longest = 0.0
        while True:
            started = loop.time()
            outcome = "cancelled"
            try:
                result = await attempt()
                outcome = "ok"
            except S3Failure as failure:
                outcome = "failed" if failure.passing or failure.status >= 500 else "refused"
                longest = self._longer(longest, failure)
                pause = longest * self._chance()
                if not failure.passing or loop.time() + pause > deadline or not self._budget.take():
                    raise
            else:
                self._budget.earned()
                return result
            finally:
                self._watch.request(operation, outcome, loop.time() - started)
            await asyncio.sleep(pause)
            self._watch.retried(operation)

    @staticmethod
    def _longer(pause: float, failure: S3Failure) -> float:
        first = THROTTLED_PAUSE if failure.throttled else FIRST_PAUSE
        return min(LONGEST_PAUSE, max(first, 2 * pause))
