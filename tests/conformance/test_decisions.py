"""Section A.9 of the conformance list: where the text is silent, what we decided and no row says."""

from __future__ import annotations

import pytest

from tests.conformance.conftest import Serve
from tests.conformance.uploads import (
    BYTES,
    CHUNKED,
    UNKNOWN,
    VERSION,
    ask,
    content,
    create,
    events,
    files,
    finished,
    head,
    id_of,
    located,
    nothing_happens,
    offset,
    partial,
    patch,
    path,
    post,
    record,
    refused,
    text,
    unchanged,
)
from tests.raw_http import Connection, Response, chunked
from tests.servers import Server


def test_a_get_needs_no_version(server: Server) -> None:
    response = ask("GET", finished(server, b"12345"), tus=False)
    assert (response.status, response.body) == (200, b"12345")


@pytest.mark.parametrize("suffix", ["", "/"])
def test_the_collection_has_a_slash_at_its_end_or_not(server: Server, suffix: str) -> None:
    url = server.url + suffix
    assert ask("OPTIONS", url)["Tus-Version"] == "1.0.0"
    response = ask("POST", url, "Upload-Length: 5")
    assert path(located(server, response)).startswith("/files/")
    assert "//" not in path(located(server, response))
    refused(ask("PUT", url), 405, "method_not_allowed")


def test_only_one_slash(server: Server) -> None:
    with nothing_happens(server):
        refused(ask("POST", server.url + "//", "Upload-Length: 5"), 404, "not_found")


@pytest.mark.parametrize(
    "kind",
    [
        "application/offset+octet-stream; charset=binary",
        "application/offset+octet-stream;a=b;c=d",
        "Application/Offset+Octet-Stream",
        "APPLICATION/OFFSET+OCTET-STREAM ; x=y",
    ],
)
def test_the_media_type_may_have_parameters_and_any_case(server: Server, kind: str) -> None:
    response = post(server, "Upload-Length: 5", f"Content-Type: {kind}", body=b"12")
    assert response["Upload-Offset"] == "2"
    url = located(server, response)
    assert ask("PATCH", url, "Upload-Offset: 2", f"Content-Type: {kind}", body=b"3").status == 204
    assert content(url) == b"123"


def test_two_media_types_are_400(server: Server) -> None:
    url = create(server, 5)
    with unchanged(url):
        refused(ask("PATCH", url, "Upload-Offset: 0", BYTES, BYTES, body=b"1"), 400, "invalid_header")


@pytest.mark.parametrize("body", [b"3456", b"x" * 100_000])
def test_a_body_beyond_the_length_is_413_before_it_is_read(server: Server, body: bytes) -> None:
    url = create(server, 5, data=b"12")
    with unchanged(url), Connection(url) as connection:
        # The head alone: the answer does not wait for a body.
        connection.send(text("PATCH", url, BYTES, "Upload-Offset: 2", f"Content-Length: {len(body)}"))
        response = connection.read()
        refused(response, 413, "length_exceeded")
        assert response["Connection"] == "close"
        connection.offer(body)
        assert connection.ended()
    assert patch(url, 2, b"345").status == 204


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([BYTES, "Upload-Offset: 2"], 413),
        ([BYTES, "Upload-Offset: 1"], 409),
        ([BYTES, "Upload-Offset: x"], 400),
        (["Upload-Offset: 2"], 415),
        ([BYTES, "Upload-Offset: 2", "Upload-Checksum: x y"], 400),
    ],
)
def test_a_client_that_sends_everything_first_can_read_the_refusal(
    server: Server, fields: list[str], status: int
) -> None:
    url = create(server, 5, data=b"12")
    with unchanged(url), Connection(url) as connection:
        connection.send(text("PATCH", url, *fields, body=bytes(8 * 1024 * 1024)))
        assert connection.read().status == status
        assert connection.ended()


