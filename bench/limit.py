"""The least that an upload server in Python can cost: a blocking loop of `recv_into`, one connection, no checks.

`python -m bench.limit --port P` throws the bytes away; `--folder D` writes them to a file, which GET sends back.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

_BUFFER_BYTES = 2**20


class Limit:
    """Takes one upload after the other; the newest is what HEAD and GET talk about."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._offset = 0

    def talk(self, connection: socket.socket) -> None:
        """Answer requests until the client closes."""
        while head := self._head(connection):
            text, body = head
            method = text.split(" ", 1)[0]
            if method == "POST":
                self._offset = 0
                connection.sendall(b"HTTP/1.1 201 Created\r\nLocation: /files/one\r\nContent-Length: 0\r\n\r\n")
            elif method == "PATCH":
                self._take(connection, int(_header(text, "content-length")), body)
                self._answer(connection, "204 No Content", "")
            elif method == "GET":
                self._answer(connection, "200 OK", f"Content-Length: {self._offset}\r\n")
                self._send_back(connection)
            else:
                if method == "DELETE" and self._folder is not None:
                    (self._folder / "one").unlink(missing_ok=True)
                self._answer(connection, "200 OK", "Content-Length: 0\r\n")

    def _head(self, connection: socket.socket) -> tuple[str, bytes] | None:
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(_BUFFER_BYTES)
            if not more:
                return None
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        return head.decode("latin-1"), body

    def _take(self, connection: socket.socket, length: int, first: bytes) -> None:
        place = self._folder / "one" if self._folder else Path(os.devnull)
        with place.open("ab" if self._offset else "wb", buffering=0) as file:
            if first:
                self._keep(file, memoryview(first))
            left = length - len(first)
            while left:
                size = connection.recv_into(self._buffer, min(left, _BUFFER_BYTES))
                if not size:
                    return
                self._keep(file, self._buffer[:size])
                left -= size

    def _keep(self, file: BinaryIO, data: memoryview) -> None:
        if self._folder is not None:
            file.write(data)
        self._offset += len(data)

    def _answer(self, connection: socket.socket, status: str, headers: str) -> None:
        text = f"HTTP/1.1 {status}\r\nUpload-Offset: {self._offset}\r\n{headers}\r\n"
        connection.sendall(text.encode("ascii"))

    def _send_back(self, connection: socket.socket) -> None:
        if self._folder is not None:
            with (self._folder / "one").open("rb") as file:
                connection.sendfile(file)


def _header(head: str, name: str) -> str:
    found = re.search(rf"^{name}:\s*(\S+)", head, re.IGNORECASE | re.MULTILINE)
    if found is None:
        raise ValueError(f"no {name} in {head!r}")
    return found[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    limit = Limit(options.folder)
    with socket.create_server(("127.0.0.1", options.port)) as listener:
        while True:
            connection, _ = listener.accept()
            with connection, suppress(ConnectionError):
                limit.talk(connection)


if __name__ == "__main__":
    main()
