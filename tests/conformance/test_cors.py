"""Pages of other origins (Fetch standard): preflights, what they may read, and who may at all."""

from __future__ import annotations

import pytest

from tests.conformance.conftest import Serve
from tests.conformance.uploads import (
    BYTES,
    UNKNOWN,
    ask,
    create,
    finished,
    head,
    nothing_happens,
    patch,
    post,
)
from tests.raw_http import Response
from tests.servers import Server

PAGE = "Origin: https://app.example"

READABLE = {
    "location",
    "upload-offset",
    "upload-length",
    "upload-defer-length",
    "upload-metadata",
    "upload-concat",
    "upload-expires",
    "upload-complete",
    "upload-limit",
    "upload-draft-interop-version",
    "tus-resumable",
    "tus-version",
    "tus-extension",
    "tus-max-size",
    "tus-checksum-algorithm",
    "etag",
    "content-range",
    "accept-ranges",
    "content-disposition",
    "retry-after",
}
"""What clients of tus, of the IETF draft and of downloads read."""

SENDABLE = {
    "authorization",
    "content-type",
    "upload-offset",
    "upload-length",
    "upload-defer-length",
    "upload-metadata",
    "upload-concat",
    "upload-checksum",
    "upload-complete",
    "upload-draft-interop-version",
    "tus-resumable",
    "x-http-method-override",
    "x-requested-with",
    "range",
    "if-range",
    "if-none-match",
}


def preflight(url: str, *fields: str, method: str = "PATCH", origin: str = PAGE) -> Response:
    response = ask("OPTIONS", url, origin, f"Access-Control-Request-Method: {method}", *fields, tus=False)
    assert response.status == 200
    return response


def names(response: Response, field: str) -> set[str]:
    return {name.strip().lower() for name in response[field].split(",")}


def assert_closed(response: Response) -> None:
    """A browser keeps this from the page."""
    assert not [name for name, _ in response.fields if name.startswith("access-control-")]


@pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH", "DELETE", "GET"])
@pytest.mark.parametrize("place", ["collection", "upload", "unknown"])
def test_a_preflight_allows_what_tus_needs(server: Server, method: str, place: str) -> None:
    url = {"collection": server.url, "unknown": f"{server.url}/{UNKNOWN}"}.get(place) or create(server, 5)
    asked = "Access-Control-Request-Headers: content-type,tus-resumable,upload-offset"
    response = preflight(url, asked, method=method)
    assert response["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in response
    assert method.lower() in names(response, "Access-Control-Allow-Methods")
    assert names(response, "Access-Control-Allow-Headers") >= SENDABLE
    assert response["Access-Control-Max-Age"] == "86400"
    assert response.body == b""


def test_a_preflight_allows_further_fields_that_a_page_asks_for(server: Server) -> None:
    response = preflight(server.url, "Access-Control-Request-Headers: x-project, traceparent,x-project")
    assert {"x-project", "traceparent"} <= names(response, "Access-Control-Allow-Headers")


@pytest.mark.parametrize("bad", ["x y", "x\x7fy", "a;b", "é", "x" * 101, ","])
def test_but_nothing_that_is_no_name(server: Server, bad: str) -> None:
    with nothing_happens(server):
        response = ask(
            "OPTIONS",
            server.url,
            PAGE,
            "Access-Control-Request-Method: PATCH",
            f"Access-Control-Request-Headers: {bad}",
        )
        if response.status == 200:
            assert bad.lower() not in response["Access-Control-Allow-Headers"].lower().split(", ")
            assert response["Access-Control-Allow-Headers"].isascii()
        else:
            assert response.status == 400


def test_a_preflight_needs_no_token(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> None:
    tokens = tmp_path_factory.mktemp("tokens") / "tokens"
    tokens.write_text("correct-horse-battery-staple\n")
    server = serve("--auth-tokens-file", str(tokens))
    assert preflight(server.url)["Access-Control-Allow-Origin"] == "*"
    refusal = ask("POST", server.url, PAGE, "Upload-Length: 5")
    assert (refusal.status, refusal["Access-Control-Allow-Origin"]) == (401, "*")


def test_every_answer_can_be_read(server: Server) -> None:
    url, done = create(server, 5), finished(server, b"12345")
    fields = [BYTES, "Upload-Offset: 0"]
    answers = [
        post(server, PAGE, "Upload-Length: 5"),
        ask("HEAD", url, PAGE),
        ask("PATCH", url, PAGE, *fields, body=b"123"),
        ask("PATCH", url, PAGE, *fields, body=b"123"),
        ask("PATCH", url, PAGE, body=b"123"),
        ask("GET", done, PAGE),
        ask("GET", done, PAGE, "Range: bytes=1-2"),
        ask("GET", done, PAGE, "Range: bytes=9-"),
        ask("GET", done, PAGE, f"If-None-Match: {ask('GET', done)['ETag']}"),
        ask("DELETE", url, PAGE),
        ask("HEAD", url, PAGE),
        ask("PUT", url, PAGE),
        ask("POST", server.url, PAGE, "Upload-Length: 5", tus=False),
        ask("OPTIONS", server.url, PAGE),
    ]
    assert [answer.status for answer in answers] == [
        201,
        200,
        204,
        409,
        415,
        200,
        206,
        416,
        304,
        204,
        404,
        405,
        412,
        200,
    ]
    for answer in answers:
        assert answer["Access-Control-Allow-Origin"] == "*"
        assert names(answer, "Access-Control-Expose-Headers") >= READABLE


def test_without_an_origin_nothing_is_said(server: Server) -> None:
    url = create(server, 5)
    for answer in (ask("OPTIONS", url), head(url), patch(url, 0, b"1"), patch(url, 0, b"1"), ask("GET", url)):
        assert_closed(answer)


def test_options_without_the_wish_for_a_method_is_no_preflight(server: Server) -> None:
    response = ask("OPTIONS", server.url, PAGE)
    assert "Access-Control-Allow-Methods" not in response
    assert response["Access-Control-Allow-Origin"] == "*"


LISTED = ("--cors-origins", r"https://app.example,https://*.tenant.example,re:https://pr-[0-9]+\.preview\.example,null")


@pytest.mark.parametrize("credentials", [False, True])
@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example",
        "https://a.tenant.example",
        "https://a.b.tenant.example",
        "https://pr-12.preview.example",
        "null",
    ],
)
def test_an_origin_that_is_listed_may(serve: Serve, origin: str, credentials: bool) -> None:
    server = serve(*LISTED, *(["--cors-credentials"] if credentials else []))
    for answer in (
        preflight(server.url, origin=f"Origin: {origin}"),
        post(server, f"Origin: {origin}", "Upload-Length: 5"),
    ):
        assert answer["Access-Control-Allow-Origin"] == origin
        assert answer["Vary"] == "Origin"
        assert answer.get("Access-Control-Allow-Credentials") == ("true" if credentials else None)


@pytest.mark.parametrize(
    "origin",
    [
        "http://app.example",
        "https://app.example:8443",
        "https://app.example.evil.example",
        "https://evil-app.example",
        "https://tenant.example",
        "https://eviltenant.example",
        "https://evil.example/.tenant.example",
        "https://evil.example#.tenant.example",
        "https://evil.example?.tenant.example",
        "https://evil.example\\.tenant.example",
        "https://user@evil.example:x.tenant.example",
        "https://pr-12.preview.example.evil.example",
        "https://pr-.preview.example",
        "https://pr-12xpreview.example",
        "*",
        "",
    ],
)
def test_another_may_not(serve: Serve, origin: str) -> None:
    server = serve(*LISTED)
    assert_closed(preflight(server.url, origin=f"Origin: {origin}"))
    assert_closed(post(server, f"Origin: {origin}", "Upload-Length: 5"))


def test_where_answers_differ_by_origin_caches_are_told(serve: Serve) -> None:
    # Otherwise a cache could give an answer without the header to the page that may read it.
    server = serve(*LISTED)
    url = finished(server, b"12345")
    for field in (PAGE, "Origin: https://evil.example", "X-No: origin"):
        assert ask("GET", url, field)["Vary"] == "Origin"


def test_it_can_be_off(serve: Serve) -> None:
    server = serve("--cors-origins", "")
    assert_closed(preflight(server.url))
    url = create(server, 5)
    assert_closed(ask("HEAD", url, PAGE))
    assert_closed(ask("PUT", url, PAGE))


def test_how_long_a_preflight_counts_can_be_set(serve: Serve) -> None:
    assert preflight(serve("--cors-max-age", "10m").url)["Access-Control-Max-Age"] == "600"
