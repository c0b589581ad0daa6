"""Section A.9, lock conflict: a request for an upload makes the one that is writing it let go."""

from __future__ import annotations

import pytest

from tests.conformance.conftest import Serve
from tests.conformance.uploads import (
    BYTES,
    ask,
    content,
    create,
    head,
    offset,
    patch,
    pouring,
    record,
    refused,
    running,
    text,
)
from tests.raw_http import Connection, Response
from tests.servers import Server, eventually

PROMPT = 5.0
"""Seconds; far less than the idle timeout of a body, after which an upload would be let go anyhow."""

TRIES = 5
"""Of a request that may not wait: a holder in another process may have let go before it looks."""


def assert_interrupted(connection: Connection) -> None:
    """The request that had to let go is told so, and its connection ends."""
    response = connection.read()
    refused(response, 423, "interrupted")
    assert response["Retry-After"].isdecimal()
    assert response["Connection"] == "close"
    assert connection.ended()


def test_a_new_patch_takes_over(server: Server) -> None:
    url = create(server, 10)
    with running(server, url, b"12345", 10) as old, Connection(url, timeout=PROMPT) as new:
        new.send(text("PATCH", url, BYTES, "Upload-Offset: 5", body=b"678"))
        response = new.read()
        assert (response.status, response["Upload-Offset"]) == (204, "8")
        assert_interrupted(old)
        old.offer(b"XXXXX")
    assert patch(url, 8, b"90").status == 204
    assert content(url) == b"1234567890"


def test_head_stops_the_writer_and_tells_an_offset_to_go_on_at(server: Server) -> None:
    url = create(server, 10)
    with running(server, url, b"12345", 10) as old, Connection(url, timeout=PROMPT) as new:
        new.send(text("HEAD", url))
        assert new.read("HEAD")["Upload-Offset"] == "5"
        assert_interrupted(old)
        new.send(text("PATCH", url, BYTES, "Upload-Offset: 5", body=b"67890"))
        assert new.read().status == 204
    assert content(url) == b"1234567890"


def test_a_patch_at_another_offset_stops_the_writer_too(server: Server) -> None:
    url = create(server, 10)
    with running(server, url, b"12345", 10) as old, Connection(url, timeout=PROMPT) as new:
        new.send(text("PATCH", url, BYTES, "Upload-Offset: 0", body=b"678"))
        response = new.read()
        refused(response, 409, "offset_mismatch")
        assert response["Upload-Offset"] == "5"
        assert_interrupted(old)
    assert offset(url) == 5


def test_the_last_of_many_wins_and_every_byte_is_there_once(server: Server) -> None:
    data = bytes(range(100))
    url = create(server, 100)
    connections = []
    for position in range(0, 90, 10):
        connection = Connection(url, timeout=PROMPT)
        connections.append(connection)
        fields = [BYTES, f"Upload-Offset: {position}", f"Content-Length: {100 - position}"]
        connection.send(text("PATCH", url, *fields), data[position : position + 10])
        eventually(lambda expected=position + 10: record(server, url)["offset"] == expected)  # type: ignore[misc]
    connections[-1].send(data[90:])
    assert connections[-1].read().status == 204
    for connection in connections[:-1]:
        assert_interrupted(connection)
    for connection in connections:
        connection.close()
    assert content(url) == data


def test_head_stops_a_writer_that_sends_all_the_time(server: Server) -> None:
    url = create(server, 2**38)
    line = bytes(range(256)) * 256
    with running(server, url, b"", 2**38) as old, pouring(old, line):
        eventually(lambda: record(server, url)["offset"] > 2**20)
        reached = offset(url)
        assert_interrupted(old)
    assert offset(url) == reached
    assert patch(url, reached, b"end").status == 204
    response = ask("GET", url)
    if server.files is None and response.status == 404:
        assert b"only once it is finished" in response.body  # of parts in a bucket
        return
    assert response.body == (line * (reached // len(line) + 1))[:reached] + b"end"


def test_others_are_not_disturbed(server: Server) -> None:
    url, other = create(server, 10), create(server, 10)
    with running(server, url, b"12345", 10) as connection:
        assert head(other)["Upload-Offset"] == "0"
        assert patch(other, 0, b"12345").status == 204
        assert record(server, url)["offset"] == 5  # the API only looks on
        connection.send(b"67890")
        assert connection.read().status == 204
    assert content(url) == b"1234567890"


def wait_for_nothing(server: Server, method: str) -> tuple[str, Response]:
    """A request for an upload that another one writes, which may wait for no time; the upload, and the answer."""
    url = create(server, 10)
    with running(server, url, b"12345", 10), Connection(url) as connection:
        connection.send(text(method, url, BYTES, "Upload-Offset: 5", body=b"67890" if method == "PATCH" else None))
        return url, connection.read(method)


@pytest.mark.parametrize("method", ["HEAD", "PATCH", "DELETE"])
def test_who_waits_in_vain_gets_423_and_may_try_again(serve: Serve, method: str) -> None:
    server = serve("--lock-timeout", "0s")
    tries = (wait_for_nothing(server, method) for _ in range(TRIES))
    url, response = next((url, response) for url, response in tries if response.status == 423)
    refused(response, 423, "locked", method=method)
    assert response["Retry-After"].isdecimal()
    assert eventually(lambda: head(url).get("Upload-Offset")) == "5"
    assert content(url) == b"12345"
