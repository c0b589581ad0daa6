"""When to try again, how long to wait before, and when to give up."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import TypeVar

from tusfleet.cli.failures import ServerFailure, Stopped, Transient
from tusfleet.cli.text import clock_text

FIRST_DELAY = 0.2
LONGEST_DELAY = 5.0
"""Backoff in seconds: a server that restarts is met soon, one that is down is asked every few seconds."""

PATIENCE = 60.0
"""Seconds without any progress after which the command gives up, unless told otherwise."""

Result = TypeVar("Result")


class Heartbeat:
    """The last moment at which anything moved; the parts of one transfer share it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last = clock()

    def beat(self) -> None:
        self._last = self._clock()

    def age(self) -> float:
        return self._clock() - self._last


class Patience:
    """Retries one stream of requests as long as there is progress: bytes beyond all that were sent before.

    Parameters:
        heart: shared with the other parts of the transfer.
        give_up_after: seconds without progress.
        retries: most tries in a row without progress; None for no such limit.
        stop: ends the waiting, because the whole has failed.
        notify: gets a clause about what happened and how long it waits.
        spread: random number from 0 to 1, so that clients cut off together do not come back together.
    """

    def __init__(
        self,
        heart: Heartbeat,
        *,
        give_up_after: float,
        retries: int | None,
        stop: threading.Event,
        notify: Callable[[str], None],
        spread: Callable[[], float] = random.random,
    ) -> None:
        self._heart = heart
        self._give_up_after = give_up_after
        self._retries = retries
        self._stop = stop
        self._notify = notify
        self._spread = spread
        self._furthest = 0
        self._failures = 0

    def moved(self, position: int) -> None:
        """Bytes up to `position` have been sent or acknowledged; only what is new counts as progress."""
        if position > self._furthest:
            self._furthest = position
            self._failures = 0
            self._heart.beat()

    def wait(self, trouble: Transient) -> None:
        """Wait before another try.

        Raises:
            ServerFailure: there was no progress for too long.
            Stopped: the whole has failed meanwhile.
        """
        self._failures += 1
        age = self._heart.age()
        if self._retries is not None and self._failures > self._retries:
            raise ServerFailure(f"Gave up after {self._failures} tries: {trouble.reason}")
        if age >= self._give_up_after:
            raise ServerFailure(f"Gave up after {clock_text(age)} minutes without progress: {trouble.reason}")
        step = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(self._failures - 1, 10))
        delay = min(step * (0.5 + self._spread() / 2), self._give_up_after - age)
        if trouble.retry_after is not None and trouble.retry_after > delay:
            if age + trouble.retry_after > self._give_up_after:
                raise ServerFailure(
                    f"Gave up: {trouble.reason}, and asked to come back in {clock_text(trouble.retry_after)} minutes"
                )
            delay = trouble.retry_after
        self._notify(f"{trouble.reason}; trying again in {delay:.1f} s")
        if self._stop.wait(delay):
            raise Stopped

    def persist(self, action: Callable[[], Result]) -> Result:
        """Do `action` until it works.

        Raises:
            ServerFailure: there was no progress for too long.
        """
        while True:
            try:
                return action()
            except Transient as trouble:
                self.wait(trouble)


class Throttle:
    """Lets bytes pass at a steady rate; threads may share it.

    Parameters:
        rate: bytes per second; None lets all pass at once.
    """

    def __init__(self, rate: int | None, clock: Callable[[], float], stop: threading.Event) -> None:
        self._rate = rate
        self._clock = clock
        self._stop = stop
        self._lock = threading.Lock()
        self._free_at = 0.0

    def grain(self, size: int) -> int:
        """The largest slice of `size` bytes to send at once: a tenth of a second's worth."""
        return size if self._rate is None else max(1, min(size, self._rate // 10))

    def take(self, size: int) -> None:
        """Wait until `size` bytes may go.

        Raises:
            Stopped: the whole has failed meanwhile.
        """
        delay = 0.0
        if self._rate is not None:
            with self._lock:
                now = self._clock()
                start = max(now, self._free_at)
                self._free_at = start + size / self._rate
                delay = start - now
        if self._stop.wait(delay) if delay > 0 else self._stop.is_set():
            raise Stopped
