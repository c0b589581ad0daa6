"""What may happen to a request on its way to S3, and which requests it happens to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from tests.servers import eventually
from tests.testbed.s3_operations import S3Request

Where = Callable[[S3Request], bool]

ANY = "any operation"


@dataclass(frozen=True)
class Refuse:
    """Answered with an error of S3. The server never hears of it; `after_success`, it does all the same.

    `retry_after` is in seconds.
    """

    status: int
    code: str
    after_success: bool = False
    retry_after: int | None = None


SLOW_DOWN = Refuse(503, "SlowDown")
INTERNAL_ERROR = Refuse(500, "InternalError")
NO_SUCH_UPLOAD = Refuse(404, "NoSuchUpload")


@dataclass(frozen=True)
class LoseReply:
    """The server does it; then the client's connection is reset, with nothing of the reply."""


@dataclass(frozen=True)
class CutBody:
    """After so many bytes of the body both connections are reset."""

    after: int


@dataclass(frozen=True)
class Delay:
    """So many seconds pass before anything is forwarded."""

    seconds: float


@dataclass(frozen=True)
class Corrupt:
    """One byte of the body (as on the wire) is another one; without a position, the one in the middle."""

    position: int | None = None


@dataclass(frozen=True)
class Hold:
    """Nothing moves until `Rule.release`: before anything is forwarded, or when the server has done it.

    What a client that has died meanwhile had sent still goes on to the server, as bytes in a network do.
    """

    when: Literal["before", "after"] = "before"


Fault = Refuse | LoseReply | CutBody | Delay | Corrupt | Hold


@dataclass
class Rule:
    """A fault for some requests: from the `at`-th of an operation on, counted since the rule was made, `times` of them.

    `times` None: every one from then on. `where` narrows down which requests count.
    """

    operation: str
    fault: Fault
    loop: asyncio.AbstractEventLoop
    at: int = 1
    times: int | None = 1
    where: Where | None = None
    seen: int = 0
    struck: list[S3Request] = field(default_factory=list)
    _released: asyncio.Event = field(default_factory=asyncio.Event)
    _removed: threading.Event = field(default_factory=threading.Event)

    def meets(self, request: S3Request) -> bool:
        """Count the request, and say whether the fault happens to it."""
        if self.operation not in (ANY, request.operation) or (self.where and not self.where(request)):
            return False
        self.seen += 1
        return (
            not self._removed.is_set()
            and self.seen >= self.at
            and (self.times is None or self.seen < self.at + self.times)
        )

    def wait(self, seconds: float = 20.0) -> S3Request:
        """Wait until it has struck (for `Hold`: until the request is held), and give the request."""
        return eventually(lambda: self.struck[:1], seconds)[0]

    def remove(self) -> None:
        """It happens to no more requests; those that are held go on."""
        self._removed.set()
        self.release()

    def release(self) -> None:
        """What is held goes on, and is not held again."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._released.set)

    async def released(self) -> None:
        """Wait for `release`."""
        await self._released.wait()
