"""Rows A30-A43: creation."""

from __future__ import annotations

import base64

import pytest

from tests.conformance.conftest import Serve
from tests.conformance.uploads import (
    UNKNOWN,
    ask,
    content,
    create,
    events,
    finished,
    head,
    located,
    nothing_happens,
    patch,
    path,
    post,
    record,
    refused,
    state,
)
from tests.servers import Server


def base64_of(value: bytes) -> str:
    return base64.b64encode(value).decode()


def test_A30_options_tells_creation(server: Server) -> None:
    assert "creation" in ask("OPTIONS", server.url)["Tus-Extension"].split(",")


def test_A31_creation_gives_a_location_at_0(server: Server) -> None:
    response = post(server, "Upload-Length: 100")
    assert (response.status, response.body, response["Content-Length"]) == (201, b"", "0")
    assert "Upload-Offset" not in response
    told = head(located(server, response))
    assert (told.status, told["Upload-Offset"]) == (200, "0")


def test_A32_head_tells_the_length_of_the_creation(server: Server) -> None:
    assert head(create(server, 100))["Upload-Length"] == "100"


def test_A33_creation_without_a_length_is_400(server: Server) -> None:
    with nothing_happens(server):
        refused(post(server), 400, "bad_request")


@pytest.mark.parametrize(
    "fields",
    [
        ["Upload-Length: -1"],
        ["Upload-Length: -0"],
        ["Upload-Length: +1"],
        ["Upload-Length: abc"],
        ["Upload-Length: 1.5"],
        ["Upload-Length: 1e3"],
        ["Upload-Length: 1_000"],
        ["Upload-Length: 0x10"],
        ["Upload-Length: １２"],
        ["Upload-Length: ١٢"],
        ["Upload-Length:"],
        ["Upload-Length: 1 2"],
        ["Upload-Length: 1, 1"],
        ["Upload-Length: 9223372036854775808"],
        ["Upload-Length: 99999999999999999999"],
        ["Upload-Length: " + 4000 * "1"],
        ["Upload-Length: 1", "Upload-Length: 1"],
        ["Upload-Length: 1", "Upload-Length: 2"],
    ],
)
def test_A34_a_length_that_is_no_plain_number_is_400(server: Server, fields: list[str]) -> None:
    with nothing_happens(server):
        refused(post(server, *fields), 400, "invalid_header")


def test_A35_a_length_beyond_the_limit_is_413(serve: Serve) -> None:
    server = serve("--max-size", "100")
    with nothing_happens(server):
        refused(post(server, "Upload-Length: 101"), 413, "too_large")
    assert head(create(server, 100))["Upload-Length"] == "100"


def test_A36_an_empty_upload_is_complete_at_once(server: Server) -> None:
    before = events(server, "finished")
    response = post(server, "Upload-Length: 0")
    assert "Upload-Offset" not in response
    url = located(server, response)
    assert record(server, url)["state"] == "finished"
    told = head(url)
    assert (told["Upload-Offset"], told["Upload-Length"]) == ("0", "0")
    assert content(url) == b""
    assert patch(url, 0).status == 204
    assert events(server, "finished") == before + 1


@pytest.mark.parametrize(
    "metadata",
    [
        "filename d29ybGRfZG9taW5hdGlvbl9wbGFuLnBkZg==,is_confidential",
        "is_confidential,filename d29ybGRfZG9taW5hdGlvbl9wbGFuLnBkZg==",
        "z eg==,a YQ==,m bQ==",
        "a YQ==, b Yg==",
        "unicode " + base64_of("ünï/çødé 文件.txt".encode()),
        "binary " + base64_of(bytes(range(256))),
        "!#$%&'()*+-./:;<=>?@[]^_`{|}~ YQ==",
        ",".join(f"key{number} {base64_of(b'x' * 100)}" for number in range(200)),
    ],
)
def test_A37_head_gives_the_metadata_as_sent(server: Server, metadata: str) -> None:
    url = create(server, 3, f"Upload-Metadata: {metadata}")
    assert head(url)["Upload-Metadata"] == metadata
    assert patch(url, 0, b"123").status == 204
    assert head(url)["Upload-Metadata"] == metadata


