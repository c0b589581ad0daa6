"""A small HTTP/1.1 client that hides nothing: exact bytes out, every answer in, interim ones and framing included."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

SOON = 20.0
"""Seconds in which an answer comes, even on a machine that is busy with other tests."""

BODILESS = frozenset({204, 304})
FRAMING = ("content-length:", "transfer-encoding:")


@dataclass(frozen=True)
class Response:
    """One answer as it came.

    Parameters:
        status, reason: of its first line.
        fields: names in lower case and values, in order.
        body: its content, chunks put together.
    """

    status: int
    reason: str
    fields: tuple[tuple[str, str], ...]
    body: bytes = b""

    def all(self, name: str) -> list[str]:
        """Every value of a field."""
        return [value for key, value in self.fields if key == name.lower()]

    def get(self, name: str) -> str | None:
        """The value of a field, None when it is absent; it must not stand twice."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} stands {len(values)} times"
        return values[0] if values else None

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        assert value is not None, f"{name} is missing from {self}"
        return value

    def __contains__(self, name: str) -> bool:
        return bool(self.all(name))

    def json(self) -> Any:
        """The content as JSON."""
        return json.loads(self.body)


class Connection:
    """One connection to a server.

    Parameters:
        url: scheme, host and port count.
        timeout: seconds to wait for anything.
    """

    def __init__(self, url: str, timeout: float = SOON) -> None:
        parts = urlsplit(url)
        self.authority = parts.netloc
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 80), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def send(self, *data: bytes) -> None:
        """Send bytes as they are."""
        self._socket.sendall(b"".join(data))

    def offer(self, data: bytes) -> None:
        """Send what the server may refuse to take: it may have ended the connection already."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(data)

    def head(self) -> Response:
        """The head of the next answer, whatever its status.

        Raises:
            EOFError: the server ended the connection instead.
        """
        line = self._line()
        version, _, rest = line.partition(" ")
        status, _, reason = rest.partition(" ")
        assert version == "HTTP/1.1", line
        assert len(status) == 3, line
        fields = []
        while line := self._line():
            name, colon, value = line.partition(":")
            assert colon, line
            assert name == name.strip(), line
            fields.append((name.lower(), value.strip(" \t")))
        return Response(int(status), reason, tuple(fields))

    def read(self, method: str = "GET") -> Response:
        """The next final answer to a request with `method`; one interim answer before it is an error."""
        head = self.head()
        assert head.status >= 200, f"an interim answer: {head}"
        return Response(head.status, head.reason, head.fields, self._content(method, head))

    def _content(self, method: str, head: Response) -> bytes:
        coding, length = head.get("transfer-encoding"), head.get("content-length")
        assert coding is None or length is None, head
        if method == "HEAD" or head.status in BODILESS:
            assert coding is None, head
            return b""
        if coding is not None:
            assert coding == "chunked", head
            return self._chunks()
        if length is not None:
            return self._exactly(int(length))
        assert head.get("connection") == "close", f"nobody knows where this answer ends: {head}"
        return self._file.read()

    def _chunks(self) -> bytes:
        content = b""
        while size := int(self._line(), 16):
            content += self._exactly(size)
            assert self._line() == ""
        assert self._line() == "", "trailers are not expected"
        return content

    def _exactly(self, size: int) -> bytes:
        data = self._file.read(size)
        assert len(data) == size, f"the answer was cut after {len(data)} of {size} bytes"
        return data

    def _line(self) -> str:
        line = self._file.readline(1 << 20)
        if not line:
            raise EOFError("the server has ended the connection")
        assert line.endswith(b"\r\n"), line
        return line[:-2].decode("latin-1")

    def answered(self, seconds: float = 0.1) -> bool:
        """Whether something comes within so many seconds; nothing may have been read of it."""
        return bool(select.select([self._socket], [], [], seconds)[0])

    def ended(self) -> bool:
        """Wait for whatever comes next: True when it is the end of the connection."""
        try:
            return self._file.read(1) == b""
        except ConnectionResetError:
            return True

    def end_of_answers(self, limit: int = 10) -> list[Response]:
        """The final answers until the server ends the connection."""
        answers: list[Response] = []
        while len(answers) < limit:
            try:
                answers.append(self.read())
            except (EOFError, ConnectionResetError):
                return answers
        raise AssertionError(f"the connection stays open: {answers}")

    def shutdown(self) -> None:
        """Send no more; answers can still be read."""
        self._socket.shutdown(socket.SHUT_WR)

    def abort(self) -> None:
        """End both directions at once; whoever sends or reads is woken."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """End it with a reset, as a machine that lost its state does."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """End it."""
        self._file.close()
        self._socket.close()


def message(method: str, target: str, host: str, *fields: str, body: bytes | None = None) -> bytes:
    """The bytes of a request; a body gets its Content-Length, unless its framing is among the fields."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *fields]
    if body is not None and not any(line.lower().startswith(FRAMING) for line in fields):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def chunked(*chunks: bytes, trailers: Iterable[str] = ()) -> bytes:
    """A chunked body and its trailers."""
    pieces = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
    return b"".join([*pieces, b"0\r\n", *(f"{line}\r\n".encode() for line in trailers), b"\r\n"])
