"""Rows A120-A126: termination."""

from __future__ import annotations

import pytest

from tests.conformance import uploads
from tests.conformance.conftest import Serve
from tests.servers import Server, eventually


def assert_gone(server: Server, url: str) -> None:
    """Nothing is left of it: no answer, no record, no file."""
    uploads.refused(uploads.head(url), 404, "not_found", method="HEAD")
    for method in ("DELETE", "GET"):
        uploads.refused(uploads.ask(method, url), 404, "not_found")
    for position in (0, 3):
        uploads.refused(uploads.patch(url, position, b"x"), 404, "not_found")
    assert url.rpartition("/")[2] not in uploads.listed(server)
    eventually(lambda: uploads.files(server, url) == [])


def delete(url: str) -> None:
    response = uploads.ask("DELETE", url)
    assert (response.status, response.body) == (204, b"")
    assert not {"content-length", "upload-offset"} & {name for name, _ in response.fields}


def test_A120_options_tells_termination(server: Server) -> None:
    assert "termination" in uploads.ask("OPTIONS", server.url)["Tus-Extension"].split(",")


@pytest.mark.parametrize("data", [b"", b"123"])
@pytest.mark.parametrize("length", [10, None])
def test_A121_an_unfinished_upload_can_be_deleted(server: Server, data: bytes, length: int | None) -> None:
    url = uploads.create(server, length, data=data)
    before = uploads.events(server, "terminated")
    delete(url)
    assert uploads.events(server, "terminated") == before + 1
    eventually(lambda: uploads.files(server, url) == [])


def test_A122_a_finished_upload_can_be_deleted(server: Server) -> None:
    url, empty = uploads.finished(server, b"123"), uploads.create(server, 0)
    for one in (url, empty):
        delete(one)
        assert_gone(server, one)


def test_A122_unless_the_server_keeps_them(serve: Serve) -> None:
    server = serve("--no-terminate-finished")
    url = uploads.finished(server, b"123")
    with uploads.unchanged(url), uploads.nothing_happens(server):
        uploads.refused(uploads.ask("DELETE", url), 403, "forbidden")
    unfinished = uploads.create(server, 10, data=b"123")
    delete(unfinished)
    assert_gone(server, unfinished)


@pytest.mark.parametrize("length", [3, 10, None])
def test_A123_afterwards_it_is_404(server: Server, length: int | None) -> None:
    url, other = uploads.create(server, length, data=b"123"), uploads.create(server, length, data=b"123")
    with uploads.unchanged(other):
        delete(url)
        assert_gone(server, url)


def test_A124_an_unknown_upload_is_404(server: Server) -> None:
    with uploads.nothing_happens(server):
        uploads.refused(uploads.ask("DELETE", f"{server.url}/{uploads.UNKNOWN}"), 404, "not_found")


def test_A125_a_running_patch_ends_and_brings_nothing_back(server: Server) -> None:
    url = uploads.create(server, 100)
    with uploads.running(server, url, b"12345", 100) as connection:
        delete(url)
        connection.offer(b"67890")
        answers = connection.end_of_answers()
        assert all(400 <= answer.status < 500 for answer in answers)
    assert_gone(server, url)


def test_A125_nor_does_one_that_sends_all_the_time(server: Server) -> None:
    url = uploads.create(server, 2**38)
    with uploads.running(server, url, b"12345", 2**38) as connection, uploads.pouring(connection):
        eventually(lambda: uploads.record(server, url)["offset"] > 2**20)
        delete(url)
        assert all(400 <= answer.status < 500 for answer in connection.end_of_answers())
    assert_gone(server, url)


def test_A126_a_final_upload_outlives_its_parts(server: Server) -> None:
    parts = [uploads.partial(server, b"hello "), uploads.partial(server, b"world")]
    whole = uploads.located(server, uploads.final(server, *parts))
    with uploads.unchanged(whole):
        for part in parts:
            delete(part)
            assert_gone(server, part)
    assert uploads.content(whole) == b"hello world"
