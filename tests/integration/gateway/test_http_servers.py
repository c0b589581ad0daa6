"""The same application on servers that are not ours: uploads work, and what they cannot do is not promised."""

from __future__ import annotations

import random

import pytest

from tests.integration.gateway.edge import TinyApp, request, serving, until

BODY = random.Random(4).randbytes(1_000_000)
CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize("server", ["httptools", "h11"])
def test_a_body_is_read_from_plain_messages(server: str) -> None:
    with serving(TinyApp(), http=server) as edge:
        with edge.client() as client:
            for body in (BODY, b"", b"abc"):
                client.send(request("POST", "/read?wait=0.05", body=body))
                assert client.answer().json()["size"] == len(body)
            client.send(request("POST", "/read", CHUNKED), b"3\r\nabc\r\n0\r\n\r\n")
            assert client.answer().json()["size"] == 3
            client.send(request("POST", "/read", "Expect: 100-continue", "Content-Length: 3"))
            assert client.head()[0] == 100
            client.send(b"abc")
            assert client.answer().json()["end"] == "complete"
        assert edge.tracebacks == []
        for names in edge.app.extensions:
            assert not names & {"http.request.trailers", "http.response.informational", "http.response.zerocopysend"}


@pytest.mark.parametrize("server", ["httptools", "h11"])
def test_a_cut_and_a_silent_client_are_told_apart(server: str) -> None:
    with serving(TinyApp(idle_timeout=0.3), http=server) as edge:
        with edge.client() as client:
            client.send(request("POST", "/read?wait=0", "Content-Length: 100"), b"abc")
            assert client.answer().json()["end"] == "stalled"
        with edge.client() as client:
            client.send(request("POST", "/read?wait=0", "Content-Length: 100"), b"abc")
            until(lambda: len(edge.app.bodies) == 2, "the request is there")
        until(lambda: len(edge.app.read) == 2, "the body ends")
        assert edge.app.read[1]["end"] == "cut"
        assert edge.tracebacks == []
