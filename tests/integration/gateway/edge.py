"""A real uvicorn server on uvloop with a tiny application on it, and raw sockets to talk to it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
import uvloop

from tusfleet.gateway.body import request_body
from tusfleet.gateway.http_protocol import ProtocolLimits, configured_protocol

SOON = 10.0
"""Seconds in which a thing that must happen has happened."""

BATCH = 1024 * 1024
App = Callable[[Any, Any, Any], Any]


def until(condition: Callable[[], object], what: str, seconds: float = SOON) -> None:
    """Poll until it is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.005)  # between two looks, up to the deadline


@dataclass
class Answer:
    """What a client got."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class RawClient:
    """A socket, and just enough HTTP to read what comes back."""

    def __init__(self, port: int, timeout: float = SOON, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(("127.0.0.1", port))
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        self.socket.sendall(b"".join(parts))

    def head(self) -> tuple[int, dict[str, str]]:
        """The next status line and fields, interim answers too."""
        line = self.file.readline()
        if not line:
            raise EOFError("the server has ended the connection")
        assert line.startswith(b"HTTP/1.1 "), line
        assert line.endswith(b"\r\n"), line
        headers: dict[str, str] = {}
        while (text := self.file.readline()) != b"\r\n":
            name, _, value = text.decode("latin-1").partition(": ")
            assert text.endswith(b"\r\n"), text
            assert name not in headers, f"{name} came twice"
            headers[name] = value.strip()
        return int(line.split()[1]), headers

    def answer(self, method: str = "GET") -> Answer:
        """The next final answer, interim ones passed over."""
        status, headers = self.head()
        while status < 200:
            status, headers = self.head()
        if method == "HEAD" or status in (204, 304):
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Answer(status, headers, b"".join(self._chunks()))
        if "content-length" in headers:
            size = int(headers["content-length"])
            body = self.file.read(size)
            assert len(body) == size, "the answer was cut"
            return Answer(status, headers, body)
        return Answer(status, headers, self.file.read())

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.file.readline(), 16):
            yield self.file.read(size)
            assert self.file.readline() == b"\r\n"
        assert self.file.readline() == b"\r\n"

    def silent(self, seconds: float) -> bool:
        """Whether nothing comes for so long."""
        return not select.select([self.socket], [], [], seconds)[0]

    def ended(self) -> bool:
        """Whether the server ends the connection, having sent nothing more."""
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:
            return True


def request(method: str, path: str, *fields: str, body: bytes | None = None, version: str = "1.1") -> bytes:
    """The bytes of a request; a body gets its Content-Length."""
    lines = [f"{method} {path} HTTP/{version}", "Host: test", *fields]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b"")


@dataclass
class TinyApp:
    """Does what the path says; remembers what it read."""

    read: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, int] = field(default_factory=dict)
    extensions: list[set[str]] = field(default_factory=list)
    scopes: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    disconnects: int = 0
    started: int = 0
    idle_timeout: float = 5.0
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.started += 1
        self.scopes.append({key: value for key, value in scope.items() if key != "extensions"})
        self.extensions.append(set(scope.get("extensions", {})))
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        work = getattr(self, "do_" + scope["path"].strip("/*").replace("-", "_"), self.do_nothing)
        await work(scope, receive, send, query)

    async def do_nothing(self, scope: Any, receive: Any, send: Any, query: dict[str, str]) -> None:
        await answer(send, 200, {"path": scope["path"], "headers": _texts(scope["headers"])})

    async def do_read(self, scope: Any, receive: Any, send: Any, query: dict[str, str]) -> None:
        if "gate" in query:
            await self.gate.wait()
        body: Any = request_body(scope, receive, self.idle_timeout)
        self.bodies.append(body)
        digest, size, sizes = hashlib.sha256(), 0, []
        while chunks := await body.read(int(_number(query, "want", BATCH)), _number(query, "wait", 1.0)):
            for chunk in chunks:
                digest.update(chunk)
            sizes.append(sum(map(len, chunks)))
            size += sizes[-1]
            del chunk, chunks  # a name that holds a chunk holds it while the client is silent
        trailers = scope["extensions"]["http.request.trailers"].read() if "extensions" in scope else []
        found = {"size": size, "sha256": digest.hexdigest(), "end": body.end.value, "trailers": _texts(trailers)}
        self.read.append({**found, "headers": _texts(scope["headers"]), "sizes": sizes})
        await answer(send, 200 if body.end.value == "complete" else 400, found)

    async def do_plain(self, scope: Any, receive: Any, send: Any, query: dict[str, str]) -> None:
        digest, size = hashlib.sha256(), 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.disconnects += 1
                self.read.append({"size": size, "end": "disconnect"})
                return
            digest.update(message["body"])
            size += len(message["body"])
            if not message["more_body"]:
                break
        await answer(send, 200, {"size": size, "sha256": digest.hexdigest()})
        assert (await receive())["type"] == "http.disconnect"

    async def do_watch(self, scope: Any, receive: Any, send: Any, query: dict[str, str]) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.disconnects += 1

    async def do_refuse(self, scope: Any, receive: Any, send: Any, query: dict[str, str]) -> None:
        await answer(send, 413, {"refused": True})

    async def do_wait(self, scope: Any, receive: Any, send: Any, query: dict[str, str]) -> None:
        await self.gate.wait()
        await answer(send, 200, query)

    async def do_inform(self, scope: Any, receive: Any, send: Any, query: dict[str, str]) -> None:
        inform = scope["extensions"]["http.response.informational"]["send"]
        await inform(104, [(b"upload-resumption-supported", b"?1"), (b"location", b"/files/a")])
        await self.do_read(scope, receive, send, query)

    async def do_stream(self, scope: Any, receive: Any, send: Any, query: dict[str, str]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(int(_number(query, "pieces", 1))):
            await send({"type": "http.response.body", "body": b"x" * int(_number(query, "size", 1)), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def do_file(self, scope: Any, receive: Any, send: Any, query: dict[str, str]) -> None:
        start, count = int(query.get("offset", 0)), int(query["count"])
        headers = [] if "chunked" in query else [(b"content-length", query.get("length", str(count)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        message = {"type": "http.response.zerocopysend", "file": self.files[query["name"]], "offset": start}
        await send({**message, "count": count, "more_body": "more" in query})
        if "more" in query:
            await send({"type": "http.response.body", "body": b"tail"})

    async def do_crash(self, scope: Any, receive: Any, send: Any, query: dict[str, str]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
        if "late" in query:
            await send({"type": "http.response.body", "body": b"12345", "more_body": True})
        raise ValueError("this application is broken")

    async def do_204(self, scope: Any, receive: Any, send: Any, query: dict[str, str]) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def do_bad_header(self, scope: Any, receive: Any, send: Any, query: dict[str, str]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"a\r\nb: c")]})

    async def do_return(self, scope: Any, receive: Any, send: Any, query: dict[str, str]) -> None:
        return


def _number(query: dict[str, str], name: str, default: float) -> float:
    """A number of the query; what a fuzzer has made of it counts as none, for this is no test of `int`."""
    text = query.get(name, "")
    return float(text) if re.fullmatch(r"[0-9]{1,8}(\.[0-9]{1,3})?", text) else default


def _texts(fields: Any) -> list[list[str]]:
    return [[name.decode("latin-1"), value.decode("latin-1")] for name, value in fields]


async def answer(send: Any, status: int, content: object) -> None:
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@dataclass
class Edge:
    """A server that runs in a thread."""

    port: int
    app: Any
    loop: asyncio.AbstractEventLoop
    server: uvicorn.Server
    log: list[logging.LogRecord]
    gauge: list[int]

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)

    @property
    def tracebacks(self) -> list[str]:
        return [record.getMessage() for record in self.log if record.exc_info or record.levelno >= logging.ERROR]

    def call(self, function: Callable[[], object]) -> None:
        """Have `function` called in the loop of the server."""
        self.loop.call_soon_threadsafe(function)

    def client(self, **options: Any) -> RawClient:
        return RawClient(self.port, **options)


@contextmanager
def serving(
    app: Any = None, limits: ProtocolLimits | None = None, http: Any = None, *, keep_alive: int = 5, **options: Any
) -> Iterator[Edge]:
    """Serve `app` (a `TinyApp`), by default with our own protocol class."""
    app = TinyApp() if app is None else app
    gauge = [0]

    def count(step: int) -> None:
        gauge[0] += step

    protocol = http or configured_protocol(limits or ProtocolLimits(), count)
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        proxy_headers=False,
        timeout_keep_alive=keep_alive,
        **{"timeout_graceful_shutdown": 2, **options},
    )
    server = uvicorn.Server(config)
    records = _Records()
    loops: list[asyncio.AbstractEventLoop] = []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)

        def run() -> None:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                loops.append(runner.get_loop())
                runner.run(server.serve(sockets=[listener]))

        names = ("uvicorn.error", "asyncio")
        for name in names:
            logging.getLogger(name).addHandler(records)
        thread = threading.Thread(target=run)
        thread.start()
        try:
            until(lambda: server.started, "the server starts")
            yield Edge(listener.getsockname()[1], app, loops[0], server, records.records, gauge)
        finally:
            server.should_exit = True
            thread.join(SOON)
            for name in names:
                logging.getLogger(name).removeHandler(records)
            assert not thread.is_alive(), "the server does not end"
