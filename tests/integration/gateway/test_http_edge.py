"""Requests through our protocol class: bodies, interim answers, trailers, pipelining, upgrades, disconnects."""

from __future__ import annotations

import gc
import hashlib
import random
import socket
import struct
import tracemalloc
from contextlib import ExitStack
from typing import Any

import fastapi
import httpx
import pytest

from tests.integration.gateway.edge import BATCH, Edge, RawClient, TinyApp, request, serving, until

MEGABYTES = random.Random(1).randbytes(3 * BATCH + 17)
SILENT = 50
CHUNKED = "Transfer-Encoding: chunked"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("path", ["/read", "/plain"])
@pytest.mark.parametrize("size", [0, 1, 70_000, len(MEGABYTES)])
def test_a_body_arrives_as_sent_and_the_connection_stays(edge: Edge, path: str, size: int) -> None:
    with edge.client() as client:
        for _ in range(3):
            client.send(request("POST", path, body=MEGABYTES[:size]))
            answer = client.answer()
            assert (answer.status, answer.json()["sha256"]) == (200, sha256(MEGABYTES[:size]))
    assert len(edge.app.scopes) == 3


@pytest.mark.parametrize("path", ["/read", "/plain"])
def test_a_chunked_body_split_anywhere_arrives_as_sent(edge: Edge, path: str) -> None:
    chunks = b"".join(b"%X;name=value\r\n%b\r\n" % (1000, MEGABYTES[i : i + 1000]) for i in range(0, 50_000, 1000))
    message = request("POST", path, CHUNKED) + chunks + b"0\r\n\r\n"
    cuts = sorted(random.Random(2).sample(range(len(message)), 40))
    with edge.client() as client:
        for start, stop in zip([0, *cuts], [*cuts, len(message)], strict=True):
            client.send(message[start:stop])
        assert client.answer().json()["sha256"] == sha256(MEGABYTES[:50_000])


def test_trailers_are_kept_apart_from_the_headers(edge: Edge) -> None:
    body = b"3\r\nabc\r\n0\r\nUpload-Checksum: sha1 abc\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n"
    with edge.client() as client:
        for cut in (len(body), 3, 20):
            client.send(request("POST", "/read", CHUNKED, "Trailer: Upload-Checksum"), body[:cut])
            client.send(body[cut:])
            trailers = client.answer().json()["trailers"]
            assert trailers == [["upload-checksum", "sha1 abc"], ["x-forwarded-for", "9.9.9.9"]]
    assert all("9.9.9.9" not in value for found in edge.app.read for _, value in found["headers"])


def test_the_next_request_does_not_see_trailers_of_the_one_before(edge: Edge) -> None:
    with edge.client() as client:
        client.send(request("POST", "/read", CHUNKED), b"0\r\nA: b\r\n\r\n", request("POST", "/read", body=b"x"))
        assert client.answer().json()["trailers"] == [["a", "b"]]
        assert client.answer().json()["trailers"] == []


def test_100_continue_comes_when_somebody_reads_and_not_before_a_refusal(edge: Edge) -> None:
    with edge.client() as client:
        client.send(request("POST", "/read", "Expect: 100-continue", "Content-Length: 3"))
        assert client.head() == (100, {})
        client.send(b"abc")
        assert client.answer().json()["size"] == 3
        client.send(request("POST", "/plain", "Expect: 100-Continue", "Content-Length: 3"))
        assert client.head() == (100, {})
        client.send(b"abc")
        assert client.answer().json()["size"] == 3
        client.send(request("POST", "/refuse", "Expect: 100-continue", "Content-Length: 3"))
        status, headers = client.head()
        # Whether the three bytes come now nobody can know: the connection cannot be used again.
        assert (status, headers["connection"]) == (413, "close")
        client.file.read(int(headers["content-length"]))
        assert client.ended()


def test_no_100_continue_without_a_body_nor_for_http_1_0(edge: Edge) -> None:
    with edge.client() as client:
        client.send(request("POST", "/read", "Expect: 100-continue", body=b""))
        assert client.head()[0] == 200
    with edge.client() as client:
        client.send(request("POST", "/read", "Expect: 100-continue", body=b"abc", version="1.0"))
        assert client.head()[0] == 200


