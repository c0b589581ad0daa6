"""One answer on the wire: its head, and the framing of its body (RFC 9112 section 6)."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from functools import lru_cache

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from tusfleet.gateway.http_framing import BAD_VALUE, TOKEN

Fields = Iterable[tuple[bytes, bytes]]

BODILESS = frozenset({204, 304})
"""Statuses whose answers have no body (RFC 9110 sections 15.3.5 and 15.4.5)."""


class Framing(enum.Enum):
    """How the client finds the end of the body."""

    UNDECIDED = enum.auto()
    NONE = enum.auto()
    LENGTH = enum.auto()
    CHUNKED = enum.auto()
    CLOSE = enum.auto()


class Answer:
    """Turns a status, fields and pieces of a body into bytes.

    The head goes out with the first piece, in one packet; a body that comes in one piece gets a Content-Length.

    Parameters:
        method: of the request.
        http10: whether the client speaks HTTP/1.0 only, and so knows no chunks.
        keep_alive: whether the connection stays; it may still become False.
    """

    __slots__ = ("_head", "framing", "http10", "keep_alive", "left", "method", "started")

    def __init__(self, method: str, *, http10: bool, keep_alive: bool) -> None:
        self.method = method
        self.http10 = http10
        self.keep_alive = keep_alive
        self.framing = Framing.UNDECIDED
        self.left = 0
        self.started = False
        self._head: list[bytes] | None = None

    @property
    def sent(self) -> bool:
        """Whether anything of it is on the wire."""
        return self.started and self._head is None

    def start(self, status: int, defaults: Fields, fields: Iterable[tuple[bytes, bytes]]) -> None:
        """Make the head; `Connection` is not for the application to say, but for its wish to close.

        Raises:
            RuntimeError: a field that HTTP does not allow.
            ValueError: a Content-Length that is no number.
        """
        head = [STATUS_LINE[status], *field_lines(defaults)]
        framing = Framing.UNDECIDED
        for name, value in fields:
            beginning = _beginning(name)
            if beginning == b"connection: ":
                self.keep_alive = self.keep_alive and b"close" not in value.lower()
                continue
            if beginning == b"content-length: ":
                framing, self.left = Framing.LENGTH, int(value)
            elif beginning == b"transfer-encoding: ":
                framing = Framing.CHUNKED
            head += (beginning, _checked(name, value), b"\r\n")
        if self.method == "HEAD" or status in BODILESS:
            framing = Framing.NONE
        self.framing, self._head, self.started = framing, head, True

    def piece(self, data: bytes, *, more: bool) -> list[bytes]:
        """The bytes for the next piece of the body.

        Raises:
            RuntimeError: longer or shorter than the Content-Length.
        """
        self.count(len(data))
        output = self.head(None if more else len(data))
        if self.framing is Framing.CHUNKED:
            if data:
                output += [b"%x\r\n" % len(data), data, b"\r\n"]
            if not more:
                output.append(b"0\r\n\r\n")
        elif self.framing is not Framing.NONE and data:
            output.append(data)
        if not more and self.framing is Framing.LENGTH and self.left:
            raise RuntimeError("The response is shorter than its Content-Length")
        return output

    def head(self, size: int | None) -> list[bytes]:
        """The head, once; `size` is that of the whole body, None when it is not known."""
        if self._head is None:
            return []
        head, self._head = self._head, None
        if self.framing is Framing.UNDECIDED:
            head += self._decide(size)
        if not self.keep_alive:
            head.append(b"connection: close\r\n")
        head.append(b"\r\n")
        return head

    def count(self, size: int) -> None:
        """Take note of bytes that are about to be sent.

        Raises:
            RuntimeError: longer than the Content-Length.
        """
        if self.framing is Framing.LENGTH:
            if size > self.left:
                raise RuntimeError("The response is longer than its Content-Length")
            self.left -= size

    def _decide(self, size: int | None) -> list[bytes]:
        if size is not None:
            self.framing = Framing.LENGTH
            return [b"content-length: %d\r\n" % size]
        if self.http10:
            self.framing, self.keep_alive = Framing.CLOSE, False
            return []
        self.framing = Framing.CHUNKED
        return [b"transfer-encoding: chunked\r\n"]


def field_lines(fields: Fields) -> list[bytes]:
    """Fields as lines.

    Raises:
        RuntimeError: a name or value that HTTP does not allow.
    """
    lines: list[bytes] = []
    for name, value in fields:
        lines += (_beginning(name), _checked(name, value), b"\r\n")
    return lines


@lru_cache(maxsize=256)
def _beginning(name: bytes) -> bytes:
    """How the line of a field begins; of the few names that there are, each is looked at once."""
    if TOKEN.fullmatch(name) is None:
        raise _refused(name)
    return name.lower() + b": "


def _checked(name: bytes, value: bytes) -> bytes:
    if BAD_VALUE.search(value) is not None:
        raise _refused(name)
    return value


def _refused(name: bytes) -> RuntimeError:
    return RuntimeError(f"The field {name!r} of a response has a name or value that HTTP does not allow")