@pytest.mark.parametrize("chunks", [[b"3456"], [b"345", b"6"], [b"3", b"4", b"5", b"678"]])
def test_of_a_chunked_body_beyond_the_length_nothing_more_is_stored(server: Server, chunks: list[bytes]) -> None:
    url = create(server, 5, data=b"12")
    response = ask("PATCH", url, BYTES, "Upload-Offset: 2", CHUNKED, body=chunked(*chunks))
    refused(response, 413, "length_exceeded")
    kept = content(url)
    assert 2 <= offset(url) == len(kept) <= 5
    assert b"12345".startswith(kept)
    assert patch(url, len(kept), b"12345"[len(kept) :]).status == 204
    assert content(url) == b"12345"


def finished_uploads(server: Server) -> list[str]:
    deferred = create(server)
    assert patch(deferred, 0, b"12345", "Upload-Length: 5").status == 204
    return [finished(server, b"12345"), partial(server, b"12345"), deferred]


def test_the_last_patch_of_a_finished_upload_may_be_repeated(server: Server) -> None:
    for url in finished_uploads(server):
        before = events(server, "finished")
        with unchanged(url):
            for fields in ([], [CHUNKED]):
                body = chunked() if fields else b""
                response = ask("PATCH", url, BYTES, "Upload-Offset: 5", *fields, body=body)
                assert (response.status, response["Upload-Offset"]) == (204, "5")
        assert record(server, url)["state"] == "finished"
        assert events(server, "finished") == before
        assert len(files(server, url)) == 1


def test_a_finished_upload_takes_no_more_bytes(server: Server) -> None:
    for url in finished_uploads(server):
        with unchanged(url):
            refused(patch(url, 5, b"6"), 413, "length_exceeded")
            response = ask("PATCH", url, BYTES, "Upload-Offset: 5", CHUNKED, body=chunked(b"6"))
            refused(response, 413, "length_exceeded")
            refused(patch(url, 0, b"12345"), 409, "offset_mismatch")
            refused(patch(url, 6), 409, "offset_mismatch")


def test_an_empty_upload_takes_no_bytes(server: Server) -> None:
    url = create(server, 0)
    with unchanged(url):
        assert patch(url, 0).status == 204
        refused(patch(url, 0, b"1"), 413, "length_exceeded")


@pytest.mark.parametrize("method", ["PUT", "TRACE", "PROPFIND", "REPORT"])
def test_an_unknown_method_is_405_and_tells_the_others(server: Server, method: str) -> None:
    url = create(server, 5, data=b"12")
    with unchanged(url), nothing_happens(server):
        for place, allowed in (
            (url, "OPTIONS, HEAD, GET, PATCH, DELETE"),
            (f"{server.url}/{UNKNOWN}", "OPTIONS, HEAD, GET, PATCH, DELETE"),
            (server.url, "OPTIONS, POST"),
        ):
            for tus in (True, False):
                response = ask(method, place, tus=tus)
                refused(response, 405, "method_not_allowed")
                assert response["Allow"] == allowed


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE", "HEAD", "GET"])
def test_a_method_that_is_not_for_this_place_is_405(server: Server, method: str) -> None:
    url = create(server, 5) if method == "POST" else server.url
    with nothing_happens(server):
        response = ask(method, url, BYTES, "Upload-Offset: 0", "Upload-Length: 5")
        refused(response, 405, "method_not_allowed", method=method)
        assert response["Allow"].startswith("OPTIONS, ")


@pytest.mark.parametrize("meant", ["PUT", "GET", "TRACE", "CONNECT", "x", "", "PATCH, DELETE", "PATCH\tDELETE"])
def test_a_method_cannot_be_overridden_by_any_other(server: Server, meant: str) -> None:
    url = create(server, 5, data=b"12")
    fields = [BYTES, "Upload-Offset: 2"]
    with unchanged(url):
        response = ask("PATCH", url, f"X-HTTP-Method-Override: {meant}", *fields, body=b"3")
        refused(response, 400, "invalid_header")
        twice = ask("POST", url, "X-HTTP-Method-Override: DELETE", "X-HTTP-Method-Override: PATCH", *fields, body=b"3")
        refused(twice, 400, "invalid_header")