def test_interim_answers_come_before_the_final_one_and_before_100(edge: Edge) -> None:
    with edge.client() as client:
        client.send(request("POST", "/inform", "Expect: 100-continue", "Content-Length: 3"))
        status, headers = client.head()
        assert (status, headers["upload-resumption-supported"], headers["location"]) == (104, "?1", "/files/a")
        assert client.head()[0] == 100
        client.send(b"abc", request("GET", "/"))
        assert client.answer().json()["size"] == 3
        assert client.answer().status == 200
        client.send(request("POST", "/inform", body=b"abc", version="1.0"))
        assert client.head()[0] == 200


def test_an_interim_answer_that_is_none_is_an_error_of_the_application() -> None:
    found: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        inform = scope["extensions"]["http.response.informational"]["send"]
        for status, headers in [(200, []), (101, []), (103, [(b"a", b"b\r\nc: d")]), (103, [(b"a b", b"c")])]:
            with pytest.raises((ValueError, RuntimeError)) as refused:
                await inform(status, headers)
            found.append(refused.typename)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})

    with serving(app) as server, server.client() as client:
        client.send(request("GET", "/"))
        assert client.head()[0] == 200
    assert found == ["ValueError", "ValueError", "RuntimeError", "RuntimeError"]


def test_a_request_that_outlives_the_grace_is_cancelled_and_its_connection_ends() -> None:
    with serving(TinyApp(), timeout_graceful_shutdown=1) as server, server.client() as client:
        client.send(request("GET", "/wait"))
        until(lambda: server.app.started, "the request is there")
        server.server.should_exit = True
        assert client.ended()
        assert not [record for record in server.log if record.exc_info]


def test_pipelined_requests_are_answered_in_order(edge: Edge) -> None:
    with edge.client() as client:
        client.send(
            request("POST", "/read?gate", body=b"first"),
            request("POST", "/read", CHUNKED) + b"6\r\nsecond\r\n0\r\n\r\n",
            request("GET", "/third"),
            request("POST", "/read", body=MEGABYTES[:300_000]),
        )
        until(lambda: edge.app.started, "the first one runs")
        assert edge.app.started == 1
        edge.call(edge.app.gate.set)
        assert client.answer().json()["sha256"] == sha256(b"first")
        assert client.answer().json()["sha256"] == sha256(b"second")
        assert client.answer().json()["path"] == "/third"
        assert client.answer().json()["sha256"] == sha256(MEGABYTES[:300_000])


def test_a_waiting_request_holds_the_socket_even_while_the_first_one_reads(edge: Edge) -> None:
    with edge.client(timeout=1) as client:
        client.send(request("POST", "/read?gate", body=b"first"), request("POST", "/read", body=b"second"))
        until(lambda: edge.app.started, "the first one runs")
        with pytest.raises(TimeoutError):  # the server reads no more, so the kernel takes no more
            client.send(request("POST", "/read", body=MEGABYTES) * 64)
    edge.call(edge.app.gate.set)


def test_more_pipelined_requests_than_may_wait_are_refused_behind_the_others(edge: Edge) -> None:
    with edge.client() as client:
        client.send(request("GET", "/wait"), request("GET", "/") * 1000)
        until(lambda: edge.app.started, "the first one runs")
        edge.call(edge.app.gate.set)
        statuses = [client.answer().status for _ in range(34)]
        assert statuses == [200] * 33 + [400]
        assert client.ended()


def test_a_malformed_request_behind_a_good_one_is_refused_in_turn(edge: Edge) -> None:
    with edge.client() as client:
        client.send(request("GET", "/wait?a=1"), b"nonsense\r\n\r\n")
        until(lambda: edge.app.started, "the first one runs")
        edge.call(edge.app.gate.set)
        assert client.answer().json() == {"a": "1"}
        assert client.answer().status == 400
        assert client.ended()


@pytest.mark.parametrize("fields", [("Connection: close",), ("Connection: keep-alive, close",)])
def test_after_connection_close_nothing_more_is_answered(edge: Edge, fields: tuple[str, ...]) -> None:
    with edge.client() as client:
        client.send(request("POST", "/read", *fields, body=b"abc"), request("GET", "/second"))
        answer = client.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert client.ended()
    assert edge.app.started == 1


def test_http_1_0_ends_the_connection_and_knows_no_chunks(edge: Edge) -> None:
    with edge.client() as client:
        client.send(request("GET", "/stream?pieces=3&size=10", "Connection: keep-alive", version="1.0"))
        answer = client.answer()
        assert "transfer-encoding" not in answer.headers
        assert answer.body == b"x" * 30
    with edge.client() as client:
        client.send(b"GET /a HTTP/1.0\r\n\r\n")
        assert client.answer().json()["headers"] == []
        assert client.ended()


