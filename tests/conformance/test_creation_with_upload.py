"""Rows A70-A79: creation-with-upload."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.conformance.conftest import Serve
from tests.conformance.uploads import (
    BYTES,
    CHUNKED,
    UNKNOWN,
    VERSION,
    ask,
    checksum,
    content,
    create,
    events,
    head,
    listed,
    located,
    nothing_happens,
    offset,
    patch,
    post,
    record,
    refused,
    text,
)
from tests.raw_http import Connection, chunked, message
from tests.servers import Server, eventually


def test_A70_options_tells_creation_with_upload(server: Server) -> None:
    assert {"creation", "creation-with-upload"} <= set(ask("OPTIONS", server.url)["Tus-Extension"].split(","))


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_A71_a_creation_may_bring_the_first_bytes(server: Server, framing: str) -> None:
    fields, body = ([], b"12345") if framing == "length" else ([CHUNKED], chunked(b"123", b"45"))
    response = post(server, "Upload-Length: 100", BYTES, *fields, body=body)
    assert (response.status, response["Upload-Offset"], response.body) == (201, "5", b"")
    url = located(server, response)
    assert (offset(url), content(url)) == (5, b"12345")
    assert patch(url, 5, b"678")["Upload-Offset"] == "8"


def test_A72_a_creation_may_bring_the_whole_file(server: Server) -> None:
    response = post(server, "Upload-Length: 5", BYTES, body=b"12345")
    assert (response.status, response["Upload-Offset"]) == (201, "5")
    url = located(server, response)
    assert record(server, url)["state"] == "finished"
    assert content(url) == b"12345"


@pytest.mark.parametrize(("fields", "body"), [([], b""), ([CHUNKED], chunked()), ([], None)])
@pytest.mark.parametrize("length", [0, 5])
def test_A73_or_none(server: Server, fields: list[str], body: bytes | None, length: int) -> None:
    response = post(server, f"Upload-Length: {length}", BYTES, *fields, body=body)
    assert (response.status, response["Upload-Offset"]) == (201, "0")
    assert offset(located(server, response)) == 0


@pytest.mark.parametrize(
    ("fields", "body"), [([], b"123456"), ([CHUNKED], chunked(b"123456")), ([CHUNKED], chunked(b"123", b"456"))]
)
@pytest.mark.parametrize("length", [0, 5])
def test_A74_more_bytes_than_the_length_are_413(server: Server, fields: list[str], body: bytes, length: int) -> None:
    with nothing_happens(server):
        response = post(server, f"Upload-Length: {length}", BYTES, *fields, body=body)
        refused(response, 413, "length_exceeded")
        assert "Location" not in response


@pytest.mark.parametrize("kind", [[], ["Content-Type: text/plain"], ["Content-Type: application/octet-stream"]])
@pytest.mark.parametrize(("fields", "body"), [([], b"123"), ([CHUNKED], chunked(b"123"))])
def test_A75_a_body_of_another_type_is_415(server: Server, kind: list[str], fields: list[str], body: bytes) -> None:
    with nothing_happens(server):
        refused(post(server, "Upload-Length: 5", *kind, *fields, body=body), 415, "unsupported_media_type")


@pytest.mark.parametrize("kind", [[], ["Content-Type: text/plain"]])
@pytest.mark.parametrize(("fields", "body"), [([], b""), ([CHUNKED], chunked())])
def test_A75_an_empty_body_may_have_any_type(server: Server, kind: list[str], fields: list[str], body: bytes) -> None:
    response = post(server, "Upload-Length: 5", *kind, *fields, body=body)
    assert response.status == 201
    assert "Upload-Offset" not in response
    assert offset(located(server, response)) == 0


def test_A75_a_body_that_never_comes_is_not_an_empty_one(serve: Serve) -> None:
    server = serve("--body-idle-timeout", "300ms")
    before = events(server, "created")
    with Connection(server.url) as gone, Connection(server.url) as silent:
        for connection in (gone, silent):
            connection.send(text("POST", server.url, "Upload-Length: 5", "Content-Type: text/plain", CHUNKED))
        gone.close()
        (answer,) = silent.end_of_answers()
        refused(answer, 408, "body_stalled")
    eventually(lambda: [line for line in server.lines() if line["message"] in {"POST 400", "POST 201"}])
    assert events(server, "created") == before


def test_A76_with_the_length_deferred(server: Server) -> None:
    response = post(server, "Upload-Defer-Length: 1", BYTES, body=b"12345")
    assert (response.status, response["Upload-Offset"]) == (201, "5")
    told = head(located(server, response))
    assert (told["Upload-Offset"], told["Upload-Defer-Length"]) == ("5", "1")


EXPECT = "Expect: 100-continue"


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ([VERSION, "Upload-Length: 101", BYTES], 413, "too_large"),
        ([VERSION, "Upload-Length: 4", BYTES], 413, "length_exceeded"),
        ([VERSION, "Upload-Length: 5"], 415, "unsupported_media_type"),
        ([VERSION, "Upload-Length: x", BYTES], 400, "invalid_header"),
        (["Tus-Resumable: 0.2.2", "Upload-Length: 5", BYTES], 412, "unsupported_version"),
    ],
)
def test_A77_a_creation_that_will_be_refused_gets_no_100(
    serve: Serve, fields: list[str], status: int, code: str
) -> None:
    server = serve("--max-size", "100")
    with nothing_happens(server), Connection(server.url) as connection:
        connection.send(message("POST", "/files", connection.authority, *fields, EXPECT, "Content-Length: 5"))
        refused(connection.read(), status, code)  # an interim answer would fail


def test_A77_nor_does_a_patch(server: Server) -> None:
    url = create(server, 5)
    for fields, status in ([BYTES, "Upload-Offset: 1"], 409), ([BYTES, "Upload-Offset: x"], 400):
        with Connection(url) as connection:
            connection.send(text("PATCH", url, *fields, EXPECT, "Content-Length: 5"))
            assert connection.read().status == status
    unknown = f"{server.url}/{UNKNOWN}"
    with Connection(unknown) as connection:
        connection.send(text("PATCH", unknown, BYTES, "Upload-Offset: 0", EXPECT, "Content-Length: 5"))
        assert connection.read().status == 404


def test_A77_nor_does_somebody_without_a_token(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> None:
    tokens: Path = tmp_path_factory.mktemp("tokens") / "tokens"
    tokens.write_text("correct-horse-battery-staple\n")
    server = serve("--auth-tokens-file", str(tokens))
    fields = ["Upload-Length: 5", BYTES, EXPECT, "Content-Length: 5"]
    with Connection(server.url) as connection:
        connection.send(text("POST", server.url, *fields))
        response = connection.read()
        refused(response, 401, "unauthorised")
        assert response["WWW-Authenticate"].startswith("Bearer ")
    with Connection(server.url) as connection:
        connection.send(text("POST", server.url, "Authorization: Bearer correct-horse-battery-staple", *fields))
        assert connection.head().status == 100
        connection.send(b"12345")
        assert connection.read().status == 201


def test_A77_a_creation_that_is_accepted_gets_100_first(server: Server) -> None:
    with Connection(server.url) as connection:
        connection.send(text("POST", server.url, "Upload-Length: 5", BYTES, EXPECT, "Content-Length: 5"))
        interim = connection.head()
        assert (interim.status, interim.fields) == (100, ())
        connection.send(b"12345")
        response = connection.read()
        assert (response.status, response["Upload-Offset"]) == (201, "5")
        url = located(server, response)
        connection.send(text("HEAD", url))
        assert connection.read("HEAD")["Upload-Offset"] == "5"


def test_A78_an_interrupted_creation_keeps_its_bytes_and_expires(serve: Serve) -> None:
    server = serve("--expire-after", "1h")
    before = listed(server)
    with Connection(server.url) as connection:
        connection.send(text("POST", server.url, "Upload-Length: 100", BYTES, "Content-Length: 100"), b"x" * 60)
    (id,) = eventually(lambda: {key for key, item in listed(server).items() if item["offset"] == 60} - set(before))
    found = listed(server)[id]
    assert (found["state"], found["length"]) == ("open", 100)
    assert found["expires_at"] > found["created_at"]
    assert content(f"{server.url}/{id}") == b"x" * 60


@pytest.mark.parametrize("algorithm", ["sha1", "md5", "sha256", "sha512", "crc32"])
def test_A79_a_creation_may_bring_a_checksum(server: Server, algorithm: str) -> None:
    fields = ["Upload-Length: 100", BYTES]
    right = post(server, *fields, f"Upload-Checksum: {checksum(algorithm, b'12345')}", body=b"12345")
    assert (right.status, right["Upload-Offset"]) == (201, "5")
    assert content(located(server, right)) == b"12345"
    with nothing_happens(server):
        wrong = post(server, *fields, f"Upload-Checksum: {checksum(algorithm, b'12346')}", body=b"12345")
        refused(wrong, 460, "checksum_mismatch")


@pytest.mark.parametrize(
    "value", ["foo abc=", "sha1", "sha1 !!!", "sha1  x", "", "sha1 " + base64.b64encode(b"x").decode()]
)
def test_A79_a_checksum_that_cannot_be_verified_is_400(server: Server, value: str) -> None:
    with nothing_happens(server):
        response = post(server, "Upload-Length: 100", BYTES, f"Upload-Checksum: {value}", body=b"12345")
        assert response.status == 400


def test_A79_a_creation_may_bring_the_checksum_as_a_trailer(server: Server) -> None:
    fields = ["Upload-Length: 100", BYTES, CHUNKED, "Trailer: Upload-Checksum"]
    trailers = [f"Upload-Checksum: {checksum('sha1', b'12345')}"]
    right = post(server, *fields, body=chunked(b"12345", trailers=trailers))
    assert (right.status, right["Upload-Offset"]) == (201, "5")
    with nothing_happens(server):
        refused(post(server, *fields, body=chunked(b"12346", trailers=trailers)), 460, "checksum_mismatch")
        refused(post(server, *fields, body=chunked(b"12345")), 400, "bad_request")


def test_A79_a_cut_creation_with_a_checksum_keeps_nothing(server: Server) -> None:
    before = listed(server)
    with Connection(server.url) as connection:
        announced = f"Upload-Checksum: {checksum('sha1', b'x' * 100)}"
        fields = ["Upload-Length: 100", BYTES, announced, "Content-Length: 100"]
        connection.send(text("POST", server.url, *fields), b"x" * 60)
        eventually(lambda: set(listed(server)) - set(before))
        connection.shutdown()
        connection.end_of_answers()
    assert all(item["offset"] == 0 for id, item in listed(server).items() if id not in before)
