"""Who of one gateway is next at an upload: first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """One turn at a time for each id."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    async def take(self, id: str) -> None:
        """Wait for one's turn at `id`; `give` comes after it."""
        line = self._waiting.get(id)
        if line is None:
            self._waiting[id] = deque()
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.give(id)  # it came in the moment of the cancellation
            else:
                line.remove(turn)
            raise

    def give(self, id: str) -> None:
        """Pass the turn on to the next in line."""
        line = self._waiting[id]
        while line:
            turn = line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._waiting[id]

    def end(self, error: type[Exception]) -> None:
        """Send everybody in line away with an error."""
        for line in self._waiting.values():
            while line:
                turn = line.popleft()
                if not turn.done():
                    turn.set_exception(error())
