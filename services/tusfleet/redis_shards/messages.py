"""What gateways tell each other through Redis. A message may be lost: whoever waits for one looks for itself, too."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from redis.asyncio.connection import AbstractConnection

from tusfleet.observability.logs import LOGGER
from tusfleet.redis_shards.failures import FAILURES
from tusfleet.redis_shards.shards import Shards
from tusfleet.uploads.errors import Unavailable

logger = logging.getLogger(LOGGER)

SILENCE = 5.0
"""Seconds without a message after which the server is asked whether it is still there."""


class Messages:
    """The messages to one gateway.

    Parameters:
        shards: the store, and the gateway whose channel it is.
        receive: is called with the word and what it is about.
    """

    def __init__(self, shards: Shards, receive: Callable[[str, str], None]) -> None:
        self._shards = shards
        self._channel = shards.layout.channels + shards.gateway
        self._receive = receive
        self.listening = asyncio.Event()

    async def run(self) -> None:
        """Listen until cancelled."""
        attempt = 0
        while True:
            try:
                connection = await self._shards.servers.listener()
            except (*FAILURES, Unavailable) as error:
                self._told(attempt, error)
            else:
                try:
                    await self._listen(connection)
                except FAILURES as error:
                    attempt = 0 if self.listening.is_set() else attempt
                    self._told(attempt, error)
                finally:
                    self.listening.clear()
                    await connection.disconnect(nowait=True)
            await asyncio.sleep(self._shards.pause(attempt))
            attempt += 1

    async def _listen(self, connection: AbstractConnection) -> None:
        await connection.send_command("SUBSCRIBE", self._channel)
        asked = False
        while True:
            answer = await self._next(connection)
            if answer is None:
                if asked:
                    raise TimeoutError("Redis does not answer in time")
                asked = True
                await connection.send_command("PING")
                continue
            asked = False
            if answer[0] == "subscribe":
                self.listening.set()
            elif answer[0] == "message":
                word, _, about = answer[2].partition(" ")
                self._receive(word, about)

    async def _next(self, connection: AbstractConnection) -> Any:
        """The next message; None when there is none for a while."""
        try:
            # With a time limit of its own, a read that ends without an answer leaves the connection as it was.
            return await connection.read_response(timeout=SILENCE)
        except TimeoutError:
            return None

    def _told(self, attempt: int, error: Exception) -> None:
        if attempt == 0:
            reason = self._shards.refusal(error)
            logger.warning("Messages between gateways do not come through: %s", reason, extra={"reason": "unavailable"})
