"""Messages between the processes of one server: a pair of sockets for each, made before they are started.

They have no names, so that nothing is left behind and no path can be too long. A message that finds the queue of its
receiver full is dropped: whoever sends asks again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence

from tusfleet.observability.logs import LOGGER

logger = logging.getLogger(LOGGER)

LONGEST_MESSAGE = 1024
"""Bytes: a kind and an id, which has 128 characters at most."""

MESSAGES_AT_ONCE = 64
"""Messages read before the event loop has its turn."""

Handler = Callable[[int, bytes], None]

Pair = tuple[socket.socket, socket.socket]
"""Where one process reads, and where all others write to it."""


def pairs(count: int) -> list[Pair]:
    """The sockets of so many processes."""
    made = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(count)]
    for pair in made:
        for end in pair:
            end.setblocking(False)
    return made


class Mesh:
    """What one process sends and hears.

    Parameters:
        number: of this process, its index in `pairs`; below 256.
        pairs: of all of them.
    """

    def __init__(self, number: int, pairs: Sequence[Pair]) -> None:
        self.number = number
        self.others = [other for other in range(len(pairs)) if other != number]
        self._inbox = pairs[number][0]
        self._outboxes = [outbox for _, outbox in pairs]
        self._handlers: dict[int, Handler] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def on(self, kind: bytes, handler: Handler) -> None:
        """Have `handler` called with the sender and the rest of every message that begins with `kind`, one byte."""
        self._handlers[kind[0]] = handler

    def send(self, to: int, message: bytes) -> None:
        """Send a message to one of the others."""
        try:
            self._outboxes[to].send(bytes((self.number,)) + message)
        except OSError as error:
            logger.debug("A message to worker %d was dropped: %s", to, error)

    def spread(self, message: bytes) -> None:
        """Send a message to all of the others."""
        for other in self.others:
            self.send(other, message)

    def open(self) -> None:
        """Begin to hear, on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._inbox, self._read)

    def close(self) -> None:
        """Hear no more. Safe to repeat."""
        if self._loop is not None:
            self._loop.remove_reader(self._inbox)
            self._loop = None

    def _read(self) -> None:
        for _ in range(MESSAGES_AT_ONCE):
            try:
                data = self._inbox.recv(LONGEST_MESSAGE)
            except BlockingIOError:
                return
            handler = self._handlers.get(data[1])
            if handler is not None:
                handler(data[0], data[2:])
