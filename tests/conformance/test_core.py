"""Rows A1-A26: the core protocol."""

from __future__ import annotations

import pytest

from tests.conformance.conftest import Serve
from tests.conformance.deployments import ONE_SHARD, STORE_HAS_LIMIT
from tests.conformance.uploads import (
    BYTES,
    CHUNKED,
    UNKNOWN,
    VERSION,
    ask,
    content,
    create,
    finished,
    head,
    limit,
    nothing_happens,
    offset,
    partial,
    patch,
    post,
    refused,
    running,
    state,
    text,
    unchanged,
)
from tests.raw_http import Connection, Response, chunked
from tests.servers import Server, eventually

DATA = bytes(range(256))


@pytest.mark.parametrize(
    ("method", "path", "fields", "status"),
    [
        ("POST", "/files", ["Upload-Length: 1"], 201),
        ("POST", "/files", ["Upload-Length: x"], 400),
        ("POST", "/files", ["Upload-Length: 1", BYTES, "Content-Length: 2"], 413),
        ("POST", "/files", ["Upload-Length: 1", "Content-Length: x"], 400),
        ("POST", "/files", ["Upload-Length: 1", "X: " + 200_000 * "x"], 431),
        ("GET", "/files", [], 405),
        ("PUT", "/files", [], 405),
        ("HEAD", f"/files/{UNKNOWN}", [], 404),
        ("GET", f"/files/{UNKNOWN}", [], 404),
        ("PATCH", f"/files/{UNKNOWN}", [BYTES, "Upload-Offset: 0"], 404),
        ("DELETE", f"/files/{UNKNOWN}", [], 404),
        ("PUT", f"/files/{UNKNOWN}", [], 405),
        ("GET", "/files/a/b", [], 404),
        ("GET", "/nowhere", [], 404),
        ("POST", "/", [], 404),
    ],
)
def test_A1_every_answer_tells_the_version(
    server: Server, method: str, path: str, fields: list[str], status: int
) -> None:
    response = ask(method, server.origin + path, *fields)
    assert (response.status, response["Tus-Resumable"]) == (status, "1.0.0")


def test_A1_answers_to_uploads_tell_the_version(server: Server) -> None:
    url = create(server, 4)
    statuses = [
        head(url).status,
        patch(url, 0, b"1234").status,
        patch(url, 0, b"1234").status,
        ask("GET", url, tus=False).status,
        ask("GET", url, "Range: bytes=9-", tus=False).status,
        ask("DELETE", url).status,
    ]
    assert statuses == [200, 204, 409, 200, 416, 204]  # `ask` looked at the version of each


def test_A1_a_server_error_tells_the_version(serve: Serve) -> None:
    full = serve("--max-store-size", "10", *ONE_SHARD)
    response = post(full, "Upload-Length: 11")
    refused(response, 507, "store_full")
    assert response["Retry-After"].isdecimal()


BAD_VERSIONS = ["Tus-Resumable: 0.2.2", "Tus-Resumable: 2.0.0", "Tus-Resumable: foo", "Tus-Resumable:", "X: y"]


@pytest.mark.parametrize("version", BAD_VERSIONS)
@pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH", "DELETE"])
def test_A2_another_version_is_412(server: Server, method: str, version: str) -> None:
    url = server.url if method == "POST" else create(server, 10)
    response = ask(method, url, version, BYTES, "Upload-Offset: 0", "Upload-Length: 10", tus=False)
    refused(response, 412, "unsupported_version", method=method)
    assert response["Tus-Version"] == "1.0.0"


@pytest.mark.parametrize("version", BAD_VERSIONS)
def test_A3_another_version_changes_nothing(server: Server, version: str) -> None:
    url = create(server, 10, data=b"123")
    with unchanged(url), nothing_happens(server):
        ask("POST", server.url, version, "Upload-Length: 10", tus=False)
        ask("PATCH", url, version, BYTES, "Upload-Offset: 3", body=b"456", tus=False)
        ask("DELETE", url, version, tus=False)


def discovery(url: str, *fields: str, tus: bool = True) -> tuple[int, bytes, list[tuple[str, str]]]:
    response = ask("OPTIONS", url, *fields, tus=tus)
    varying = {"date", "x-request-id"}
    return response.status, response.body, [field for field in response.fields if field[0] not in varying]


def test_A4_options_tells_the_versions(server: Server) -> None:
    response = ask("OPTIONS", server.url, tus=False)
    assert response.status == 200
    assert response.body == b""
    assert response["Content-Length"] == "0"
    assert response["Tus-Version"] == "1.0.0"


@pytest.mark.parametrize("version", [*BAD_VERSIONS, "Tus-Resumable: 99.9", VERSION])
def test_A5_options_does_not_look_at_the_version(server: Server, version: str) -> None:
    assert discovery(server.url, version, tus=False) == discovery(server.url, tus=False)


EXTENSIONS = {
    "creation",
    "creation-with-upload",
    "creation-defer-length",
    "termination",
    "checksum",
    "checksum-trailer",
    "concatenation",
    "concatenation-unfinished",
}


