"""What clients must not be able to do with values: each gets a clear 4xx, and nothing else happens."""

from __future__ import annotations

import pytest

from tests.conformance.uploads import (
    BYTES,
    VERSION,
    answers,
    ask,
    assert_refused,
    content,
    create,
    creation,
    final,
    finished,
    head,
    id_of,
    partial,
    patch,
    path,
    post,
    refused,
)
from tests.raw_http import message
from tests.servers import Server

pytestmark = pytest.mark.usefixtures("unharmed")


# Metadata.


def test_metadata_of_a_mebibyte(server: Server) -> None:
    assert_refused(answers(server, creation("Upload-Metadata: k " + "A" * 1024 * 1024)), 431)


@pytest.mark.parametrize("size", [65 * 1024, 100 * 1024])
def test_metadata_that_fits_into_a_head_but_no_further(server: Server, size: int) -> None:
    response = post(server, "Upload-Length: 10", "Upload-Metadata: k " + "A" * (size - 2))
    refused(response, 400, "invalid_header")


def test_metadata_of_ten_thousand_keys(server: Server) -> None:
    keys = ",".join(f"{number:x}" for number in range(10_000))
    refused(post(server, "Upload-Length: 10", f"Upload-Metadata: {keys}"), 400, "invalid_header")
    pairs = ",".join(f"key{number} QUFBQUFB" for number in range(10_000))
    assert_refused(answers(server, creation(f"Upload-Metadata: {pairs}")), 431)


def test_commas_for_metadata(server: Server) -> None:
    refused(post(server, "Upload-Length: 10", "Upload-Metadata: " + "," * 60_000), 400, "invalid_header")


# Ids.

IDS = [
    "..",
    ".",
    "../files",
    "..%2f",
    "%2e%2e",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%5c..%5c",
    "%252e%252e",
    "%00",
    "{id}%00",
    "%00{id}",
    "{id}%0a",
    "{id}%0d%0aX:%20y",
    "{id}%20",
    "{id}.",
    "{id}/",
    "{id}/..",
    "{id}/../{id}",
    "./{id}",
    "/{id}",
    "//{id}",
    "{id};a=b",
    "{id}:a",
    "{id},{id}",
    "{id}*",
    "*",
    "%2a",
    "'{id}'",
    "{id}'%20or%20'1'='1",
    "%c3%a9",
    "%e6%96%87%e4%bb%b6",
    "%f0%9f%98%80",
    "%ff%fe",
    "%ef%bc%8e%ef%bc%8e",
    "%c0%ae%c0%ae",
    "%ud800",
    "%",
    "%2",
    "%zz",
    "-" + "{id}",
    "_",
    "a" * 129,
    "a" * 5000,
    "null",
    "partial",
    "0",
]


@pytest.mark.parametrize("id", IDS)
def test_ids_that_are_none(server: Server, victim: str, id: str) -> None:
    url = f"{server.url}/{id.format(id=id_of(victim))}"
    for method in ("HEAD", "GET", "DELETE"):
        refused(ask(method, url), 404, "not_found", method=method)
    refused(patch(url, 5, b"67890"), 404, "not_found")
    refused(patch(url, 0), 404, "not_found")
    assert post(server, f"Upload-Concat: final;{path(url)}").status == 400


@pytest.mark.parametrize("id", ["\0", "a\0b", "é", "文件", "a b", "\x7f", "a\tb"])
def test_ids_that_http_does_not_allow(server: Server, id: str) -> None:
    for method in ("GET", "DELETE", "PATCH"):
        assert_refused(
            answers(server, message(method, f"/files/{id}", "localhost", VERSION, BYTES, "Upload-Offset: 0"))
        )


def test_the_id_may_be_spelled_with_percents(server: Server, victim: str) -> None:
    # RFC 3986 section 6.2.2.2: %61 and a are the same letter. So it is the same upload, and no way around anything.
    spelled = "".join(f"%{ord(letter):02x}" for letter in id_of(victim))
    assert head(f"{server.url}/{spelled}")["Upload-Offset"] == "5"


# Numbers.

NUMBERS = [
    "9" * 400,
    "9" * 60_000,
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551615",
    "1e400",
    "NaN",
]
NUMBERS += ["Infinity", "0x7fffffff", "١٢٣", "½", "1'000", "1.0", "-0", "+0", "1 ", "００", "0" * 20, "2**63"]


@pytest.mark.parametrize("number", NUMBERS)
def test_absurd_numbers(server: Server, victim: str, number: str) -> None:
    if number != number.strip():
        number = f"{number}1"
    refused(post(server, f"Upload-Length: {number}"), 400, "invalid_header")
    refused(post(server, "Upload-Defer-Length: 1", f"Upload-Length: {number}"), 400, "invalid_header")
    refused(ask("PATCH", victim, BYTES, f"Upload-Offset: {number}", body=b"6"), 400, "invalid_header")
    refused(patch(victim, 5, b"6", f"Upload-Length: {number}"), 400, "invalid_header")


# Concatenation.


def test_ten_thousand_parts(server: Server) -> None:
    urls = " ".join(f"/files/{number:032x}" for number in range(10_000))
    assert_refused(
        answers(server, message("POST", "/files", "localhost", VERSION, f"Upload-Concat: final;{urls}")), 431
    )


def test_ten_thousand_parts_with_short_names(server: Server) -> None:
    urls = " ".join(f"{number:04x}" for number in range(10_000))
    refused(post(server, f"Upload-Concat: final;{urls}"), 400, "invalid_concatenation")


def test_sixty_thousand_times_the_same_part(server: Server) -> None:
    refused(post(server, "Upload-Concat: final;" + "x " * 60_000), 400, "invalid_concatenation")


def test_a_good_part_among_many_bad_ones(server: Server) -> None:
    good = partial(server, b"12345")
    refused(final(server, good, *(f"{number:x}" for number in range(3000)), good), 400, "invalid_concatenation")
    assert content(good) == b"12345"
    assert ask("DELETE", good).status == 204


def test_after_all_that_the_upload_can_be_finished(server: Server) -> None:
    url = create(server, 10, data=b"12345")
    assert patch(url, 5, b"67890").status == 204
    assert content(url) == b"1234567890"
    other = finished(server, b"1234567890")
    assert ask("DELETE", url).status == 204
    assert ask("DELETE", other).status == 204
