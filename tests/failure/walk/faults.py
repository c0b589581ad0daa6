"""What breaks during a walk, one thing after the other, with faults of S3 beside it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from random import Random

from tests.failure.client import MIB
from tests.failure.walk.ground import LEASE_SECONDS, Ground
from tests.testbed.s3_faults import ANY, INTERNAL_ERROR, SLOW_DOWN, Corrupt, CutBody, Delay, Fault, LoseReply, Refuse

OPERATIONS = (
    "PutObject", "UploadPart", "UploadPart", "CreateMultipartUpload", "CompleteMultipartUpload",
    "CompleteMultipartUpload", "UploadPartCopy", "DeleteObject", "AbortMultipartUpload", "GetObject", "HeadObject", ANY,
)  # fmt: skip

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
        self.count = 0

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
            self.count += 1

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
        gateway.start()
        self.ground.back(absence)
        self._note(f"gateway {number} is back")

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
        gateway.start()
        self.ground.back(absence)
        self._note(f"gateway {number} is back")

    def restart_redis(self) -> None:
        """Redis is killed; all that it had acknowledged is there again."""
        pause = self.numbers.choice((0.0, self.numbers.uniform(0, 2.0)))
        self._note(f"kill Redis for {pause:.2f} s")
        self.ground.redis.kill()
        self.ground.stop.wait(pause)
        self.ground.redis.start()
        self._note("Redis is back")

    def freeze_redis(self) -> None:
        """Redis stands still: nobody can renew a lease."""
        pause = self.numbers.uniform(0.3, 3.0)
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
        self.ground.proxy.rule(operation, fault, at=at, times=times)