def test_A6_options_tells_the_extensions(serve: Serve) -> None:
    for server, expected in [(serve(), EXTENSIONS), (serve("--expire-after", "1h"), EXTENSIONS | {"expiration"})]:
        told = ask("OPTIONS", server.url)["Tus-Extension"].split(",")
        assert set(told) == expected
        assert len(told) == len(expected)


def test_A7_options_tells_the_limit_if_there_is_one(serve: Serve) -> None:
    largest = limit(serve())
    assert (largest is not None) == STORE_HAS_LIMIT
    if largest is not None:
        create(serve(), largest)
        refused(post(serve(), f"Upload-Length: {largest + 1}"), 413, "too_large")
    assert ask("OPTIONS", serve("--max-size", "1KiB").url)["Tus-Max-Size"] == "1024"


def test_A8_options_of_an_upload_is_that_of_the_collection(server: Server) -> None:
    url = create(server, 1)
    with unchanged(url):
        assert discovery(url) == discovery(server.url)


def same(one: Response, other: Response) -> bool:
    varying = {"date", "x-request-id"}
    first, second = ({*answer.fields} for answer in (one, other))
    return (one.status, one.body) == (other.status, other.body) and {
        field[0] for field in first ^ second
    } <= varying | {"content-length"}


@pytest.mark.parametrize("meant", ["PATCH", "patch"])
def test_A9_an_overriding_patch_is_a_patch(server: Server, meant: str) -> None:
    real, overridden = create(server, 10), create(server, 10)
    fields = [BYTES, "Upload-Offset: 0"]
    expected = ask("PATCH", real, *fields, body=b"123")
    answer = ask("POST", overridden, f"X-HTTP-Method-Override: {meant}", *fields, body=b"123")
    assert expected.status == 204
    assert same(answer, expected)
    assert state(overridden) == state(real)


@pytest.mark.parametrize("real", ["POST", "GET", "PUT", "DELETE"])
def test_A10_the_real_method_does_not_count(server: Server, real: str) -> None:
    url, other = create(server, 10, data=b"12"), create(server, 10, data=b"12")

    def override(method: str, *fields: str, body: bytes | None = None) -> Response:
        return ask(real, url, f"X-HTTP-Method-Override: {method}", *fields, body=body)

    with unchanged(url):
        assert same(override("HEAD"), head(other))
    fields = [BYTES, "Upload-Offset: 2"]
    assert same(override("PATCH", *fields, body=b"3"), ask("PATCH", other, *fields, body=b"3"))
    assert same(override("DELETE"), ask("DELETE", other))
    assert head(url).status == 404


def test_A11_a_new_upload_is_at_0(server: Server) -> None:
    response = head(create(server, 100))
    assert (response.status, response["Upload-Offset"]) == (200, "0")


def test_A12_a_finished_upload_is_at_its_length(server: Server) -> None:
    response = head(finished(server, DATA))
    assert (response.status, response["Upload-Offset"], response["Upload-Length"]) == (200, "256", "256")


def test_A13_head_tells_the_length(server: Server) -> None:
    url = create(server, 100)
    assert head(url)["Upload-Length"] == "100"
    assert patch(url, 0, b"12").status == 204
    assert head(url)["Upload-Length"] == "100"


def test_A14_head_is_not_to_be_cached(server: Server) -> None:
    for url in (create(server, 100), finished(server, DATA), f"{server.url}/{UNKNOWN}"):
        assert head(url)["Cache-Control"] == "no-store"


def test_A15_head_of_an_unknown_upload_is_404(server: Server) -> None:
    url = f"{server.url}/{UNKNOWN}"
    with Connection(url) as connection:
        connection.send(text("HEAD", url), text("OPTIONS", server.url))
        response = connection.read("HEAD")
        assert connection.read("OPTIONS").status == 200  # so nothing followed the head
    refused(response, 404, "not_found", method="HEAD")
    assert "Upload-Offset" not in response


def test_A16_patch_adds_bytes(server: Server) -> None:
    url = create(server, 100, data=b"12345")
    response = patch(url, 5, b"678")
    assert (response.status, response["Upload-Offset"], response.body) == (204, "8", b"")
    assert not {"content-length", "content-type", "transfer-encoding"} & {name for name, _ in response.fields}
    assert offset(url) == 8
    assert content(url) == b"12345678"


@pytest.mark.parametrize(
    "fields",
    [
        [],
        ["Content-Type:"],
        ["Content-Type: text/plain"],
        ["Content-Type: application/octet-stream"],
        ["Content-Type: application/offset+octet-streams"],
    ],
)
@pytest.mark.parametrize("body", [b"45", b""])
def test_A17_patch_without_the_upload_media_type_is_415(server: Server, fields: list[str], body: bytes) -> None:
    url = create(server, 100, data=b"123")
    with unchanged(url):
        response = ask("PATCH", url, "Upload-Offset: 3", *fields, body=body)
        refused(response, 415, "unsupported_media_type")


