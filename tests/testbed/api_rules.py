"""What may happen to a request on its way to the API server, and which requests it happens to."""

from __future__ import annotations

import asyncio
import json
import random
import re
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Literal

from tests.servers import eventually
from tests.testbed.api_requests import ApiRequest

Where = Callable[[ApiRequest], bool]

ANY = "any verb"


@dataclass(frozen=True)
class Refuse:
    """Answered with a Status of this code. The server never hears of it; `after_success`, it does it all the same.

    `retry_after` is in seconds. On a watch it is the HTTP status; an event with an error is `WatchError`.
    """

    code: int
    reason: str
    message: str = "told by the proxy of the tests"
    retry_after: int | None = None
    after_success: bool = False

    def status(self) -> bytes:
        """The body, as the API server writes it."""
        return json.dumps(
            {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Failure",
                "message": self.message,
                "reason": self.reason,
                "code": self.code,
                "details": {"retryAfterSeconds": self.retry_after} if self.retry_after else {},
            }
        ).encode()


CONFLICT = Refuse(409, "Conflict", "the object has been modified; please apply your changes to the latest version")
TOO_MANY_REQUESTS = Refuse(429, "TooManyRequests", retry_after=1)
GONE = Refuse(410, "Expired", "too old resource version")
UNAUTHORIZED = Refuse(401, "Unauthorized")
FORBIDDEN = Refuse(403, "Forbidden")
INTERNAL_ERROR = Refuse(500, "InternalError")
UNAVAILABLE = Refuse(503, "ServiceUnavailable")


@dataclass(frozen=True)
class Reset:
    """The connection is reset before the server hears of it."""


@dataclass(frozen=True)
class LoseReply:
    """The server does it; then the client's connection is reset, with nothing of the reply."""


@dataclass(frozen=True)
class Delay:
    """So many seconds pass before anything is forwarded."""

    seconds: float


@dataclass(frozen=True)
class Hold:
    """Nothing moves until `ApiRule.release`: before anything is forwarded, or when the server has done it.

    What a client that has died meanwhile had sent still goes on to the server, as bytes in a network do.
    """

    when: Literal["before", "after"] = "before"


@dataclass(frozen=True)
class CutWatch:
    """The watch ends after so many events: as the server ends one, or `cleanly=False`, in the middle of the next."""

    after: int = 0
    cleanly: bool = True


@dataclass(frozen=True)
class WatchError:
    """After so many events comes one of the type ERROR, and the watch ends."""

    after: int = 0
    error: Refuse = GONE


Fault = Refuse | Reset | LoseReply | Delay | Hold | CutWatch | WatchError


@dataclass
class ApiRule:
    """A fault for some of the requests that it meets: `times` of them from the `at`-th on, each with `probability`.

    `times` None: every one from then on. What chance decides depends on the seed and the order of requests alone.
    """

    verbs: Collection[str]
    path: re.Pattern[str]
    fault: Fault
    loop: asyncio.AbstractEventLoop
    at: int = 1
    times: int | None = 1
    probability: float = 1.0
    seed: int = 0
    where: Where | None = None
    seen: int = 0
    struck: list[ApiRequest] = field(default_factory=list)
    _released: asyncio.Event = field(default_factory=asyncio.Event)
    _removed: threading.Event = field(default_factory=threading.Event)
    _chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def meets(self, request: ApiRequest) -> bool:
        """Count the request, and say whether the fault happens to it."""
        if ANY not in self.verbs and request.verb not in self.verbs:
            return False
        if not self.path.search(request.path) or (self.where and not self.where(request)):
            return False
        self.seen += 1
        return (
            self._chance.random() < self.probability
            and not self._removed.is_set()
            and self.seen >= self.at
            and (self.times is None or self.seen < self.at + self.times)
        )

    def strike(self, request: ApiRequest) -> None:
        """Note that it happens now."""
        request.fault = type(self.fault).__name__
        self.struck.append(request)

    def wait(self, seconds: float = 20.0) -> ApiRequest:
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