def test_a_creation_may_be_meant_by_another_method(server: Server) -> None:
    response = ask("PATCH", server.url, "X-HTTP-Method-Override: POST", "Upload-Length: 5")
    assert offset(located(server, response)) == 0
    assert ask("POST", server.url, "X-HTTP-Method-Override: OPTIONS")["Tus-Version"] == "1.0.0"


ERRORS: list[tuple[str, str, list[str], bytes | None, int, str]] = [
    ("POST", "/files", ["Upload-Length: x"], None, 400, "invalid_header"),
    ("POST", "/files", [], None, 400, "bad_request"),
    ("POST", "/files", ["Upload-Concat: final;/files/x"], None, 400, "invalid_concatenation"),
    ("POST", "/files", ["Upload-Length: 1", BYTES], b"12", 413, "length_exceeded"),
    ("POST", "/files", ["Upload-Length: 1"], b"12", 415, "unsupported_media_type"),
    ("DELETE", f"/files/{UNKNOWN}", [], None, 404, "not_found"),
    ("GET", f"/files/{UNKNOWN}", [], None, 404, "not_found"),
    ("PUT", "/files", [], None, 405, "method_not_allowed"),
    ("GET", "/elsewhere", [], None, 404, "not_found"),
    ("GET", "/files/a/b", [], None, 404, "not_found"),
    ("POST", "/files", ["X: " + "x" * 200_000], None, 431, "headers_too_large"),
    ("GET", "/" + "x" * 10_000, [], None, 414, "uri_too_long"),
]


@pytest.mark.parametrize(("method", "place", "fields", "body", "status", "code"), ERRORS)
def test_errors_are_problem_details(
    server: Server, method: str, place: str, fields: list[str], body: bytes | None, status: int, code: str
) -> None:
    refused(ask(method, server.origin + place, *fields, body=body), status, code)


@pytest.mark.parametrize("status", [404, 405, 412, 410])
def test_errors_of_head_have_no_body(serve: Serve, status: int) -> None:
    server = serve("--expire-after", "0s") if status == 410 else serve()
    url = {404: f"{server.url}/{UNKNOWN}", 405: server.url}.get(status) or create(server, 5)
    with Connection(url) as connection:
        connection.send(text("HEAD", url, tus=status != 412), text("OPTIONS", url))
        response = connection.read("HEAD")
        assert (response.status, response.body) == (status, b"")
        assert connection.read("OPTIONS").status == 200


def test_head_gives_no_content_length_of_the_file(server: Server) -> None:
    url = finished(server, b"12345")
    assert head(url).get("Content-Length") in {None, "0"}


def test_a_problem_tells_the_offset_too(server: Server) -> None:
    url = create(server, 10, data=b"123")
    assert patch(url, 5, b"6").json()["offset"] == 3


def test_every_answer_names_its_request(server: Server) -> None:
    def named(*fields: str) -> str:
        return ask("OPTIONS", server.url, *fields)["X-Request-Id"]

    assert named() != named()
    assert named("X-Request-Id: a-b.c_1") == "a-b.c_1"
    for bad in ("a b", "x" * 129, "a<b>", 'a"b'):
        assert named(f"X-Request-Id: {bad}") != bad


def test_one_connection_serves_many_requests(server: Server) -> None:
    with Connection(server.url) as connection:
        for data in (b"12345", b"67890"):
            connection.send(text("POST", server.url, "Upload-Length: 5"))
            url = located(server, connection.read())
            connection.send(text("PATCH", url, BYTES, "Upload-Offset: 9", body=data))
            assert connection.read().status == 409
            connection.send(text("PATCH", url, BYTES, "Upload-Offset: 0", body=data), text("HEAD", url))
            assert connection.read().status == 204
            assert connection.read("HEAD")["Upload-Offset"] == "5"
            connection.send(text("GET", url))
            assert connection.read().body == data


