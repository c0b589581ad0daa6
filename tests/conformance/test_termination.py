"""Rows A120-A126: termination."""

from __future__ import annotations

import pytest

from tests.conformance.conftest import Serve
from tests.conformance.uploads import (
    UNKNOWN,
    ask,
    content,
    create,
    events,
    files,
    final,
    finished,
    head,
    listed,
    located,
    nothing_happens,
    partial,
    patch,
    pouring,
    record,
    refused,
    running,
    unchanged,
)
from tests.servers import Server, eventually


def assert_gone(server: Server, url: str) -> None:
    """Nothing is left of it: no answer, no record, no file."""
    refused(head(url), 404, "not_found", method="HEAD")
    for method in ("DELETE", "GET"):
        refused(ask(method, url), 404, "not_found")
    for position in (0, 3):
        refused(patch(url, position, b"x"), 404, "not_found")
    assert url.rpartition("/")[2] not in listed(server)
    eventually(lambda: files(server, url) == [])


def delete(url: str) -> None:
    response = ask("DELETE", url)
    assert (response.status, response.body) == (204, b"")
    assert not {"content-length", "upload-offset"} & {name for name, _ in response.fields}


def test_A120_options_tells_termination(server: Server) -> None:
    assert "termination" in ask("OPTIONS", server.url)["Tus-Extension"].split(",")


@pytest.mark.parametrize("data", [b"", b"123"])
@pytest.mark.parametrize("length", [10, None])
def test_A121_an_unfinished_upload_can_be_deleted(server: Server, data: bytes, length: int | None) -> None:
    url = create(server, length, data=data)
    before = events(server, "terminated")
    delete(url)
    assert events(server, "terminated") == before + 1
    eventually(lambda: files(server, url) == [])


def test_A122_a_finished_upload_can_be_deleted(server: Server) -> None:
    url, empty = finished(server, b"123"), create(server, 0)
    for one in (url, empty):
        delete(one)
        assert_gone(server, one)


def test_A122_unless_the_server_keeps_them(serve: Serve) -> None:
    server = serve("--no-terminate-finished")
    url = finished(server, b"123")
    with unchanged(url), nothing_happens(server):
        refused(ask("DELETE", url), 403, "forbidden")
    unfinished = create(server, 10, data=b"123")
    delete(unfinished)
    assert_gone(server, unfinished)


@pytest.mark.parametrize("length", [3, 10, None])
def test_A123_afterwards_it_is_404(server: Server, length: int | None) -> None:
    url, other = create(server, length, data=b"123"), create(server, length, data=b"123")
    with unchanged(other):
        delete(url)
        assert_gone(server, url)


def test_A124_an_unknown_upload_is_404(server: Server) -> None:
    with nothing_happens(server):
        refused(ask("DELETE", f"{server.url}/{UNKNOWN}"), 404, "not_found")


def test_A125_a_running_patch_ends_and_brings_nothing_back(server: Server) -> None:
    url = create(server, 100)
    with running(server, url, b"12345", 100) as connection:
        delete(url)
        connection.offer(b"67890")
        answers = connection.end_of_answers()
        assert all(400 <= answer.status < 500 for answer in answers)
    assert_gone(server, url)


def test_A125_nor_does_one_that_sends_all_the_time(server: Server) -> None:
    url = create(server, 2**40)
    with running(server, url, b"12345", 2**40) as connection, pouring(connection):
        eventually(lambda: record(server, url)["offset"] > 2**20)
        delete(url)
        assert all(400 <= answer.status < 500 for answer in connection.end_of_answers())
    assert_gone(server, url)


def test_A126_a_final_upload_outlives_its_parts(server: Server) -> None:
    parts = [partial(server, b"hello "), partial(server, b"world")]
    whole = located(server, final(server, *parts))
    with unchanged(whole):
        for part in parts:
            delete(part)
            assert_gone(server, part)
    assert content(whole) == b"hello world"