def test_A38_without_metadata_head_has_none(server: Server) -> None:
    assert "Upload-Metadata" not in head(create(server, 1))
    assert "Upload-Metadata" not in head(finished(server, b"1"))


@pytest.mark.parametrize("metadata", ["k", "k,other", "other YQ==,k", "k ,other", "k , other"])
def test_A39_a_key_may_have_no_value(server: Server, metadata: str) -> None:
    assert head(create(server, 1, f"Upload-Metadata: {metadata}"))["Upload-Metadata"] == metadata


def test_A39_space_at_the_end_belongs_to_the_line(server: Server) -> None:
    # RFC 9110 section 5.5: it is no part of the value.
    for sent, value in (("k ", "k"), ("k YQ== ", "k YQ=="), ("k YQ==\t \t", "k YQ==")):
        assert head(create(server, 1, f"Upload-Metadata: {sent}"))["Upload-Metadata"] == value


@pytest.mark.parametrize(
    "metadata",
    [
        ",",
        "a YQ==,",
        ",a YQ==",
        "a YQ==,,b Yg==",
        "a YQ==, ,b",
        "a b YQ==",
        "a YQ==,a Yg==",
        "a,a",
        "a !!!!",
        "a YQ",
        "a YQ=",
        "a YQ===",
        "a YQ==YQ==",
        "a Y-_Q",
        "a  YQ==",
        "a YQ== ,b",
        "a\tYQ==",
        "clé YQ==",
        "a é",
    ],
)
def test_A40_bad_metadata_is_400(server: Server, metadata: str) -> None:
    with nothing_happens(server):
        refused(post(server, "Upload-Length: 1", f"Upload-Metadata: {metadata}"), 400, "invalid_header")


def test_A40_two_lines_of_metadata_are_400(server: Server) -> None:
    with nothing_happens(server):
        response = post(server, "Upload-Length: 1", "Upload-Metadata: a YQ==", "Upload-Metadata: b Yg==")
        refused(response, 400, "invalid_header")


@pytest.mark.parametrize("field", ["Upload-Metadata:", "Upload-Metadata:  "])
def test_A40_an_empty_line_of_metadata_is_none(server: Server, field: str) -> None:
    # A server may refuse it. tuspy sends it with every upload that has no metadata, so it has to work.
    assert "Upload-Metadata" not in head(create(server, 1, field))


@pytest.mark.parametrize(
    "name",
    [
        b"a\r\nSet-Cookie: a=b",
        b"a\nb",
        b"a\rb",
        b"a\0b",
        b'a"; filename="b',
        b"a\x1b[31m",
        b"a\x7fb",
        "a\u0085b\u2028c".encode(),
        b"a\\b",
        b"../../etc/passwd",
        b"\xff\xfe",
    ],
)
def test_A41_a_file_name_cannot_break_out_of_its_header(server: Server, name: bytes) -> None:
    url = finished(server, b"123", f"Upload-Metadata: filename {base64_of(name)}")
    response = ask("GET", url)
    assert (response.status, response.body) == (200, b"123")
    disposition = response["Content-Disposition"]
    assert disposition.startswith('attachment; filename="')
    assert disposition.isprintable()
    assert disposition.isascii()
    assert not {"/", "\\"} & set(disposition)
    plain = disposition.removeprefix('attachment; filename="').partition("; filename*=")[0]
    assert plain.endswith('"')
    assert plain.count('"') == 1
    assert "Set-Cookie" not in response


def test_A42_two_creations_make_two_uploads(server: Server) -> None:
    one, other = create(server, 3), create(server, 3)
    assert one != other
    assert patch(one, 0, b"123").status == 204
    assert state(other).content == b""


@pytest.mark.parametrize(
    "fields",
    [
        ["X-Anything: else", "Accept: text/html", "Cookie: a=b"],
        ["Content-Type: application/json"],
        ["Content-Type: text/plain", "Content-Length: 0"],
        ["Upload-Offset: 7"],
        ["Upload-Draft-Interop-Version: 6"],
    ],
)
def test_A43_what_has_no_meaning_here_is_passed_over(server: Server, fields: list[str]) -> None:
    url = create(server, 100, *fields)
    assert head(url)["Upload-Offset"] == "0"
    assert path(url).startswith("/files/")
    assert UNKNOWN not in url
