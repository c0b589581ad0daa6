"""A queue of keys: each is in it once, and never in the hands of two workers.

Level-triggered: a key says "look at this", not what happened. Whoever looks sees how things are.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict

from tusfleet_operator.cluster.store import Name

Key = Name
"""Namespace and name of a TusServer."""

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 120.0
"""Seconds before a key that failed is tried again; they double from the first to the longest."""

JITTER = 0.5
"""Part of a pause that is left to chance: what failed together does not come back together."""


class WorkQueue:
    """Keys that somebody has to look at.

    Parameters:
        chance: of the pauses.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._waiting: OrderedDict[Key, float] = OrderedDict()
        self._taken: set[Key] = set()
        self._again: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._something = asyncio.Event()

    def __len__(self) -> int:
        """Keys that wait for a worker."""
        return len(self._waiting) + len(self._again)

    @property
    def oldest(self) -> float:
        """Seconds for which the first key has been waiting."""
        if not self._waiting:
            return 0.0
        return asyncio.get_running_loop().time() - next(iter(self._waiting.values()))

    def add(self, key: Key) -> None:
        """Have somebody look at it soon; if somebody is looking just now, once more afterwards."""
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()
        if key in self._taken:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting[key] = asyncio.get_running_loop().time()
            self._something.set()

    def add_after(self, key: Key, seconds: float) -> None:
        """Have somebody look at it after a while, or sooner if there is another reason for it."""
        loop = asyncio.get_running_loop()
        if key in self._waiting or key in self._again:
            return
        if (timer := self._timers.get(key)) is not None:
            if timer.when() <= loop.time() + seconds:
                return
            timer.cancel()
        self._timers[key] = loop.call_later(seconds, self._due, key)

    def retry(self, key: Key, at_least: float | None = None) -> float:
        """Have somebody look again after a pause that grows with every failure; gives the pause in seconds."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        pause: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(count, 20))
        pause *= 1 - JITTER * self._chance.random()
        if at_least is not None:
            # Everybody was told the same time.
            pause = max(pause, at_least * (1 + JITTER * self._chance.random()))
        self.add_after(key, pause)
        return pause

    def succeeded(self, key: Key) -> None:
        """The next failure is the first one again."""
        self._failures.pop(key, None)

    def failures(self, key: Key) -> int:
        """How often in a row it failed."""
        return self._failures.get(key, 0)

    async def take(self) -> Key:
        """The key that has been waiting for longest; nobody else gets it until it is given back."""
        while not self._waiting:
            self._something.clear()
            await self._something.wait()
        key, _ = self._waiting.popitem(last=False)
        self._taken.add(key)
        return key

    def give_back(self, key: Key) -> None:
        """The worker is done with it, however that went."""
        self._taken.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def clear(self) -> None:
        """Forget everything that waits: somebody else does the work."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._waiting.clear()
        self._again.clear()
        self._failures.clear()

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)
