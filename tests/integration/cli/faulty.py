"""A tus server that fails on purpose, for faults that a good server cannot be made to have."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CUT = 0
"""In place of a status: read the request and close the connection without an answer."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What the next request with `method` gets in place of an answer.

    Parameters:
        status: of the answer, or `CUT`.
        headers: of the answer; `Tus-Resumable` is there unless `tus` is off.
        body: of the answer.
        keeps: bytes of a PATCH that the server keeps all the same.
    """

    method: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    keeps: int = 0
    tus: bool = True


class FaultyServer(ThreadingHTTPServer):
    """Keeps one upload in memory and has `faults` in their order; counts what it was asked."""

    daemon_threads = True

    def __init__(self, *faults: Fault) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.faults = list(faults)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.content = bytearray()
        self.length: int | None = None
        self.scheme = "http"
        self.guard = threading.Lock()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}/files/"

    def methods(self) -> str:
        return " ".join(method for method, _ in self.asked)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that are killed or that hang up are what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyServer

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        server = self.server
        with server.guard:
            server.asked.append((self.command, dict(self.headers.items())))
            index = next((n for n, fault in enumerate(server.faults) if fault.method == self.command), None)
            fault = None if index is None else server.faults.pop(index)
            if fault is None:
                self._answer(*self._good(body))
                return
            server.content += body[: fault.keeps]
        if fault.status == CUT:
            self.close_connection = True
        else:
            self._answer(fault.status, dict(fault.headers), fault.body, tus=fault.tus)

    def _good(self, body: bytes) -> tuple[int, dict[str, str]]:
        server = self.server
        if self.command == "OPTIONS":
            offers = "creation,creation-defer-length,checksum,concatenation"
            return 204, {"Tus-Version": "1.0.0", "Tus-Extension": offers, "Tus-Checksum-Algorithm": "sha1,sha256"}
        if self.command == "POST":
            length = self.headers.get("Upload-Length")
            server.content, server.length = bytearray(), None if length is None else int(length)
            return 201, {"Location": "/files/1"}
        if self.command == "PATCH":
            if int(self.headers["Upload-Offset"]) != len(server.content):
                return 409, {}
            if (length := self.headers.get("Upload-Length")) is not None:
                server.length = int(length)
            server.content += body
        offset = {"Upload-Offset": str(len(server.content))}
        if self.command == "HEAD":
            return 200, {**offset, **({} if server.length is None else {"Upload-Length": str(server.length)})}
        return 204, offset

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes = b"", *, tus: bool = True) -> None:
        self.send_response(status)
        if tus:
            self.send_header("Tus-Resumable", "1.0.0")
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" in headers:
            # A length of the test's own is a promise that is not kept.
            self.close_connection = True
        elif status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_OPTIONS = do_HEAD = do_POST = do_PATCH = do_DELETE = do_GET = _handle


@contextmanager
def faulty_server(*faults: Fault, tls: ssl.SSLContext | None = None) -> Iterator[FaultyServer]:
    """Run one for the length of a `with` block."""
    with FaultyServer(*faults) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
            server.scheme = "https"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