def test_the_server_as_a_whole_can_be_asked(server: Server) -> None:
    with Connection(server.url) as connection:
        connection.send(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
        response = connection.read()
    assert (response.status, response["Tus-Version"]) == (200, "1.0.0")


@pytest.mark.parametrize("base", ["/files", "/a/b.c/up-loads"])
def test_the_collection_may_live_elsewhere(serve: Serve, base: str) -> None:
    server = serve("--base-path", base)
    assert server.path == base
    url = finished(server, b"123")
    assert path(url) == f"{base}/{id_of(url)}"
    whole = partial(server, b"123")
    assert post(server, f"Upload-Concat: final;{path(whole)}").status == 201
    elsewhere = ask("POST", f"{server.origin}/uploads", "Upload-Length: 5")
    refused(elsewhere, 404, "not_found")


def tokens_of(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("tokens") / "tokens"
    file.write_text(
        "alice-alice-alice-alice name=alice tenant=a\nbob-bob-bob-bob-bob-bob name=bob tenant=b\n"
        "root-root-root-root-root admin\n"
    )
    return str(file)


@pytest.fixture(scope="module")
def guarded(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A server that asks for tokens."""
    return serve("--auth-tokens-file", tokens_of(tmp_path_factory))


ALICE = "Authorization: Bearer alice-alice-alice-alice"
BOB = "Authorization: Bearer bob-bob-bob-bob-bob-bob"
ROOT = "Authorization: Bearer root-root-root-root-root"


@pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH", "DELETE", "GET"])
@pytest.mark.parametrize(
    "field", ["X: y", "Authorization: Bearer wrong-wrong-wrong-wrong", "Authorization: Basic YTpi"]
)
def test_without_a_token_everything_is_401(guarded: Server, method: str, field: str) -> None:
    url = guarded.url if method == "POST" else located(guarded, post(guarded, ALICE, "Upload-Length: 5"))
    fields = ["Upload-Length: 5"] if method == "POST" else [BYTES, "Upload-Offset: 0"]
    response = ask(method, url, field, *fields)
    refused(response, 401, "unauthorised", method=method)
    assert response["WWW-Authenticate"].startswith("Bearer ")
    assert ask("OPTIONS", url).status == 200  # browsers send no credentials with it


def test_uploads_of_another_tenant_are_404(guarded: Server) -> None:
    url = located(guarded, post(guarded, ALICE, "Upload-Length: 5"))
    for method in ("HEAD", "GET", "DELETE"):
        refused(ask(method, url, BOB), 404, "not_found", method=method)
    refused(patch(url, 0, b"1", BOB), 404, "not_found")
    assert patch(url, 0, b"123", ALICE).status == 204
    part = located(guarded, post(guarded, ALICE, "Upload-Length: 1", "Upload-Concat: partial"))
    refused(post(guarded, BOB, f"Upload-Concat: final;{part}"), 400, "invalid_concatenation")
    assert ask("HEAD", url, ROOT)["Upload-Offset"] == "3"
    assert ask("DELETE", url, ROOT).status == 204


def answer_of(url: str, request: bytes) -> Response:
    with Connection(url) as connection:
        connection.send(request)
        return connection.read()


def test_names_of_fields_may_have_any_case(server: Server) -> None:
    url = create(server, 5)
    request = text("PATCH", url, BYTES.upper(), "UPLOAD-offset: 0", "tus-RESUMABLE:1.0.0", body=b"12", tus=False)
    assert answer_of(url, request)["Upload-Offset"] == "2"


def test_white_space_at_the_end_of_a_line_belongs_to_no_value(server: Server) -> None:
    # RFC 9110 section 5.5. Some clients and proxies send it.
    fields = ["Tus-Resumable: 1.0.0 ", "Upload-Concat: partial\t", "Upload-Length: 2  "]
    url = located(server, ask("POST", server.url, *fields, tus=False))
    fields = ["Tus-Resumable: 1.0.0\t", "Content-Type: application/offset+octet-stream ", "Upload-Offset: 0 "]
    response = ask("PATCH", url, *fields, "Content-Length: 2 ", body=b"12", tus=False)
    assert (response.status, response["Upload-Offset"]) == (204, "2")
    assert head(url)["Upload-Concat"] == "partial"


def test_two_versions_are_400(server: Server) -> None:
    url = create(server, 5)
    with unchanged(url):
        refused(ask("PATCH", url, VERSION, BYTES, "Upload-Offset: 0", body=b"12"), 400, "invalid_header")
