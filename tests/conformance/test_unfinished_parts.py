"""Rows A150-A154: concatenation-unfinished."""

from __future__ import annotations

import pytest

from tests.conformance.conftest import Serve
from tests.conformance.uploads import (
    ask,
    content,
    create,
    events,
    files,
    final,
    head,
    located,
    partial,
    patch,
    record,
    refused,
)
from tests.servers import Server, eventually

PARTIAL = "Upload-Concat: partial"


def wait_until_finished(server: Server, url: str) -> None:
    """Look on, as the API does, which drives nothing on."""
    eventually(lambda: record(server, url)["state"] == "finished")


def test_A150_a_final_upload_may_have_unfinished_parts(server: Server) -> None:
    response = final(server, partial(server, b"hello "), create(server, 5, PARTIAL), create(server, None, PARTIAL))
    assert (response.status, response.body) == (201, b"")
    assert "Upload-Offset" not in response
    assert head(located(server, response)).status == 200


def test_A151_it_has_no_offset_before_its_parts_are_done(server: Server) -> None:
    parts = [create(server, 6, PARTIAL), create(server, 5, PARTIAL)]
    url = located(server, final(server, *parts))
    assert "Upload-Offset" not in head(url)
    assert patch(parts[1], 0, b"world").status == 204
    assert "Upload-Offset" not in head(url)
    assert patch(parts[0], 0, b"hello").status == 204
    assert "Upload-Offset" not in head(url)
    assert patch(parts[0], 5, b" ").status == 204
    assert head(url)["Upload-Offset"] == "11"


def test_A151_nor_content(server: Server) -> None:
    url = located(server, final(server, partial(server, b"hello "), create(server, 5, PARTIAL)))
    assert content(url) == b""


def test_A152_its_length_is_told_as_soon_as_every_part_has_one(server: Server) -> None:
    known, deferred = create(server, 6, PARTIAL), create(server, None, PARTIAL, data=b"wor")
    url = located(server, final(server, known, deferred))
    response = head(url)
    assert not {"upload-length", "upload-defer-length", "upload-offset"} & {name for name, _ in response.fields}
    assert patch(deferred, 3, b"l", "Upload-Length: 5").status == 204
    response = head(url)
    assert response["Upload-Length"] == "11"
    assert "Upload-Offset" not in response
    at_once = located(server, final(server, create(server, 6, PARTIAL), create(server, 5, PARTIAL)))
    assert head(at_once)["Upload-Length"] == "11"


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_A153_the_last_part_finishes_it(server: Server, order: list[int]) -> None:
    data = [b"hello ", b"wor", b"ld"]
    parts = [create(server, len(one), PARTIAL) for one in data]
    before = events(server, "finished")
    url = located(server, final(server, *parts))
    for number in order:
        assert record(server, url)["state"] == "open"
        assert patch(parts[number], 0, data[number]).status == 204
    wait_until_finished(server, url)
    assert events(server, "finished") == before + 1
    response = head(url)
    assert (response["Upload-Offset"], response["Upload-Length"]) == ("11", "11")
    assert content(url) == b"hello world"


def test_A153_a_part_with_a_deferred_length_too(server: Server) -> None:
    part = create(server, None, PARTIAL, data=b"123")
    one, other = (located(server, final(server, *names)) for names in ([part], [part, part]))
    assert patch(part, 3, b"", "Upload-Length: 3").status == 204
    for url, expected in ((one, b"123"), (other, b"123123")):
        wait_until_finished(server, url)
        assert content(url) == expected


def test_A153_parts_beyond_the_limit_in_the_end(serve: Serve) -> None:
    server = serve("--max-size", "10")
    parts = [create(server, None, PARTIAL, data=b"123456"), create(server, None, PARTIAL, data=b"123456")]
    url = located(server, final(server, *parts))
    for part in parts:
        assert patch(part, 6, b"", "Upload-Length: 6").status == 204
    response = head(url)
    assert response.status in {410, 413}
    assert "Upload-Offset" not in response
    assert head(url).status == 410
    assert content(parts[0]) == b"123456"


def test_A154_it_takes_no_bytes_at_any_time(server: Server) -> None:
    part = create(server, 5, PARTIAL)
    url = located(server, final(server, part))
    for data in (b"123", b"45"):
        for position in (0, 5):
            refused(patch(url, position, b"x"), 403, "final_not_writable")
            refused(patch(url, position), 403, "final_not_writable")
        assert patch(part, int(head(part)["Upload-Offset"]), data).status == 204
    refused(patch(url, 5, b"x"), 403, "final_not_writable")
    assert content(url) == b"12345"


def test_A154_without_a_part_it_is_410(server: Server) -> None:
    parts = [partial(server, b"hello "), create(server, 5, PARTIAL)]
    url = located(server, final(server, *parts))
    before = events(server, "failed")
    assert ask("DELETE", parts[1]).status == 204
    refused(head(url), 410, "gone", method="HEAD")
    eventually(lambda: events(server, "failed") == before + 1)
    refused(ask("GET", url), 410, "gone")
    refused(patch(url, 0, b"x"), 410, "gone")
    assert files(server, url) == []
    assert content(parts[0]) == b"hello "


def test_A154_it_can_be_deleted_before_it_is_done(server: Server) -> None:
    part = create(server, 5, PARTIAL, data=b"123")
    url = located(server, final(server, part))
    assert ask("DELETE", url).status == 204
    assert head(url).status == 404
    assert patch(part, 3, b"45").status == 204
    assert content(part) == b"12345"
    assert head(url).status == 404


def test_A154_with_an_expired_part_it_is_410(serve: Serve) -> None:
    server = serve("--expire-after", "1s")
    part = create(server, 5, PARTIAL, data=b"123")
    url = located(server, final(server, part))
    eventually(lambda: head(url).status == 410)
    assert "Upload-Offset" not in head(url)
    refused(ask("GET", url), 410, "gone")