@pytest.mark.parametrize("wrong", [0, 4, 6, 100, 101, 2**63 - 1])
@pytest.mark.parametrize("body", [b"xyz", b""])
def test_A18_patch_at_another_offset_is_409(server: Server, wrong: int, body: bytes) -> None:
    url = create(server, 100, data=b"12345")
    with unchanged(url):
        response = patch(url, wrong, body)
        refused(response, 409, "offset_mismatch")
        assert response["Upload-Offset"] == "5"


@pytest.mark.parametrize(
    "fields",
    [
        [],
        ["Upload-Offset: -1"],
        ["Upload-Offset: +1"],
        ["Upload-Offset: 1.0"],
        ["Upload-Offset: 0x1"],
        ["Upload-Offset: 1_0"],
        ["Upload-Offset: １"],
        ["Upload-Offset: ١"],
        ["Upload-Offset:  "],
        ["Upload-Offset:"],
        ["Upload-Offset: 1 1"],
        ["Upload-Offset: 1, 1"],
        ["Upload-Offset: 1e0"],
        ["Upload-Offset: 9223372036854775808"],
        ["Upload-Offset: " + 400 * "9"],
        ["Upload-Offset: 1", "Upload-Offset: 1"],
        ["Upload-Offset: 1", "Upload-Offset: 2"],
    ],
)
def test_A19_patch_without_a_plain_offset_is_400(server: Server, fields: list[str]) -> None:
    url = create(server, 100, data=b"1")
    with unchanged(url):
        refused(ask("PATCH", url, BYTES, *fields, body=b"2"), 400, "invalid_header" if fields else "bad_request")


def test_A20_patch_of_an_unknown_upload_is_404(server: Server) -> None:
    with nothing_happens(server):
        refused(patch(f"{server.url}/{UNKNOWN}", 0, b"123"), 404, "not_found")


@pytest.mark.parametrize("end", ["close", "shutdown"])
def test_A21_bytes_of_a_cut_connection_are_kept(server: Server, end: str) -> None:
    url = create(server, 100)
    with Connection(url) as connection:
        connection.send(text("PATCH", url, BYTES, "Upload-Offset: 0", "Content-Length: 100"), DATA[:60])
        getattr(connection, end)()
        eventually(lambda: head(url)["Upload-Offset"] == "60")
    assert offset(url) == 60
    assert content(url) == DATA[:60]
    assert patch(url, 60, DATA[60:100]).status == 204
    assert content(url) == DATA[:100]


def test_A22_a_stalled_patch_is_ended_and_lets_go(serve: Serve) -> None:
    server = serve("--body-idle-timeout", "300ms", "--lock-timeout", "10ms")
    url = create(server, 100)
    with running(server, url, DATA[:60], 100) as connection:
        response = connection.read()
        refused(response, 408, "body_stalled")
        assert response["Connection"] == "close"
        assert connection.ended()
        assert patch(url, 60, DATA[60:100]).status == 204
    assert content(url) == DATA[:100]


def test_A23_many_small_patches_make_the_file_of_one(server: Server) -> None:
    url = create(server, 256)
    for position in range(0, 256, 8):
        assert patch(url, position, DATA[position : position + 8])["Upload-Offset"] == str(position + 8)
    assert state(url) == state(finished(server, DATA))


@pytest.mark.parametrize("length", [2**31, 2**32, 5_000_000_000, 2**53 + 1, 2**63 - 1])
def test_A24_numbers_have_64_bits(server: Server, length: int) -> None:
    if (largest := limit(server)) is not None and length > largest:
        response = post(server, f"Upload-Length: {length}")
        refused(response, 413, "too_large")
        assert f"is {length};".encode() in response.body
        return
    url = create(server, length)
    assert head(url)["Upload-Length"] == str(length)
    with unchanged(url):
        refused(patch(url, length), 409, "offset_mismatch")
        if length < 2**63 - 1:
            fields = [BYTES, "Upload-Offset: 0", f"Content-Length: {length + 1}"]
            refused(ask("PATCH", url, *fields, body=b"x"), 413, "length_exceeded")
    with running(server, url, b"12345", length):
        pass
    eventually(lambda: offset(url) == 5)
    assert patch(url, 5, b"6")["Upload-Offset"] == "6"


def test_A25_patch_may_be_chunked(server: Server) -> None:
    url = create(server, 100, data=b"12")
    fields = [BYTES, "Upload-Offset: 2", CHUNKED]
    response = ask("PATCH", url, *fields, body=chunked(b"3", b"45", b"678"))
    assert (response.status, response["Upload-Offset"], response.body) == (204, "8", b"")
    assert content(url) == b"12345678"
    assert ask("PATCH", url, BYTES, "Upload-Offset: 8", CHUNKED, body=chunked())["Upload-Offset"] == "8"


def test_A26_an_empty_patch_changes_nothing(server: Server) -> None:
    url = create(server, 100, data=b"12345")
    with unchanged(url):
        response = patch(url, 5)
        assert (response.status, response["Upload-Offset"]) == (204, "5")


def test_A26_an_empty_patch_of_a_partial_upload_changes_nothing(server: Server) -> None:
    url = partial(server, b"12")
    with unchanged(url):
        assert patch(url, 2)["Upload-Offset"] == "2"
