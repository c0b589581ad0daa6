"""Requests of a walk: one to one gateway, its answer within the bound, or a connection that broke for a reason."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from tests.failure.client import BYTES, TUS, Wire
from tests.failure.walk.ground import BOUND_SECONDS, Ground
from tests.failure.walk.model import Violation
from tests.raw_http import Response

FAILED = {500, 501, 502, 504}
"""What no client may ever see: a defect, whatever broke behind the server."""

RETRIED = {423, 503}
"""What is answered while something is not as it should be; with it comes when to try again."""

SLICE_BYTES = 64 * 1024
"""Bytes of a body that are sent at a time."""


@dataclass(frozen=True)
class Answered:
    """What came of a request; `answer` is None when its connection broke."""

    gateway: int
    answer: Response | None

    @property
    def status(self) -> int:
        """Of the answer; 0 without one."""
        return 0 if self.answer is None else self.answer.status

    @property
    def unclear(self) -> bool:
        """Whether it tells nothing about what was done."""
        return self.status == 0 or self.status == 503

    def __str__(self) -> str:
        if self.answer is None:
            return "broken"
        offset = self.answer.get("upload-offset")
        return f"{self.status}" if offset is None else f"{self.status} at {offset}"


class Sending:
    """A request on its way to one gateway.

    Parameters:
        gateway: its number.
        may_break: whether its connection may end without an answer although the gateway is there.
    """

    def __init__(self, ground: Ground, gateway: int, *, may_break: bool = False) -> None:
        self.ground = ground
        self.gateway = gateway
        self.may_break = may_break
        self.began = time.monotonic()
        self._method = ""
        self._wire: Wire | None = None
        self._reset = False
        try:
            self._wire = Wire(ground.gateways[gateway], BOUND_SECONDS)
        except OSError as error:
            self._lost(error)

    def head(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        """Send the head."""
        self._method = method
        if self._wire is not None:
            try:
                self._wire.request(method, path, {**TUS, **headers})
            except OSError as error:
                self._lost(error)

    def body(self, data: bytes) -> None:
        """Send bytes of the body; a server that has refused them already may have closed the connection."""
        if self._wire is None or self._reset:
            return
        try:
            for at in range(0, len(data), SLICE_BYTES):
                self._wire.send(data[at : at + SLICE_BYTES])
        except TimeoutError:
            raise Violation(f"no byte was taken for {BOUND_SECONDS:g} s by gateway {self.gateway}") from None
        except OSError:
            self._reset = True  # its answer may have come before

    def answer(self) -> Answered:
        """Read the answer, and end the connection."""
        if self._wire is None:
            return Answered(self.gateway, None)
        try:
            response = self._wire.read(self._method)
        except TimeoutError:
            raise Violation(
                f"no answer to {self._method} within {BOUND_SECONDS:g} s by gateway {self.gateway}"
            ) from None
        except (OSError, EOFError) as error:
            self._lost(error)
            return Answered(self.gateway, None)
        finally:
            self.close()
        return self._checked(response)

    def close(self, how: str = "end") -> None:
        """End the connection: gently, or with a reset."""
        if self._wire is not None:
            self._wire.reset() if how == "reset" else self._wire.close()
            self._wire = None

    def end_of_body(self) -> None:
        """Send no more, and read the answer to what came."""
        if self._wire is not None:
            try:
                self._wire.shutdown()
            except OSError:
                self._reset = True

    def _checked(self, response: Response) -> Answered:
        seconds = time.monotonic() - self.began
        self.ground.slowest = max(self.ground.slowest, seconds)
        if response.status in FAILED:
            raise Violation(
                f"{self._method} was answered {response.status} by gateway {self.gateway}: {response.body!r}"
            )
        if response.status in RETRIED and "retry-after" not in response:
            raise Violation(f"{response.status} without Retry-After by gateway {self.gateway}: {response.body!r}")
        return Answered(self.gateway, response)

    def _lost(self, error: Exception) -> None:
        self.close()
        # A body that is refused may be answered by a reset, when the bytes cross the answer on their way.
        crossed = self._reset or (isinstance(error, ConnectionResetError) and self._method in ("PATCH", "POST"))
        if not crossed and not self.may_break and not self.ground.was_away(self.gateway, self.began):
            raise Violation(f"gateway {self.gateway} broke a connection ({self._method}): {error!r}") from error


def asked(
    ground: Ground, gateway: int, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> Answered:
    """One request, from its head to its answer."""
    # A download that S3 breaks off breaks off.
    sending = Sending(ground, gateway, may_break=method == "GET" and ground.proxy is not None)
    sending.head(method, path, {"Content-Length": str(len(body)), **(headers or {})})
    sending.body(body)
    return sending.answer()


def patching(offset: int, length: int, **fields: str) -> dict[str, str]:
    """The fields of a PATCH; names in `fields` have underscores for hyphens."""
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    return {**BYTES, "Upload-Offset": str(offset), "Content-Length": str(length), **named}
