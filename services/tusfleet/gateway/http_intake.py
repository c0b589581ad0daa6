"""The memory of body bytes that have come and that nobody has taken yet: one account for all connections of a process.

Half of it is for connections that nobody reads right now: how much one may have queued follows from what is free, with
thousands that all send a few kilobytes each. The other half is for those whose readers have memory and wait for a batch
of bytes, so that no number of others can make them slow. A connection is paused by what it has itself
and read on when its reader takes that, so nobody waits for anybody else's client. The system keeps the rest, and the
sender waits.
"""

from __future__ import annotations

import threading

from tusfleet.uploads.ports import MOST_INTAKE

MOST_QUEUED = 256 * 1024
"""Most bytes that one connection may have queued while nobody reads; the system has more of them."""

LEAST_QUEUED = 4 * 1024
"""So many every connection may have queued, whatever the others have: less than it costs by itself."""

ABREAST = 8
"""Nobody gets more than this part of what is free, so that there is something left for whoever comes next."""

READ_BYTES = 256 * 1024
"""Most bytes of one read."""


class Intake(threading.local):
    """The account of the event loop that runs in this thread: a process of the gateway has one."""

    limit = MOST_INTAKE

    def __init__(self) -> None:
        self.used = 0
        self.wanted = 0
        """Bytes of those in use for which a reader waits."""
        self._scratch = memoryview(bytearray(READ_BYTES))

    def allowance(self, queued: int, wanted: int) -> int:
        """Most bytes that a connection may have queued, of which it has `queued` and a reader waits for `wanted`."""
        half = self.limit // 2
        if wanted:
            return max(LEAST_QUEUED, min(wanted, half - self.wanted + queued))
        return max(LEAST_QUEUED, min(MOST_QUEUED, (half - self.used + self.wanted) // ABREAST))

    def buffer(self, queued: int, wanted: int) -> memoryview:
        """Memory for the next read of a connection; it is good until that read is over."""
        return self._scratch[: max(LEAST_QUEUED, min(READ_BYTES, self.allowance(queued, wanted) - queued))]

    def received(self, size: int) -> bytes:
        """The first bytes of that memory, for keeps."""
        return bytes(self._scratch[:size])


def allow(limit: int) -> None:
    """Let all connections of this process together have about `limit` bytes queued."""
    Intake.limit = limit


INTAKE = Intake()
