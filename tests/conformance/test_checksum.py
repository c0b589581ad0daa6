"""Rows A90-A112: checksum and checksum-trailer."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.conformance.conftest import Serve
from tests.conformance.uploads import (
    BYTES,
    CHUNKED,
    ask,
    checksum,
    content,
    create,
    files,
    head,
    offset,
    patch,
    record,
    refused,
    running,
    text,
    unchanged,
)
from tests.raw_http import Connection, Response, chunked
from tests.servers import Server, eventually

ALGORITHMS = ["sha1", "md5", "sha256", "sha512", "crc32"]
LARGE = bytes(range(256)) * 4096


def announce(algorithm: str, data: bytes) -> str:
    return f"Upload-Checksum: {checksum(algorithm, data)}"


def wait_until_written(server: Server, url: str, size: int) -> None:
    """Wait until bytes lie on the disk, whether they count or not; in a bucket nothing can be seen of them."""
    if server.files is not None:
        eventually(lambda: [Path(file).stat().st_size for file in files(server, url)] == [size])


def patch_with_trailers(url: str, position: int, data: bytes, *trailers: str, fields: tuple[str, ...] = ()) -> Response:
    given = [BYTES, f"Upload-Offset: {position}", CHUNKED, *(fields or ("Trailer: Upload-Checksum",))]
    return ask("PATCH", url, *given, body=chunked(data[:2], data[2:], trailers=trailers))


def test_A90_options_tells_the_algorithms(server: Server) -> None:
    response = ask("OPTIONS", server.url)
    assert "checksum" in response["Tus-Extension"].split(",")
    assert response["Tus-Checksum-Algorithm"] == "sha1,md5,sha256,sha512,crc32"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("data", [b"45", LARGE])
def test_A100_the_right_checksum_is_204(server: Server, algorithm: str, data: bytes) -> None:
    url = create(server, len(LARGE) * 2, data=b"123")
    response = patch(url, 3, data, announce(algorithm, data))
    assert (response.status, response["Upload-Offset"]) == (204, str(3 + len(data)))
    assert content(url) == b"123" + data


def test_A100_crc32_is_four_bytes_in_network_order(server: Server) -> None:
    # The check value of CRC-32 (ISO-HDLC): cbf43926 for the digits 1 to 9.
    digest = base64.b64encode(bytes.fromhex("cbf43926")).decode()
    assert patch(create(server, 9), 0, b"123456789", f"Upload-Checksum: crc32 {digest}").status == 204


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("data", [b"45", LARGE])
def test_A101_the_wrong_checksum_is_460_and_keeps_nothing(server: Server, algorithm: str, data: bytes) -> None:
    url = create(server, len(data) + 3, data=b"123")
    with unchanged(url):
        refused(patch(url, 3, data, announce(algorithm, data + b"!")), 460, "checksum_mismatch")
    assert patch(url, 3, data, announce(algorithm, data)).status == 204
    assert content(url) == b"123" + data


@pytest.mark.parametrize(
    "value", ["foo abc=", "sha3 " + 28 * "A", "sha-1 " + checksum("sha1", b"45")[5:], "crc32c AAAAAA=="]
)
def test_A102_another_algorithm_is_400(server: Server, value: str) -> None:
    url = create(server, 10, data=b"123")
    with unchanged(url):
        refused(patch(url, 3, b"45", f"Upload-Checksum: {value}"), 400, "unsupported_checksum")
    assert patch(url, 3, b"45").status == 204


SHA1 = checksum("sha1", b"45").removeprefix("sha1 ")
MALFORMED = [
    "sha1",
    "sha1 ",
    "sha1 !!!",
    f"sha1  {SHA1}",
    f"sha1\t{SHA1}",
    "",
    f"sha1 {SHA1} x",
    f"sha1 {SHA1[:-1]}",
    f"sha1 {SHA1[:-4]}",
    f"sha1 {SHA1}{SHA1}",
    f"sha1 {SHA1},md5 x",
    f"sha1={SHA1}",
    f"sha256 {SHA1}",
    "sha1 " + b"\xff".decode("latin-1") * 8,
]


@pytest.mark.parametrize("value", MALFORMED)
def test_A103_a_malformed_checksum_is_400(server: Server, value: str) -> None:
    url = create(server, 10, data=b"123")
    with unchanged(url):
        response = patch(url, 3, b"45", f"Upload-Checksum: {value}")
        assert response.status == 400
        refused(response, 400, response.json()["code"])
        assert response.json()["code"] in {"invalid_header", "unsupported_checksum"}
    assert patch(url, 3, b"45").status == 204


def test_A103_two_checksums_are_400(server: Server) -> None:
    url = create(server, 10, data=b"123")
    with unchanged(url):
        response = patch(url, 3, b"45", announce("sha1", b"45"), announce("md5", b"45"))
        refused(response, 400, "invalid_header")


def test_A104_without_a_checksum_nothing_is_verified(server: Server) -> None:
    assert patch(create(server, 10), 0, b"12345").status == 204


@pytest.mark.parametrize("value", [f"SHA1 {SHA1}", f"Sha1 {SHA1}"])
def test_A105_an_algorithm_in_upper_case_is_400(server: Server, value: str) -> None:
    url = create(server, 10, data=b"123")
    with unchanged(url):
        refused(patch(url, 3, b"45", f"Upload-Checksum: {value}"), 400, "unsupported_checksum")


@pytest.mark.parametrize("size", [60, len(LARGE)])
@pytest.mark.parametrize("end", ["close", "shutdown", "reset"])
def test_A106_a_cut_chunk_with_a_checksum_is_not_kept(server: Server, end: str, size: int) -> None:
    data = LARGE[:size]
    url = create(server, size + 13, data=b"123")
    with Connection(url) as connection:
        fields = [BYTES, "Upload-Offset: 3", f"Content-Length: {size + 10}", announce("sha1", data)]
        connection.send(text("PATCH", url, *fields), data)
        wait_until_written(server, url, 3 + size)
        assert record(server, url)["offset"] == 3
        getattr(connection, end)()
        if end == "shutdown":
            connection.end_of_answers()
    assert offset(url) == 3
    assert content(url) == b"123"
    assert patch(url, 3, b"!" * (size + 10), announce("sha1", b"!" * (size + 10))).status == 204
    assert content(url) == b"123" + b"!" * (size + 10)


def test_A106_nor_is_one_that_stalls(serve: Serve) -> None:
    server = serve("--body-idle-timeout", "300ms")
    url = create(server, 100)
    with running(server, url, b"12345", 10, announce("sha1", b"1234567890"), committed=False) as connection:
        refused(connection.read(), 408, "body_stalled")
    assert (offset(url), content(url)) == (0, b"")
    assert patch(url, 0, b"abc").status == 204
    assert content(url) == b"abc"


@pytest.mark.parametrize("method", ["HEAD", "PATCH"])
def test_A106_nor_is_one_that_is_taken_over(server: Server, method: str) -> None:
    url = create(server, 100)
    with running(server, url, b"12345", 10, announce("sha1", b"1234567890"), committed=False) as connection:
        wait_until_written(server, url, 5)

        def taken_over() -> bool:
            response = head(url) if method == "HEAD" else patch(url, 0)
            assert response["Upload-Offset"] == "0"
            return connection.answered()

        eventually(taken_over)  # in a fleet it may come too early
        refused(connection.read(), 423, "interrupted")
    assert patch(url, 0, b"abc").status == 204
    assert content(url) == b"abc"


def test_A107_another_offset_comes_before_the_checksum(server: Server) -> None:
    url = create(server, 10, data=b"123")
    with unchanged(url):
        for data in (b"45", b"46"):
            refused(patch(url, 4, data, announce("sha1", b"45")), 409, "offset_mismatch")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_A107_an_empty_body_has_a_checksum_too(server: Server, algorithm: str) -> None:
    url = create(server, 10, data=b"123")
    with unchanged(url):
        assert patch(url, 3, b"", announce(algorithm, b"")).status == 204
        refused(patch(url, 3, b"", announce(algorithm, b"x")), 460, "checksum_mismatch")


def test_A108_options_tells_checksum_trailer(server: Server) -> None:
    assert "checksum-trailer" in ask("OPTIONS", server.url)["Tus-Extension"].split(",")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_A109_the_checksum_may_come_as_a_trailer(server: Server, algorithm: str) -> None:
    url = create(server, 10, data=b"123")
    with unchanged(url):
        refused(patch_with_trailers(url, 3, b"456", announce(algorithm, b"457")), 460, "checksum_mismatch")
    response = patch_with_trailers(url, 3, b"456", announce(algorithm, b"456"))
    assert (response.status, response["Upload-Offset"]) == (204, "6")
    assert content(url) == b"123456"


@pytest.mark.parametrize(
    "trailer",
    ["foo abc=", "SHA1 " + SHA1, *(value for value in MALFORMED if value.isascii())],
)
def test_A109_a_trailer_that_cannot_be_verified_is_400(server: Server, trailer: str) -> None:
    url = create(server, 10, data=b"123")
    with unchanged(url):
        assert patch_with_trailers(url, 3, b"45", f"Upload-Checksum: {trailer}").status == 400


def test_A109_the_announcement_may_name_others_in_any_case(server: Server) -> None:
    url = create(server, 10, data=b"123")
    fields = ("Trailer: X-Other, upload-CHECKSUM",)
    with unchanged(url):
        wrong = patch_with_trailers(url, 3, b"456", "X-Other: 1", announce("md5", b"4"), fields=fields)
        refused(wrong, 460, "checksum_mismatch")
    right = patch_with_trailers(
        url, 3, b"456", "X-Other: 1", "upload-checksum: " + checksum("md5", b"456"), fields=fields
    )
    assert right.status == 204


def test_A109_a_large_body_with_a_trailer(server: Server) -> None:
    url = create(server, len(LARGE))
    with unchanged(url):
        refused(patch_with_trailers(url, 0, LARGE, announce("sha256", b"")), 460, "checksum_mismatch")
    assert patch_with_trailers(url, 0, LARGE, announce("sha256", LARGE)).status == 204
    assert content(url) == LARGE


def test_A110_header_and_trailer_together_are_400(server: Server) -> None:
    url = create(server, 10, data=b"123")
    right = announce("sha1", b"456")
    with unchanged(url):
        response = patch_with_trailers(url, 3, b"456", right, fields=("Trailer: Upload-Checksum", right))
        refused(response, 400, "bad_request")


def test_A111_an_announced_trailer_that_does_not_come_is_400(server: Server) -> None:
    url = create(server, 10, data=b"123")
    with unchanged(url):
        refused(patch_with_trailers(url, 3, b"456"), 400, "bad_request")
        refused(patch_with_trailers(url, 3, b"456", "X-Other: 1"), 400, "bad_request")
    with Connection(url) as connection:
        fields = [BYTES, "Upload-Offset: 3", CHUNKED, "Trailer: Upload-Checksum"]
        connection.send(text("PATCH", url, *fields), chunked(b"456")[:-2])
        connection.shutdown()
        connection.end_of_answers()
    assert (offset(url), content(url)) == (3, b"123")


def test_A111_nor_can_it_come_behind_a_body_of_known_length(server: Server) -> None:
    url = create(server, 10, data=b"123")
    with unchanged(url):
        refused(patch(url, 3, b"456", "Trailer: Upload-Checksum"), 400, "bad_request")


@pytest.mark.parametrize("data", [b"456", b"457"])
def test_A112_a_trailer_that_was_not_announced_is_passed_over(server: Server, data: bytes) -> None:
    url = create(server, 10, data=b"123")
    response = patch_with_trailers(url, 3, b"456", announce("sha1", data), fields=("X-Nothing: here",))
    assert (response.status, response["Upload-Offset"]) == (204, "6")


def test_A112_trailers_are_no_headers(server: Server) -> None:
    url = create(server, data=b"123")
    trailers = ["Upload-Length: 6", "Upload-Offset: 0", "X-HTTP-Method-Override: DELETE", "Tus-Resumable: 0.2.2"]
    response = patch_with_trailers(url, 3, b"456", *trailers, fields=("X-Nothing: here",))
    assert (response.status, response["Upload-Offset"]) == (204, "6")
    assert head(url)["Upload-Defer-Length"] == "1"