def test_head_has_no_body_and_the_next_answer_follows(edge: Edge) -> None:
    with edge.client() as client:
        client.send(request("HEAD", "/a"), request("HEAD", "/stream?pieces=2&size=9"), request("GET", "/b"))
        assert int(client.answer("HEAD").headers["content-length"]) > 0
        assert client.answer("HEAD").body == b""
        assert client.answer().json()["path"] == "/b"


@pytest.mark.parametrize("body", [b"", b"abc", MEGABYTES])
def test_an_offer_to_switch_protocols_is_passed_over(edge: Edge, body: bytes) -> None:
    fields = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ")
    with edge.client() as client:
        client.send(request("POST", "/read", *fields, body=body), request("GET", "/next"))
        assert client.answer().json()["sha256"] == sha256(body)
        assert client.answer().json()["path"] == "/next"
        client.send(request("POST", "/read", *fields, CHUNKED), b"0\r\n\r\n")
        assert client.answer().status == 400


def test_the_host_of_an_absolute_target_replaces_the_header(edge: Edge) -> None:
    with edge.client() as client:
        for target, path in [("http://example.org:81/a?b", "/a"), ("HTTP://example.org:81", "/")]:
            client.send(request("GET", target))
            assert client.answer().json() == {"path": path, "headers": [["host", "example.org:81"]]}
        client.send(request("OPTIONS", "*"))
        assert client.answer().json()["path"] == "*"
        client.send(request("OPTIONS", "http://example.org"))
        assert client.answer().json()["path"] == "*"


def test_what_arrived_before_a_cut_is_read_before_the_end_is_told(edge: Edge) -> None:
    for reset in (False, True):
        with edge.client() as client:
            client.send(request("POST", "/read?gate", "Content-Length: 100000"), MEGABYTES[:60_000])
            until(lambda: edge.app.started, "the request is there")
            if not reset:
                client.socket.shutdown(socket.SHUT_WR)
            else:
                until(lambda: _queued(edge) == 60_000, "the bytes are there")
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        until(lambda: edge.connections == 0, "the server notices")
        edge.call(edge.app.gate.set)
        until(lambda: edge.app.read, "the body is read")
        found = edge.app.read.pop()
        assert (found["size"], found["end"], found["sha256"]) == (60_000, "cut", sha256(MEGABYTES[:60_000]))
        edge.call(edge.app.gate.clear)
        edge.app.started = 0


def _queued(edge: Edge) -> int:
    cycles = [connection._cycle for connection in list(edge.server.server_state.connections)]  # type: ignore[union-attr]
    return sum(cycle.body.queued for cycle in cycles if cycle is not None)


def test_every_byte_of_a_large_body_that_was_cut_is_read(edge: Edge) -> None:
    with edge.client() as client:
        client.send(request("POST", "/read?want=65536", "Content-Length: 10000000"), MEGABYTES)
        until(lambda: edge.app.started, "the request is there")
    until(lambda: edge.app.read, "the body is read")
    assert edge.app.read[0]["sha256"] == sha256(MEGABYTES)


def test_a_complete_body_is_complete_though_the_client_has_gone(edge: Edge) -> None:
    with edge.client() as client:
        client.send(request("POST", "/read?gate", body=b"abc"))
        until(lambda: edge.app.started, "the request is there")
    until(lambda: edge.connections == 0, "the server notices")
    edge.call(edge.app.gate.set)
    until(lambda: edge.app.read, "the body is read")
    assert edge.app.read[0]["end"] == "complete"


def test_plain_messages_tell_of_a_disconnect_after_the_bytes(edge: Edge) -> None:
    with edge.client() as client:
        client.send(request("POST", "/plain", "Content-Length: 100"), b"x" * 60)
    until(lambda: edge.app.disconnects, "the application is told")
    assert edge.app.read == [{"size": 60, "end": "disconnect"}]


def test_an_application_that_waits_for_the_disconnect_is_told(edge: Edge) -> None:
    with edge.client() as client:
        client.send(request("GET", "/watch"))
        until(lambda: edge.app.started, "the request is there")
    until(lambda: edge.app.disconnects, "the application is told")


