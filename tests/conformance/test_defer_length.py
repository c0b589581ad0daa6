"""Rows A50-A64: creation-defer-length."""

from __future__ import annotations

import pytest

from tests.conformance.conftest import Serve
from tests.conformance.uploads import (
    BYTES,
    CHUNKED,
    ask,
    checksum,
    content,
    create,
    events,
    finished,
    head,
    limit,
    nothing_happens,
    offset,
    patch,
    post,
    record,
    refused,
    text,
    unchanged,
)
from tests.raw_http import Connection, chunked
from tests.servers import Server, eventually

LIMIT = 100


@pytest.fixture
def limited(serve: Serve) -> Server:
    """A server on which uploads may have `LIMIT` bytes."""
    return serve("--max-size", str(LIMIT))


def assert_deferred(url: str, at: int) -> None:
    response = head(url)
    assert (response.status, response["Upload-Offset"], response["Upload-Defer-Length"]) == (200, str(at), "1")
    assert "Upload-Length" not in response


def assert_known(url: str, length: int) -> None:
    response = head(url)
    assert response["Upload-Length"] == str(length)
    assert "Upload-Defer-Length" not in response


def test_A50_options_tells_creation_defer_length(server: Server) -> None:
    assert "creation-defer-length" in ask("OPTIONS", server.url)["Tus-Extension"].split(",")


def test_A51_the_length_may_be_deferred(server: Server) -> None:
    assert post(server, "Upload-Defer-Length: 1").status == 201


@pytest.mark.parametrize("value", ["0", "2", "true", "", "01", "1.0", "1, 1", "+1"])
def test_A52_another_value_is_400(server: Server, value: str) -> None:
    with nothing_happens(server):
        refused(post(server, f"Upload-Defer-Length: {value}"), 400, "invalid_header")
        refused(post(server, f"Upload-Defer-Length: {value}", "Upload-Length: 1"), 400, "invalid_header")


def test_A52_two_lines_are_400(server: Server) -> None:
    with nothing_happens(server):
        refused(post(server, "Upload-Defer-Length: 1", "Upload-Defer-Length: 1"), 400, "invalid_header")


def test_A53_both_lengths_are_400(server: Server) -> None:
    with nothing_happens(server):
        refused(post(server, "Upload-Length: 1", "Upload-Defer-Length: 1"), 400, "bad_request")


def test_A54_head_tells_that_the_length_is_deferred(server: Server) -> None:
    assert_deferred(create(server), 0)


def test_A55_head_tells_nothing_of_it_once_the_length_is_known(server: Server) -> None:
    assert_known(create(server, 5), 5)
    url = create(server)
    assert patch(url, 0, b"1", "Upload-Length: 5").status == 204
    assert_known(url, 5)


def test_A56_patch_without_a_length_leaves_it_deferred(server: Server) -> None:
    url = create(server)
    assert patch(url, 0, b"123")["Upload-Offset"] == "3"
    assert patch(url, 3, b"45")["Upload-Offset"] == "5"
    assert_deferred(url, 5)
    assert content(url) == b"12345"


@pytest.mark.parametrize(("length", "state"), [(5, "finished"), (6, "open"), (2**63 - 1, "open")])
def test_A57_patch_may_declare_the_length(server: Server, length: int, state: str) -> None:
    url = create(server, data=b"123")
    if (largest := limit(server)) is not None and length > largest:
        with unchanged(url):
            refused(patch(url, 3, b"45", f"Upload-Length: {length}"), 413, "too_large")
        return
    response = patch(url, 3, b"45", f"Upload-Length: {length}")
    assert (response.status, response["Upload-Offset"]) == (204, "5")
    assert_known(url, length)
    assert record(server, url)["state"] == state
    assert content(url) == b"12345"


@pytest.mark.parametrize("length", [4, 5, 6, 9])
@pytest.mark.parametrize("body", [b"4", b""])
def test_A58_the_length_cannot_be_declared_twice(server: Server, length: int, body: bytes) -> None:
    url = create(server)
    assert patch(url, 0, b"123", "Upload-Length: 5").status == 204
    with unchanged(url):
        refused(patch(url, 3, body, f"Upload-Length: {length}"), 400, "invalid_header")


def test_A58_nor_after_the_last_byte(server: Server) -> None:
    url = create(server)
    assert patch(url, 0, b"123", "Upload-Length: 3").status == 204
    with unchanged(url):
        refused(patch(url, 3, b"", "Upload-Length: 3"), 400, "invalid_header")


@pytest.mark.parametrize("length", ["2", "0", "-1", "x", "1.5", "", "９", "9223372036854775808"])
def test_A59_a_length_below_the_offset_is_400(server: Server, length: str) -> None:
    url = create(server, data=b"123")
    with unchanged(url):
        refused(patch(url, 3, b"", f"Upload-Length: {length}"), 400, "invalid_header")
    assert_deferred(url, 3)


