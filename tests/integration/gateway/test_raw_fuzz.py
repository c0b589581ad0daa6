"""Bytes that nobody would send, in pieces of any size: the server answers 4xx or closes, and serves the next one."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.gateway.edge import Edge, TinyApp, request, serving, until
from tusfleet.gateway.http_protocol import ProtocolLimits

BUDGET = 15.0
"""Seconds that all examples together may take; what is left over passes at once."""

LIMITS = ProtocolLimits(header_timeout=0.3, header_bytes=8192, idle_timeout=0.3)
CHUNKED = "Transfer-Encoding: chunked"
VALID = [
    request("GET", "/a?b=c", "Accept: */*"),
    request("POST", "/read?wait=0", body=b"hello"),
    request("PATCH", "/plain", CHUNKED) + b"5;x=y\r\nhello\r\n0\r\nUpload-Checksum: sha1 abc\r\n\r\n",
    request("POST", "/read?wait=0", "Expect: 100-continue", body=b"hello"),
    request("GET", "/stream?pieces=3&size=10"),
    request("POST", "/refuse", body=b"x" * 300),
    request("OPTIONS", "*", "Origin: http://a"),
    request("POST", "/read?wait=0", "Connection: Upgrade", "Upgrade: h2c", body=b"hello"),
    request("HEAD", "http://a/b", version="1.0"),
]
INSERTIONS = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"\xff", b"0", b"-1", b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Host: b\r\n", b"%", b"x" * 9000, b"\r\n\r\n", b"HTTP/1.1",
]  # fmt: skip
STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    data = b"".join(draw(st.lists(st.sampled_from(VALID), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        stop = start + draw(st.integers(0, 8))
        data = data[:start] + draw(st.sampled_from(INSERTIONS) | st.binary(max_size=6)) + data[stop:]
    return data


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[Edge]:
    with serving(TinyApp(idle_timeout=0.3), LIMITS, keep_alive=1) as server:
        yield server
        assert server.tracebacks == []
    assert server.gauge == [0]


def test_whatever_is_sent_the_server_answers_or_closes_and_lives(fuzzed: Edge) -> None:
    deadline = time.monotonic() + BUDGET
    tried = 0

    @settings(max_examples=2000, database=None, suppress_health_check=list(HealthCheck))
    @given(
        data=mutations() | st.binary(max_size=300), cuts=st.lists(st.integers(0, 400), max_size=4), hang=st.booleans()
    )
    def attempt(data: bytes, cuts: list[int], hang: bool) -> None:
        nonlocal tried
        if time.monotonic() > deadline:
            return
        tried += 1
        _send(fuzzed, data, sorted(cuts), hang=hang)
        with fuzzed.client() as client:
            client.send(request("POST", "/read", body=b"well"))
            assert client.answer().json()["size"] == 4

    attempt()
    assert tried > 50
    until(lambda: fuzzed.connections == 0, "every connection ends")
    until(lambda: not fuzzed.server.server_state.tasks, "every request ends")
    assert fuzzed.tracebacks == []


def _send(edge: Edge, data: bytes, cuts: list[int], *, hang: bool) -> None:
    with edge.client() as client:
        try:
            for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True):
                client.send(data[start : max(start, stop)])
            if hang:
                return
            client.send(request("GET", "/last", "Connection: close"))
            received = client.file.read()
        except (ConnectionError, BrokenPipeError):
            return  # it had enough
    for status in STATUS.findall(received):
        assert status in {b"100", b"200", b"400", b"408", b"413", b"414", b"431"}, received