def test_bytes_are_given_in_batches_or_when_the_wait_is_over(edge: Edge) -> None:
    with edge.client() as client:
        client.send(request("POST", "/read?want=1048576&wait=30", body=MEGABYTES))
        client.answer()
        sizes = edge.app.read.pop()["sizes"]
        assert all(size >= BATCH for size in sizes[:-1])
        client.send(request("POST", "/read?want=1048576&wait=0.05", "Content-Length: 4"), b"ab")
        until(lambda: edge.app.bodies[-1].arrived == 2 and not edge.app.bodies[-1].queued, "the first two are taken")
        client.send(b"cd")
        assert client.answer().json()["size"] == 4
        assert edge.app.read[-1]["sizes"] == [2, 2]


def test_an_interrupted_body_gives_what_has_arrived_and_ends(edge: Edge) -> None:
    with edge.client() as client:
        client.send(request("POST", "/read?wait=30", "Content-Length: 100"), b"ab")
        until(lambda: edge.app.bodies and edge.app.bodies[-1].arrived == 2, "two bytes are there")
        edge.call(edge.app.bodies[-1].interrupt)
        answer = client.answer()
        assert (answer.json()["size"], answer.json()["end"]) == (2, "interrupted")
        client.send(b"x" * 98, request("GET", "/"))
        assert client.answer().status == 200


def test_a_silent_client_costs_no_more_than_its_objects() -> None:
    """64 KiB each have been read and given away; what is left are head, scope, task and timer."""
    fields = ("User-Agent: test", "Accept: */*", "Tus-Resumable: 1.0.0", "Upload-Offset: 0", "Content-Length: 1000000")
    with serving(TinyApp(idle_timeout=600)) as server, ExitStack() as stack:
        clients = [stack.enter_context(server.client()) for _ in range(1 + SILENT)]

        def send(client: RawClient) -> None:
            client.send(request("PATCH", "/read?wait=0", *fields), MEGABYTES[: 64 * 1024])

        send(clients[0])
        until(lambda: _silent(server, 1), "the first one is silent")
        tracemalloc.start()
        try:
            for client in clients[1:]:
                send(client)
            until(lambda: _silent(server, 1 + SILENT), "all of them are silent")
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] / SILENT < 12 * 1024
        finally:
            tracemalloc.stop()


def _silent(server: Edge, count: int) -> bool:
    bodies = server.app.bodies
    return len(bodies) == count and all(body.arrived == 64 * 1024 and not body.queued for body in bodies)


def test_other_applications_work_on_it() -> None:
    app = fastapi.FastAPI()

    @app.post("/items/{name}")
    async def make(name: str, item: dict[str, int]) -> dict[str, object]:
        return {"name": name, **item}

    with serving(app) as server, httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
        for number in range(3):
            assert client.post("/items/a%20b", json={"n": number}).json() == {"name": "a b", "n": number}
        assert client.post("/items/a", content=b"{").status_code == 422
        assert client.get("/openapi.json").json()["paths"]
        assert server.tracebacks == []


def test_the_application_may_be_broken(edge: Edge) -> None:
    for path in ("/crash", "/return", "/bad-header"):
        with edge.client() as client:
            client.send(request("GET", path))
            answer = client.answer()
            assert answer.status == 500
            assert answer.headers["content-type"] == "application/problem+json"
            assert client.ended()
    with edge.client() as client:
        client.send(request("GET", "/crash?late"))
        assert client.head()[0] == 200
        assert client.file.read(10) == b"12345"
    assert len(edge.log) == 4
    edge.log.clear()


def test_204_has_neither_length_nor_chunks(edge: Edge) -> None:
    with edge.client() as client:
        client.send(request("GET", "/204"), request("GET", "/"))
        _, headers = client.head()
        assert not {"content-length", "transfer-encoding"} & set(headers)
        assert client.answer().status == 200


def test_shutdown_lets_running_requests_finish_and_ends_the_others() -> None:
    with serving(TinyApp()) as server, server.client() as busy, server.client() as idle:
        idle.send(request("GET", "/"))
        assert idle.answer().status == 200
        busy.send(request("GET", "/wait"))
        until(lambda: server.app.started == 2, "the request is there")
        server.server.should_exit = True
        assert idle.ended()
        server.call(server.app.gate.set)
        assert busy.answer().headers["connection"] == "close"
        assert busy.ended()