def test_A60_a_length_below_the_end_of_the_body_is_413(server: Server) -> None:
    url = create(server, data=b"123")
    with unchanged(url):
        refused(patch(url, 3, b"456", "Upload-Length: 5"), 413, "length_exceeded")
    assert_deferred(url, 3)
    assert patch(url, 3, b"456", "Upload-Length: 6").status == 204


def test_A60_a_chunked_body_beyond_the_declared_length_is_413(server: Server) -> None:
    url = create(server, data=b"123")
    fields = [BYTES, "Upload-Offset: 3", "Upload-Length: 5", CHUNKED]
    refused(ask("PATCH", url, *fields, body=chunked(b"456")), 413, "length_exceeded")
    kept = content(url)
    assert_deferred(url, len(kept))
    assert len(kept) <= 5
    assert b"12345".startswith(kept)


@pytest.mark.parametrize(
    ("position", "fields", "status"),
    [
        (4, [BYTES], 409),
        (3, ["Content-Type: text/plain"], 415),
        (3, [BYTES, "Upload-Checksum: " + checksum("sha1", b"x")], 460),
        (3, [BYTES, "Upload-Checksum: foo bar"], 400),
        (3, [BYTES, "Upload-Metadata: a", "Upload-Offset: 3"], 400),
    ],
)
def test_A60_a_refused_patch_declares_nothing(server: Server, position: int, fields: list[str], status: int) -> None:
    url = create(server, data=b"123")
    with unchanged(url):
        response = ask("PATCH", url, f"Upload-Offset: {position}", "Upload-Length: 5", *fields, body=b"45")
        assert response.status == status
    assert_deferred(url, 3)


def test_A60_a_cut_patch_can_be_repeated_as_it_was(server: Server) -> None:
    # tus-js-client does so: it sends the length again, whatever HEAD told.
    url = create(server, data=b"12")
    with Connection(url) as connection:
        fields = [BYTES, "Upload-Offset: 2", "Upload-Length: 8", "Content-Length: 6"]
        connection.send(text("PATCH", url, *fields), b"345")
        eventually(lambda: record(server, url)["offset"] == 5)
    assert_deferred(url, 5)
    assert patch(url, 5, b"678", "Upload-Length: 8").status == 204
    assert_known(url, 8)
    assert content(url) == b"12345678"


def test_A61_a_length_beyond_the_limit_is_413(limited: Server) -> None:
    url = create(limited, data=b"123")
    with unchanged(url):
        refused(patch(url, 3, b"4", f"Upload-Length: {LIMIT + 1}"), 413, "too_large")
    assert_deferred(url, 3)
    assert patch(url, 3, b"4", f"Upload-Length: {LIMIT}").status == 204


def test_A62_bytes_beyond_the_limit_are_413(limited: Server) -> None:
    url = create(limited, data=b"x" * 60)
    with unchanged(url):
        refused(patch(url, 60, b"y" * 41), 413, "too_large")
    assert patch(url, 60, b"y" * 40)["Upload-Offset"] == "100"
    with unchanged(url):
        refused(patch(url, 100, b"z"), 413, "too_large")


@pytest.mark.parametrize("chunks", [[b"y" * 41], [b"y" * 20] * 3])
def test_A62_chunked_bytes_beyond_the_limit_are_413(limited: Server, chunks: list[bytes]) -> None:
    url = create(limited, data=b"x" * 60)
    response = ask("PATCH", url, BYTES, "Upload-Offset: 60", CHUNKED, body=chunked(*chunks))
    refused(response, 413, "too_large")
    kept = content(url)
    assert offset(url) == len(kept) <= LIMIT
    assert kept == b"x" * 60 + b"y" * (len(kept) - 60)


@pytest.mark.parametrize(("fields", "body"), [([], b"x" * 101), ([CHUNKED], chunked(b"x" * 60, b"y" * 60))])
def test_A62_also_in_a_creation(limited: Server, fields: list[str], body: bytes) -> None:
    with nothing_happens(limited):
        refused(post(limited, "Upload-Defer-Length: 1", BYTES, *fields, body=body), 413, "too_large")


@pytest.mark.parametrize("data", [b"", b"123"])
def test_A63_an_empty_patch_with_the_length_completes_the_upload(server: Server, data: bytes) -> None:
    url = create(server, data=data)
    before = events(server, "finished")
    response = patch(url, len(data), b"", f"Upload-Length: {len(data)}")
    assert (response.status, response["Upload-Offset"]) == (204, str(len(data)))
    assert record(server, url)["state"] == "finished"
    assert events(server, "finished") == before + 1
    assert_known(url, len(data))
    assert content(url) == data


@pytest.mark.parametrize("length", [3, 4, 5, 6])
def test_A64_the_length_of_an_ordinary_upload_cannot_be_declared(server: Server, length: int) -> None:
    url = create(server, 5, data=b"123")
    with unchanged(url):
        refused(patch(url, 3, b"", f"Upload-Length: {length}"), 400, "invalid_header")
    url = finished(server, b"12345")
    with unchanged(url):
        refused(patch(url, 5, b"", f"Upload-Length: {length}"), 400, "invalid_header")
