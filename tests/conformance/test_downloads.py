"""Downloads: ranges and conditions (RFC 9110 sections 13 and 14), and headers that turn no upload into a page."""

from __future__ import annotations

import base64

import pytest

from tests.conformance.conftest import Serve
from tests.conformance.uploads import (
    UNKNOWN,
    ask,
    content,
    create,
    finished,
    head,
    partial,
    patch,
    record,
    refused,
    running,
    text,
    unchanged,
)
from tests.raw_http import Connection, Response
from tests.servers import Server

DATA = bytes(range(256))
LARGE = DATA * 4096 * 5


@pytest.fixture
def usual(serve: Serve) -> Server:
    """A server that gives finished uploads out, as they all do by default."""
    return serve("--downloads", "finished")


def get(url: str, *fields: str) -> Response:
    """GET as a browser does, without a version."""
    return ask("GET", url, *fields, tus=False)


def described(name: str, value: str | bytes) -> str:
    raw = value.encode() if isinstance(value, str) else value
    return f"Upload-Metadata: {name} {base64.b64encode(raw).decode()}"


def test_a_finished_upload_can_be_read(usual: Server) -> None:
    response = get(finished(usual, DATA))
    assert (response.status, response.body) == (200, DATA)
    assert response["Content-Length"] == "256"
    assert response["Accept-Ranges"] == "bytes"
    assert response["ETag"].startswith('"')
    assert response["Last-Modified"].endswith(" GMT")
    assert response["Content-Type"] == "application/octet-stream"
    assert response["Content-Disposition"].startswith("attachment; filename=")
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert "public" not in response["Cache-Control"]


def test_a_large_one_on_a_connection_that_stays(usual: Server) -> None:
    url = finished(usual, LARGE)
    with Connection(url) as connection:
        connection.send(text("GET", url), text("GET", url, "Range: bytes=1000000-3999999"), text("HEAD", url))
        assert connection.read().body == LARGE
        assert connection.read().body == LARGE[1_000_000:4_000_000]
        assert connection.read("HEAD")["Upload-Offset"] == str(len(LARGE))


def test_an_empty_one(usual: Server) -> None:
    url = create(usual, 0)
    response = get(url)
    assert (response.status, response.body, response["Content-Length"]) == (200, b"", "0")
    refused(get(url, "Range: bytes=0-"), 416, "range_not_satisfiable")
    assert get(url, "Range: bytes=0-")["Content-Range"] == "bytes */0"


@pytest.mark.parametrize("length", [10, None])
def test_an_unfinished_one_is_404(usual: Server, length: int | None) -> None:
    url = create(usual, length, data=b"12345")
    refused(get(url), 404, "not_found")
    refused(get(url, "Range: bytes=0-1"), 404, "not_found")
    assert head(url)["Upload-Offset"] == "5"


def test_unless_the_server_gives_them_out(server: Server) -> None:
    url = create(server, 10)
    tags = set()
    for count in range(0, 10, 3):
        response = get(url)
        assert (response.status, response.body) == (200, b"123456789"[:count])
        assert "Content-Range" not in response
        tags.add(response["ETag"])
        assert patch(url, count, b"123456789"[count : count + 3]).status in {204, 413}
    assert len(tags) == 4


def test_reading_does_not_disturb_the_writer(server: Server) -> None:
    url = create(server, 10)
    with running(server, url, b"12345", 10) as connection:
        assert get(url).body == b"12345"
        connection.send(b"67890")
        assert connection.read().status == 204
    assert get(url).body == b"1234567890"


def test_they_can_be_off(serve: Serve) -> None:
    server = serve("--downloads", "off")
    url = finished(server, DATA)
    response = get(url)
    refused(response, 405, "method_not_allowed")
    assert response["Allow"] == "OPTIONS, HEAD, PATCH, DELETE"
    assert ask("PUT", url)["Allow"] == "OPTIONS, HEAD, PATCH, DELETE"
    refused(get(f"{server.url}/{UNKNOWN}"), 405, "method_not_allowed")
    assert head(url)["Upload-Offset"] == "256"
    assert record(server, url)["state"] == "finished"


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, 256),
        ("bytes=10-19", 10, 20),
        ("bytes=250-", 250, 256),
        ("bytes=255-255", 255, 256),
        ("bytes=250-1000", 250, 256),
        ("bytes=-1", 255, 256),
        ("bytes=-256", 0, 256),
        ("bytes=-1000", 0, 256),
        ("bytes=0-99999999999999999999999", 0, 256),
        ("Bytes=1-2", 1, 3),
    ],
)
def test_a_range_is_206(usual: Server, asked: str, start: int, stop: int) -> None:
    response = get(finished(usual, DATA), f"Range: {asked}")
    assert (response.status, response.body) == (206, DATA[start:stop])
    assert response["Content-Range"] == f"bytes {start}-{stop - 1}/256"
    assert response["Content-Length"] == str(stop - start)
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize("asked", ["bytes=256-", "bytes=256-300", "bytes=-0", "bytes=99999999999999999999999-"])
def test_a_range_beyond_the_end_is_416(usual: Server, asked: str) -> None:
    response = get(finished(usual, DATA), f"Range: {asked}")
    refused(response, 416, "range_not_satisfiable")
    assert response["Content-Range"] == "bytes */256"


