"""The HTTP/1.1 protocol class for uvicorn: what resumable uploads need and ASGI servers do not do.

Bodies are kept as whole chunks and given out before a disconnect is told, request trailers stay out of the headers,
interim responses can be sent, files go out by sendfile, heads are bounded in time, size and count, and requests that
two parsers could read differently are refused. It stands on the interface between uvicorn's server and its protocol
classes, and on httptools; `tests/unit/gateway/test_uvicorn_contract.py` pins both.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar, cast
from urllib.parse import unquote

from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from tusfleet.gateway.http_answer import Answer
from tusfleet.gateway.http_body import NativeBody
from tusfleet.gateway.http_cycle import UploadCycle
from tusfleet.gateway.http_flow import PIPELINE, Flow, Timer
from tusfleet.gateway.http_framing import ProtocolLimits, Refused, problem
from tusfleet.gateway.http_intake import INTAKE
from tusfleet.gateway.http_reader import RequestHead, RequestReader

__all__ = ["ProtocolLimits", "TusfleetHttpProtocol", "configured_protocol"]

LINGER_SECONDS = 3.0
"""Time for which a client that is refused early may go on sending, so that it reads the answer before a reset."""

LINGER_BYTES = 64 * 1024 * 1024
"""Bytes such a client may send in that time."""

MAX_PIPELINED = 32
"""Requests that may wait behind the one being answered: a packet holds thousands, and each costs kilobytes."""

WAYS = ("loop", "lane")
"""How the bytes of a body reach the application: by the event loop, or past it by a thread."""

CROWD = 128
"""Connections beyond the limit that are told so; still more are cut at once."""


class TusfleetHttpProtocol(asyncio.BufferedProtocol):
    """One connection: has requests read, applications answer them in turn, and answers what is no request."""

    __slots__ = (
        "_app_state",
        "_client",
        "_clock",
        "_config",
        "_cycle",
        "_deaf",
        "_discarded",
        "_lingering",
        "_loop",
        "_pipeline",
        "_reader",
        "_refusal",
        "_running",
        "_server",
        "_timer",
        "_tls",
        "flow",
        "server_state",
    )

    limits: ClassVar[ProtocolLimits] = ProtocolLimits()

    @staticmethod
    def connections_gauge(step: int) -> None:
        """Is told of every connection: +1, and -1 at its end."""

    @staticmethod
    def bodies_counter(way: str, size: int) -> None:
        """Is told at the end of a body of the bytes that took one of the two `WAYS`."""

    flow: Flow

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        self._config = config
        self._app_state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self.server_state = server_state
        self._timer = Timer(self._loop)
        self._reader = RequestReader(self, self.limits)
        self._server: tuple[str, int | None] | None = None
        self._client: tuple[str, int] | None = None
        self._tls = False

        # The request read last, the one an application works on, those in between, and a refusal behind them all.
        self._cycle: UploadCycle | None = None
        self._running: UploadCycle | None = None
        self._pipeline: list[UploadCycle] | None = None
        self._refusal: tuple[int, str] | None = None

        # Whether the time for a head runs; whether nothing more is understood, and what comes is thrown away.
        self._clock = False
        self._deaf = False
        self._lingering = False
        self._discarded = 0

    # What uvicorn and the event loop call.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        connections = self.server_state.connections
        connections.add(self)  # type: ignore[arg-type] # its type names uvicorn's own classes
        self.flow = Flow(self._loop, transport, self.limits.idle_timeout)
        self._server = _shared(get_local_addr(transport))
        self._client = get_remote_addr(transport)
        self._tls = is_ssl(transport)
        self.connections_gauge(1)
        excess = 0 if self.limits.max_connections is None else len(connections) - self.limits.max_connections
        if excess > CROWD:
            transport.abort()
        elif excess > 0:
            self._refuse(503, "Try again in a moment")
        else:
            self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why does not matter
        self.server_state.connections.discard(self)
        self.connections_gauge(-1)
        self._deaf = True
        self._timer.close()
        self.flow.closed()
        for cycle in (self._running, self._cycle, *(self._pipeline or ())):
            if cycle is not None:
                cycle.lost = True
                cycle.body.cut_off()
                if cycle is not self._running:
                    cycle.body.drop()  # nobody will read it
        self._reader.close()
        self._cycle = self._running = self._pipeline = None

    def pause_writing(self) -> None:
        self.flow.pause_writing()

    def resume_writing(self) -> None:
        self.flow.resume_writing()

    def shutdown(self) -> None:
        """Answer what is being answered, and end the connection."""
        if self._lingering:
            return
        if self._running is None:
            self.flow.close()
        else:
            (self._pipeline or [self._running])[-1].answer.keep_alive = False

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - what there may be room for is another question
        body = self._reader.body
        return INTAKE.buffer(0, 0) if body is None else INTAKE.buffer(body.queued, body.wanted)

    def buffer_updated(self, nbytes: int) -> None:
        data = INTAKE.received(nbytes)
        try:
            while data and not self._deaf:
                data = self._reader.feed(data)
        except Refused as refusal:
            if not self._deaf:
                self._refuse(refusal.status, refusal.detail)
            return
        if self._deaf:
            self._discarded += len(data)
            if self._discarded > LINGER_BYTES:
                self.flow.close()
        elif self._reader.begun and self._running is None and not self._clock:
            self._start_clock()

    # What is read.

    def accept(self, head: RequestHead) -> NativeBody:
        """Take a request: have it answered, now or in turn.

        Raises:
            Refused: too many wait already.
        """
        if self._pipeline is not None and len(self._pipeline) >= MAX_PIPELINED:
            raise Refused(400, f"No more than {MAX_PIPELINED} requests may wait for their answers")
        self._clock = False
        self._timer.clear()
        body = NativeBody(
            self.flow,
            self._timer,
            head.length,
            expects=head.expects,
            idle_timeout=self.limits.idle_timeout,
            lane=self._lane(head.length),
            passed=self._reader.passed,
        )
        cycle = UploadCycle(
            self, self._scope(head), body, head.trailers, keep_alive=head.keep_alive, plain=not self._tls
        )
        self._cycle = cycle
        if self._running is None:
            self._run(cycle)
        else:
            self.flow.hold(PIPELINE)
            self._pipeline = [*(self._pipeline or ()), cycle]
        return body

    def _lane(self, length: int | None) -> int | None:
        least = self.limits.lane_bytes
        return None if self._tls or length is None or least is None or length < least else least

    def received(self) -> None:
        """The request taken last has arrived whole."""
        cycle = self._cycle
        if cycle is None:
            return
        if not cycle.answer.keep_alive:
            self._deaf = True  # nothing behind it will be answered
        if cycle.complete:
            self._cycle = None
            self._await_next()

    def _scope(self, head: RequestHead) -> dict[str, Any]:
        root = self._config.root_path
        path = head.target.path.decode("ascii")
        return {
            "type": "http",
            "asgi": {"version": self._config.asgi_version, "spec_version": "2.3"},
            "http_version": head.version,
            "server": self._server,
            "client": self._client,
            "scheme": "https" if self._tls else "http",
            "method": head.method,
            "root_path": root,
            "path": root + (unquote(path) if "%" in path else path),
            "raw_path": root.encode("ascii") + head.target.path,
            "query_string": head.target.query,
            "headers": head.headers,
            "state": self._app_state.copy(),
        }

    # What is answered.

    def _run(self, cycle: UploadCycle) -> None:
        self._running = cycle
        context = contextvars.Context() if self._config.reset_contextvars else None
        task = self._loop.create_task(cycle.run(self._config.loaded_app), context=context)
        task.add_done_callback(self.server_state.tasks.discard)
        self.server_state.tasks.add(task)

    def count(self, body: NativeBody) -> None:
        """Note how the bytes of a body came."""
        for way, size in zip(WAYS, (body.arrived - body.passed_by, body.passed_by), strict=True):
            if size:
                self.bodies_counter(way, size)

    def answered(self, cycle: UploadCycle) -> None:
        """The answer of `cycle` is written: go on with the next request, or end the connection."""
        self.server_state.total_requests += 1
        if self._running is not cycle:
            return
        self._running = None
        more = cycle.body.more
        if self._cycle is cycle and not more:
            self._cycle = None
        if not cycle.answer.keep_alive:
            self._end(early=more or self._pipeline is not None or self._discarded > 0)
        elif self._pipeline:
            self._run_next(self._pipeline)
        elif self._refusal is not None:
            self._answer_refusal(*self._refusal)
        elif more:
            self._timer.set(LINGER_SECONDS, self.flow.close)
        else:
            self._await_next()

    def _run_next(self, pipeline: list[UploadCycle]) -> None:
        following = pipeline.pop(0)
        if not pipeline:
            self._pipeline = None
            self.flow.release(PIPELINE)
        self._run(following)

    def _await_next(self) -> None:
        if self._reader.begun:
            self._start_clock()
        else:
            self._timer.set(self._config.timeout_keep_alive, self.flow.close)

    def _start_clock(self) -> None:
        self._clock = True
        self._timer.set(self.limits.header_timeout, self._head_late)

    def _head_late(self) -> None:
        if self._reader.begun:
            self._refuse(408, f"The head of a request has to come within {self.limits.header_timeout:g} s")
        else:
            self.flow.close()

    # What is refused.

    def _refuse(self, status: int, detail: str) -> None:
        """Understand no more: answer so in turn, and end the connection; a body under way counts as cut."""
        self._deaf = True
        cycle = self._cycle
        if cycle is not None and self._reader.body is not None:
            cycle.answer.keep_alive = False
            cycle.body.cut_off()
            if cycle.complete:
                self._end(early=True)
        elif self._running is not None:
            self._refusal = (status, detail)
        else:
            self._answer_refusal(status, detail)

    def _answer_refusal(self, status: int, detail: str) -> None:
        fields, body = problem(status, detail)
        answer = Answer("GET", http10=False, keep_alive=False)
        answer.start(status, self.server_state.default_headers, fields)
        self.flow.transport.write(b"".join(answer.piece(body, more=False)))
        self._end(early=True)

    def _end(self, *, early: bool) -> None:
        """End the connection behind an answer; an `early` one is for a client that may still be sending.

        Closing resets the connection when something arrives later, and the reset takes the answer with it. So what
        still comes is thrown away for a while.
        """
        self._deaf = True
        self._reader.close()
        self.flow.release(PIPELINE)
        transport = self.flow.transport
        if not early or transport.is_closing():
            self.flow.close()
            return
        self._lingering = True
        if transport.can_write_eof():
            transport.write_eof()
        self._timer.set(LINGER_SECONDS, self.flow.close)


@lru_cache(maxsize=16)
def _shared(address: tuple[str, int | None] | None) -> tuple[str, int | None] | None:
    """One and the same object for an address of this server: every connection holds it."""
    return address


def configured_protocol(
    limits: ProtocolLimits,
    connections_gauge: Callable[[int], None] | None = None,
    bodies_counter: Callable[[str, int], None] | None = None,
) -> type[asyncio.Protocol]:
    """The protocol class with limits of its own, and somebody who is told of connections (+1, -1) and of bodies.

    Event loops take a `BufferedProtocol` wherever they take a `Protocol`; uvicorn's types name the latter alone.
    """
    members: dict[str, Any] = {"__slots__": (), "limits": limits}
    if connections_gauge is not None:
        members["connections_gauge"] = staticmethod(connections_gauge)
    if bodies_counter is not None:
        members["bodies_counter"] = staticmethod(bodies_counter)
    return cast("type[asyncio.Protocol]", type("TusfleetHttpProtocol", (TusfleetHttpProtocol,), members))
