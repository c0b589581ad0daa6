"""F17: HTML and SVG are served inline from the upload host: stored XSS."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.failure.client import ask, create
from tests.failure.forked import serving
from tests.raw_http import Response
from tests.servers import Server

PAGE = b"<html><svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/><script>alert(1)</script></html>"

ACTIVE = (
    "text/html",
    "TEXT/HTML",
    " text/html",
    "text/html; charset=utf-8",
    "text/html;charset=utf-7",
    "image/svg+xml",
    "Image/SVG+XML",
    "application/xhtml+xml",
    "application/xml",
    "text/xml",
    "text/xsl",
    "application/rss+xml",
    "application/pdf",
    "application/javascript",
    "text/javascript",
    "text/css",
    "application/x-shockwave-flash",
    "multipart/x-mixed-replace",
    "text/plain, text/html",
    "text/plain\r\nContent-Type: text/html",
    "image/png\0text/html",
    "*/*",
    "html",
    "",
)

KEYS = ("filetype", "type", "contentType", "content_type", "mimetype")


@pytest.fixture(scope="module", params=["default", "careless"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with its default list of types, and one whose operator put every type on it."""
    folder: Path = tmp_path_factory.mktemp("server")
    active = sorted({kind for kind in ACTIVE if "," not in kind and kind.isprintable() and kind.strip()})
    flags = () if request.param == "default" else ("--inline-types", ",".join([*active, "image/png"]))
    with serving(folder, *flags) as server:
        yield server


def download(server: Server, metadata: dict[str, str], content: bytes = PAGE) -> Response:
    """Upload with metadata, and answer as a browser gets it."""
    pairs = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in metadata.items())
    return ask(server, "GET", create(server, len(content), {"Upload-Metadata": pairs} if pairs else {}, content))


@pytest.mark.parametrize("kind", ACTIVE)
def test_F17_active_content_is_never_shown_in_place(server: Server, kind: str) -> None:
    for key in KEYS:
        answer = download(server, {key: kind, "filename": "picture.png"})
        assert answer.status == 200
        assert answer.body == PAGE
        assert answer["content-disposition"].startswith("attachment"), answer
        assert answer["x-content-type-options"] == "nosniff"
        assert "\r" not in answer["content-type"]


@pytest.mark.parametrize(
    "name", ["page.html", "page.svg", "page.HTM", 'x"; filename=page.html', "x\r\nX-Evil: 1", "x\0.html"]
)
def test_F17_a_name_makes_nothing_active(server: Server, name: str) -> None:
    answer = download(server, {"filename": name})
    assert answer["content-disposition"].startswith("attachment")
    assert answer["content-type"] == "application/octet-stream"
    assert answer["x-content-type-options"] == "nosniff"
    assert "x-evil" not in answer


def test_F17_a_picture_is_shown_but_not_sniffed(server: Server) -> None:
    # Its bytes are a page: a browser that guessed would run it.
    answer = download(server, {"filetype": "image/png", "filename": "p.png"})
    assert answer["content-type"] == "image/png"
    assert answer["content-disposition"].startswith("inline")
    assert answer["x-content-type-options"] == "nosniff"


def test_F17_metadata_are_not_shown_as_a_page(server: Server) -> None:
    path = create(server, 5)
    for answer in (ask(server, "GET", path), ask(server, "GET", f"{server.path}/%3Cscript%3E")):
        assert answer.status == 404
        assert "html" not in answer["content-type"]
