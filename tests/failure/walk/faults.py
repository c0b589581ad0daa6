"""What breaks during a walk, one thing after the other, with faults of S3 beside it."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable
from random import Random

from tests.failure.client import MIB
from tests.failure.walk.ground import LEASE_SECONDS, Ground
from tests.servers import Server
from tests.testbed.s3_faults import (
    ANY,
    INTERNAL_ERROR,
    SLOW_DOWN,
    Corrupt,
    CutBody,
    Delay,
    Fault,
    LoseReply,
    Refuse,
    Rule,
)

OPERATIONS = (
    "PutObject", "UploadPart", "UploadPart", "CreateMultipartUpload", "CompleteMultipartUpload",
    "CompleteMultipartUpload", "UploadPartCopy", "DeleteObject", "AbortMultipartUpload", "GetObject", "HeadObject", ANY,
)  # fmt: skip

SICK = "Error: The S3 service"
"""How a gateway says that it cannot start because of S3."""

START_SECONDS = 60.0

OUTAGE_SECONDS = 3.0
"""Of Redis, at most: long enough for every lease to run out."""

WITH_BODY = ("PutObject", "UploadPart")


class Faults:
    """Who breaks things.

    Parameters:
        numbers: decide what breaks, for how long, and when.
    """

    name = "faults"

    def __init__(self, ground: Ground, numbers: Random) -> None:
        self.ground = ground
        self.numbers = numbers
        self.counts: Counter[str] = Counter()
        self._rules: list[Rule] = []

    def walk(self) -> None:
        """Break things until it is time to stop; what was away is back then."""
        kinds: list[tuple[int, Callable[[], None]]] = [
            (3, self.kill),
            (2, self.freeze),
            (1, self.end_gently),
            (1, self.restart_redis),
            (1, self.freeze_redis),
            (10 if self.ground.proxy else 0, self.of_s3),
        ]
        while not self.ground.stop.wait(self.numbers.uniform(0.1, 2.0)):
            (kind,) = self.numbers.choices([kind for _, kind in kinds], [weight for weight, _ in kinds])
            try:
                kind()
            except Exception as error:  # noqa: BLE001 - whatever it is, nobody may take the walk for a pass
                self.ground.broken(self.name, f"it could not be carried out: {error!r}")
            self.counts[kind.__name__] += 1

    def told(self) -> str:
        """What was done, and which faults of S3 met a request."""
        struck = Counter(type(rule.fault).__name__ for rule in self._rules for _ in rule.struck)
        return f"{dict(sorted(self.counts.items()))}, requests to S3 that met a fault: {dict(sorted(struck.items()))}"

    def _note(self, what: str) -> None:
        self.ground.journal.note(self.name, what)

    def _gateway(self) -> int:
        return self.numbers.randrange(len(self.ground.gateways))

    def kill(self) -> None:
        """A gateway is killed, and comes back after a while."""
        number, pause = self._gateway(), self.numbers.choice((0.0, self.numbers.uniform(0, 2 * LEASE_SECONDS)))
        self._note(f"kill gateway {number} for {pause:.2f} s")
        absence = self.ground.leaving(number)
        gateway = self.ground.gateways[number]
        gateway.kill()
        self.ground.stop.wait(pause)
        self._start(gateway)
        self.ground.back(absence)
        self._note(f"gateway {number} is back")

    def _start(self, gateway: Server) -> None:
        """Start it, again and again as long as it ends because S3 fails, as whatever looks after it would do."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                gateway.start()
                return
            except AssertionError:
                if SICK not in gateway.log() or time.monotonic() > deadline:
                    raise
                self._note(f"{gateway.folder.name} did not start: {gateway.log()!r}")
                self.counts["start that S3 refused"] += 1

    def freeze(self) -> None:
        """A gateway stands still for longer than its leases, mostly."""
        number, pause = self._gateway(), self.numbers.uniform(0.5, 2.5) * LEASE_SECONDS
        self._note(f"freeze gateway {number} for {pause:.2f} s")
        absence = self.ground.leaving(number)
        gateway = self.ground.gateways[number]
        gateway.process.send_signal(signal.SIGSTOP)
        self.ground.stop.wait(pause)
        gateway.process.send_signal(signal.SIGCONT)
        self.ground.back(absence)
        self._note(f"gateway {number} goes on")

    def end_gently(self) -> None:
        """A gateway is asked to end, does so, and comes back."""
        number = self._gateway()
        self._note(f"end gateway {number}")
        absence = self.ground.leaving(number)
        gateway = self.ground.gateways[number]
        gateway.terminate()
        self._start(gateway)
        self.ground.back(absence)
        self._note(f"gateway {number} is back")

    def restart_redis(self) -> None:
        """Redis is killed; all that it had acknowledged is there again."""
        pause = self.numbers.choice((0.0, self.numbers.uniform(0, OUTAGE_SECONDS)))
        self._note(f"kill Redis for {pause:.2f} s")
        self.ground.redis.kill()
        self.ground.stop.wait(pause)
        self.ground.redis.start()
        self._note("Redis is back")

    def freeze_redis(self) -> None:
        """Redis stands still: nobody can renew a lease."""
        pause = self.numbers.uniform(0.3, OUTAGE_SECONDS)
        self._note(f"freeze Redis for {pause:.2f} s")
        self.ground.redis.pause()
        self.ground.stop.wait(pause)
        self.ground.redis.resume()
        self._note("Redis goes on")

    def of_s3(self) -> None:
        """Some of the next requests of a kind to S3 fail in a way."""
        assert self.ground.proxy is not None
        operation = self.numbers.choice(OPERATIONS)
        faults: list[Fault] = [
            SLOW_DOWN,
            Refuse(503, "SlowDown", retry_after=1),
            INTERNAL_ERROR,
            Refuse(500, "InternalError", after_success=True),
            LoseReply(),
            LoseReply(),
            Delay(self.numbers.uniform(0.1, 2.5)),
        ]
        if operation in WITH_BODY:
            faults += [CutBody(self.numbers.randint(0, 4 * MIB)), CutBody(self.numbers.randint(0, 4 * MIB)), Corrupt()]
        if operation == "CompleteMultipartUpload":
            faults.append(Refuse(404, "NoSuchUpload", after_success=True))
        fault, at = self.numbers.choice(faults), self.numbers.randint(1, 4)
        times = self.numbers.choice((1, 1, 2, 3, 6))
        self._note(f"S3: {operation}, {fault}, from number {at} on, {times} times")
        self._rules.append(self.ground.proxy.rule(operation, fault, at=at, times=times))