@pytest.mark.parametrize(
    "asked",
    [
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=--1",
        "bytes=a-b",
        "bytes=5-2",
        "bytes=1",
        "bytes=0x1-2",
        "bytes=+1-2",
        "bytes=１-2",
        "bytes 0-1",
        "lines=1-2",
        "",
        "bytes=0-1,3-4",
        "bytes=0-0,-1",
        "bytes=" + ",".join(["0-"] * 1000),
    ],
)
def test_a_range_that_is_none_or_many_gets_the_whole(usual: Server, asked: str) -> None:
    response = get(finished(usual, DATA), f"Range: {asked}")
    assert (response.status, response.body) == (200, DATA)
    assert "Content-Range" not in response


def test_if_range_asks_for_the_same_file(usual: Server) -> None:
    url = finished(usual, DATA)
    first = get(url)
    tag, modified = first["ETag"], first["Last-Modified"]
    for condition in (tag, modified):
        response = get(url, "Range: bytes=1-2", f"If-Range: {condition}")
        assert (response.status, response.body) == (206, DATA[1:3])
    for condition in (
        '"other"',
        f"W/{tag}",
        "Wed, 25 Jun 2014 16:00:00 GMT",
        "nonsense",
        "Wed, 99 Jun 99999 16:00:00 GMT",
    ):
        response = get(url, "Range: bytes=1-2", f"If-Range: {condition}")
        assert (response.status, response.body) == (200, DATA)


def test_if_none_match_of_the_same_file_is_304(usual: Server) -> None:
    url = finished(usual, DATA)
    tag = get(url)["ETag"]
    for condition in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        response = get(url, f"If-None-Match: {condition}")
        assert (response.status, response.body, response["ETag"]) == (304, b"", tag)
        assert "Content-Type" not in response
    # The condition comes before the range.
    assert get(url, f"If-None-Match: {tag}", "Range: bytes=1-2").status == 304
    for condition in ('"other"', tag.strip('"'), ""):
        assert get(url, f"If-None-Match: {condition}").status == 200


def test_if_modified_since(usual: Server) -> None:
    url = finished(usual, DATA)
    modified = get(url)["Last-Modified"]
    assert get(url, f"If-Modified-Since: {modified}").status == 304
    assert get(url, "If-Modified-Since: Wed, 25 Jun 2014 16:00:00 GMT").status == 200
    assert get(url, "If-Modified-Since: nonsense").status == 200
    assert get(url, f"If-Modified-Since: {modified}", 'If-None-Match: "other"').status == 200


def test_two_files_have_two_tags(usual: Server) -> None:
    assert get(finished(usual, DATA))["ETag"] != get(finished(usual, DATA))["ETag"]


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg", "video/mp4", "IMAGE/PNG", "image/png; a=b"])
def test_a_passive_type_is_shown(usual: Server, kind: str) -> None:
    response = get(finished(usual, DATA, described("filetype", kind)))
    assert response["Content-Type"] == kind.partition(";")[0].lower()
    assert response["Content-Disposition"].startswith("inline; filename=")
    assert response["X-Content-Type-Options"] == "nosniff"


def test_plain_text_is_shown_as_utf_8(usual: Server) -> None:
    response = get(finished(usual, b"<script>alert(1)</script>", described("filetype", "text/plain")))
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert response["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "kind",
    [
        "text/html",
        "TEXT/HTML; charset=utf-8",
        "image/svg+xml",
        "application/xhtml+xml",
        "text/xml",
        "application/javascript",
        "text/javascript",
        "application/pdf",
        "text/css",
        "application/wasm",
        "multipart/x-mixed-replace",
        "text/html\r\nX-Evil: 1",
        "text",
        "te xt/html",
        "image/png,text/html",
        "a" * 300 + "/b",
        "",
    ],
)
@pytest.mark.parametrize("key", ["filetype", "type", "contentType"])
def test_an_active_type_is_never_told(usual: Server, key: str, kind: str) -> None:
    response = get(finished(usual, b"<script>", described(key, kind)))
    assert response["Content-Type"] == "application/octet-stream"
    assert response["Content-Disposition"].startswith("attachment; filename=")
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "X-Evil" not in response


def test_even_if_somebody_lists_it(serve: Serve) -> None:
    server = serve("--inline-types", "text/html,image/svg+xml,application/zip")
    for kind, shown in (
        ("text/html", False),
        ("image/svg+xml", False),
        ("application/zip", True),
        ("image/png", False),
    ):
        response = get(finished(server, DATA, described("filetype", kind)))
        assert response["Content-Disposition"].startswith("inline" if shown else "attachment")


@pytest.mark.parametrize(
    ("name", "disposition"),
    [
        ("report.bin", 'attachment; filename="report.bin"'),
        ("a b.bin", 'attachment; filename="a b.bin"'),
        ("naïve.bin", "attachment; filename=\"na_ve.bin\"; filename*=UTF-8''na%C3%AFve.bin"),
        ("文件", "attachment; filename=\"__\"; filename*=UTF-8''%E6%96%87%E4%BB%B6"),
        ("../../x", 'attachment; filename="_.._x"'),
        ("50%.bin", "attachment; filename=\"50_.bin\"; filename*=UTF-8''50%25.bin"),
    ],
)
def test_the_name_is_told_plainly_and_in_full(usual: Server, name: str, disposition: str) -> None:
    assert get(finished(usual, DATA, described("filename", name)))["Content-Disposition"] == disposition


def test_parts_and_strangers(usual: Server) -> None:
    assert content(partial(usual, b"12345")) == b"12345"
    refused(get(f"{usual.url}/{UNKNOWN}"), 404, "not_found")
    url = finished(usual, DATA)
    with unchanged(url):
        assert get(url + "?download=1").body == DATA
        refused(get(url + "/"), 404, "not_found")
