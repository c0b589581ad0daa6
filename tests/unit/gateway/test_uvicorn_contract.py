"""What the HTTP edge relies on inside uvicorn and httptools, and what of ours breaks when it changes.

A wrong hash means: read what has changed, see whether the reason given here still holds, then write the new hash down.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from typing import Any

import httptools
import pytest
import uvicorn
from uvicorn.config import Config
from uvicorn.protocols import utils
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import Server, ServerState

from tusfleet.gateway.http_protocol import ProtocolLimits, TusfleetHttpProtocol, configured_protocol

SOURCES: list[tuple[Callable[..., Any], str, str]] = [
    (
        Server.startup,
        "2aa1d70a244bfcf2",
        "calls the protocol class with config, server_state, app_state and _loop: "
        "TusfleetHttpProtocol.__init__ takes these",
    ),
    (
        Server.shutdown,
        "9b33c50562992b1e",
        "calls shutdown() of every connection and then waits for `connections` and `tasks` to empty: "
        "TusfleetHttpProtocol.shutdown ends idle connections, and _run and connection_lost take themselves out",
    ),
    (
        Server.on_tick,
        "60ea49b06ccf68c1",
        "renews server_state.default_headers and compares server_state.total_requests: Answer.start writes the first, "
        "TusfleetHttpProtocol.answered counts the second",
    ),
    (
        ServerState.__init__,
        "8daf3a9b4e4e4245",
        "has total_requests, connections, tasks and default_headers: TusfleetHttpProtocol and UploadCycle use them",
    ),
    (
        utils.get_local_addr,
        "6be1e23931c77938",
        "gives scope['server'] of a transport: TusfleetHttpProtocol.connection_made calls it",
    ),
    (
        utils.get_remote_addr,
        "5cb127377672c133",
        "gives scope['client'] of a transport: TusfleetHttpProtocol.connection_made calls it",
    ),
    (
        utils.is_ssl,
        "cfb89711af847b7e",
        "tells encrypted transports: scheme and sendfile rest on it in TusfleetHttpProtocol.connection_made",
    ),
    (
        HttpToolsProtocol.on_message_begin,
        "96d377fdc7c2baef",
        "makes the scope: TusfleetHttpProtocol._scope makes the same keys",
    ),
    (
        HttpToolsProtocol.on_headers_complete,
        "1ea8589acfad92d8",
        "completes the scope and makes a cycle: TusfleetHttpProtocol._scope and accept do the same",
    ),
    (
        HttpToolsProtocol._start_asgi_task,
        "9c08c2571ae9b038",
        "starts the application: TusfleetHttpProtocol._run does the same, config.reset_contextvars included",
    ),
    (
        HttpToolsProtocol.shutdown,
        "d7351fa33f00d430",
        "ends a connection when the server stops: TusfleetHttpProtocol.shutdown does the same",
    ),
    (
        RequestResponseCycle.run_asgi,
        "0f33f2449a444bc2",
        "calls the application: UploadCycle.run does the same",
    ),
    (
        RequestResponseCycle.send,
        "abdd8601b326a8da",
        "takes the messages of an answer: UploadCycle.send and Answer do the same",
    ),
]


def digest(function: Callable[..., Any]) -> str:
    return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:16]


@pytest.mark.parametrize(("function", "known", "why"), SOURCES, ids=[item[0].__qualname__ for item in SOURCES])
def test_what_we_rely_on_reads_as_it_did(function: Callable[..., Any], known: str, why: str) -> None:
    assert digest(function) == known, (
        f"{function.__module__}.{function.__qualname__} of uvicorn {uvicorn.__version__} has changed; it {why}. "
        f"When that still holds, its new hash is {digest(function)}."
    )


def test_the_config_has_what_the_protocol_class_reads() -> None:
    ours = configured_protocol(ProtocolLimits())
    config = Config("tests.integration.gateway.edge:TinyApp", http=ours, factory=True, log_config=None)
    config.load()
    assert config.http_protocol_class is ours, (
        "uvicorn no longer takes a class as `http`: server.py passes the one of configured_protocol"
    )
    for name in ("loaded", "loaded_app", "root_path", "asgi_version", "timeout_keep_alive", "reset_contextvars"):
        assert hasattr(config, name), f"Config.{name} is gone: TusfleetHttpProtocol reads it"


def test_the_server_calls_nothing_that_the_protocol_class_lacks() -> None:
    public = {name for name in vars(HttpToolsProtocol) if not name.startswith("_")}
    parser = {name for name in public if name.startswith("on_")}
    others = {"handle_websocket_upgrade", "send_400_response", "timeout_keep_alive_handler"}
    # The event loop calls this one; of ours it asks for a buffer to read into.
    others.add("data_received")
    assert public - parser - others <= set(dir(TusfleetHttpProtocol)), (
        "uvicorn's protocol class has methods that ours does not know; does the server call them?"
    )


def test_status_lines_are_whole_lines_for_every_status() -> None:
    assert STATUS_LINE[200] == b"HTTP/1.1 200 OK\r\n", (
        "STATUS_LINE has another form: Answer.start begins a head with it"
    )
    assert STATUS_LINE[460].startswith(b"HTTP/1.1 460 "), "STATUS_LINE lacks 460, the status of tus for wrong checksums"


class Found:
    """Everything the parser found, in order."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.parser = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        self.events.append("begin")

    def on_url(self, url: bytes) -> None:
        self.events.append(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name == b"Refuse":
            raise LookupError("no")
        self.events.append((name, value))

    def on_headers_complete(self) -> None:
        self.events.append("head")

    def on_body(self, chunk: bytes) -> None:
        self.events.append(chunk)

    def on_message_complete(self) -> None:
        self.events.append("complete")


HEAD = b"POST /a HTTP/1.1\r\nHost: b\r\n"
FRAME = ["begin", b"/a", (b"Host", b"b")]


def test_trailers_come_as_headers_after_the_head() -> None:
    found = Found()
    found.parser.feed_data(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nT: v\r\n\r\n")
    assert found.events[3:] == [(b"Transfer-Encoding", b"chunked"), "head", b"x", (b"T", b"v"), "complete"], (
        "httptools tells trailers otherwise: RequestReader.on_header takes what comes after the head for trailers"
    )


def test_an_offer_to_switch_protocols_stops_behind_the_head() -> None:
    found = Found()
    head = HEAD + b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\n"
    with pytest.raises(httptools.HttpParserUpgrade) as stopped:
        found.parser.feed_data(head + b"xyz")
    assert stopped.value.args == (len(head),), (
        "RequestReader reads the body from the offset that HttpParserUpgrade gives"
    )
    assert found.parser.should_upgrade(), (
        "RequestReader.on_message_complete knows by should_upgrade that the body follows"
    )
    assert found.events[-2:] == ["head", "complete"], (
        "httptools told the body of a request with an offer: it may be parsed"
    )


def test_an_error_of_a_callback_is_the_context_of_the_error() -> None:
    with pytest.raises(httptools.HttpParserCallbackError) as failed:
        Found().parser.feed_data(HEAD + b"Refuse: x\r\nY: z\r\n\r\n")
    assert isinstance(failed.value.__context__, LookupError), (
        "httptools hides what a callback raised: RequestReader gets its refusals out of __context__"
    )


def test_a_new_parser_begins_anywhere() -> None:
    found = Found()
    found.parser.feed_data(b"\r\n" + HEAD + b"\r\n")
    assert found.events == [*FRAME, "head", "complete"], (
        "a parser does not begin at a request line: RequestReader makes a new one behind a body that it counted itself"
    )


@pytest.mark.parametrize(
    "bytes_",
    [
        b"X: a\r\n b\r\n\r\n",
        b"X : a\r\n\r\n",
        b"X: a\nY: b\r\n\r\n",
        b"X: a\rY: b\r\n\r\n",
        b"X: a\0\r\n\r\n",
        b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n1 \r\nx\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n",
        b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\n",
    ],
)
def test_the_parser_is_strict(bytes_: bytes) -> None:
    """No leniency is on by default; http_framing checks only what the parser lets through."""
    try:
        Found().parser.feed_data(HEAD + bytes_)
    except httptools.HttpParserError:
        return
    pytest.fail(f"httptools accepts {bytes_!r}: two servers could read it differently, http_framing must refuse it")
