"""What a walk goes over: three gateways, a Redis, a store behind a proxy; and when which gateway was away."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from tests.failure.fleet.stores import Place
from tests.failure.walk.journal import Journal
from tests.servers import Server
from tests.testbed.faults import S3Proxy
from tests.testbed.redis_node import RedisNode

LEASE_SECONDS = 1.5
"""So soon the lease of a gateway that was killed or frozen is free."""

FLAGS = (
    *("--lease-ttl", f"{LEASE_SECONDS:g}s", "--lock-timeout", "4s", "--redis-patience", "3s"),
    *("--s3-retry-time", "5s", "--s3-read-timeout", "10s", "--body-idle-timeout", "6s", "--drain-grace", "5s"),
    *(
        "--downloads",
        "any",
        "--sweep-interval",
        "500ms",
        "--s3-abandoned-after",
        "2s",
        "--checkpoint-interval",
        "100ms",
    ),
)
"""Everything that waits, waits shorter than usual, so that a walk meets it often."""

BOUND_SECONDS = 35.0
"""In which every request has its answer. It may have to wait for a lease (4 s) and for each of several steps that need
Redis (3 s) or S3 (5 s), while its gateway is frozen for 4 s; the rest is for a busy machine."""


@dataclass
class Ground:
    """The fleet of a walk."""

    place: Place
    gateways: list[Server]
    redis: RedisNode
    journal: Journal
    proxy: S3Proxy | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    violations: list[str] = field(default_factory=list)
    slowest: float = 0.0
    _away: list[tuple[int, float, float]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def leaving(self, number: int) -> int:
        """Take note that a gateway is going to be away; gives what `back` takes."""
        with self._lock:
            self._away.append((number, time.monotonic(), float("inf")))
            return len(self._away) - 1

    def back(self, absence: int) -> None:
        """Take note that it serves again."""
        with self._lock:
            number, began, _ = self._away[absence]
            self._away[absence] = (number, began, time.monotonic())

    def was_away(self, number: int, since: float) -> bool:
        """Whether a gateway was killed, frozen or ended since then, so that its connections may have broken."""
        with self._lock:
            return any(which == number and until >= since for which, _, until in self._away)

    def broken(self, who: str, what: str) -> None:
        """Take note of a violation: everybody stops."""
        self.violations.append(f"{who}: {what}")
        self.journal.note(who, f"VIOLATION {what}")
        self.stop.set()
