"""Rows A130-A149: concatenation."""

from __future__ import annotations

import pytest

from tests.conformance.conftest import Serve
from tests.conformance.uploads import (
    BYTES,
    CHUNKED,
    UNKNOWN,
    ask,
    content,
    create,
    events,
    files,
    final,
    finished,
    head,
    id_of,
    located,
    nothing_happens,
    partial,
    patch,
    path,
    post,
    record,
    refused,
    unchanged,
)
from tests.raw_http import chunked
from tests.servers import Server

PARTIAL = "Upload-Concat: partial"


def test_A130_options_tells_concatenation(server: Server) -> None:
    assert {"concatenation", "concatenation-unfinished"} <= set(ask("OPTIONS", server.url)["Tus-Extension"].split(","))


def test_A131_a_partial_upload_is_written_as_any_other(server: Server) -> None:
    url = create(server, 5, PARTIAL)
    assert patch(url, 0, b"123")["Upload-Offset"] == "3"
    assert patch(url, 3, b"45")["Upload-Offset"] == "5"
    assert content(url) == b"12345"


def test_A131_its_bytes_may_come_with_the_creation(server: Server) -> None:
    response = post(server, PARTIAL, "Upload-Length: 5", BYTES, body=b"12345")
    assert (response.status, response["Upload-Offset"]) == (201, "5")
    assert content(located(server, final(server, located(server, response)))) == b"12345"


def test_A132_head_tells_that_it_is_partial(server: Server) -> None:
    url = create(server, 5, PARTIAL)
    for data in (b"123", b"45"):
        response = head(url)
        assert response["Upload-Concat"] == "partial"
        assert patch(url, int(response["Upload-Offset"]), data).status == 204
    assert (head(url)["Upload-Concat"], head(url)["Upload-Offset"]) == ("partial", "5")


@pytest.mark.parametrize("order", [[0, 1], [1, 0], [2, 0, 1]])
def test_A133_a_final_upload_is_its_parts_in_order(server: Server, order: list[int]) -> None:
    data = [b"hello ", b"world", bytes(range(256)) * 1000]
    parts = [partial(server, one) for one in data]
    response = final(server, *(parts[number] for number in order))
    assert (response.status, response.body) == (201, b"")
    assert "Upload-Offset" not in response
    assert content(located(server, response)) == b"".join(data[number] for number in order)


def test_A134_its_length_is_the_sum(server: Server) -> None:
    url = located(server, final(server, partial(server, b"hello "), partial(server, b"world")))
    response = head(url)
    assert (response.status, response["Upload-Length"], response["Upload-Offset"]) == (200, "11", "11")
    assert "Upload-Defer-Length" not in response


def test_A134_empty_parts_count_nothing(server: Server) -> None:
    empty = create(server, 0, PARTIAL)
    url = located(server, final(server, empty, partial(server, b"world"), empty))
    assert content(url) == b"world"
    url = located(server, final(server, empty))
    assert (head(url)["Upload-Length"], head(url)["Upload-Offset"], content(url)) == ("0", "0", b"")


def test_A135_head_tells_the_parts_as_received(server: Server) -> None:
    one, other = partial(server, b"hello "), partial(server, b"world")
    for value in (f"final;{path(one)} {path(other)}", f"final;{one} {path(other)}", f"final;{one}  {other}"):
        url = located(server, post(server, f"Upload-Concat: {value}"))
        assert head(url)["Upload-Concat"] == value


def test_A136_a_final_upload_takes_no_bytes(server: Server) -> None:
    parts = [partial(server, b"hello "), partial(server, b"world")]
    url = located(server, final(server, *parts))
    with unchanged(url, *parts):
        for position, data in ((11, b"!"), (11, b""), (0, b"!"), (3, b"")):
            refused(patch(url, position, data), 403, "final_not_writable")
        refused(patch(url, 11, b"", "Upload-Length: 11"), 403, "final_not_writable")


def test_A137_metadata_of_parts_is_not_that_of_the_final_upload(server: Server) -> None:
    parts = [finished(server, data, PARTIAL, f"Upload-Metadata: part {data.decode()}") for data in (b"YQ==", b"Yg==")]
    plain = located(server, final(server, *parts))
    assert "Upload-Metadata" not in head(plain)
    concat = f"Upload-Concat: final;{' '.join(parts)}"
    named = located(server, post(server, concat, "Upload-Metadata: filename d29y,is_final"))
    assert head(named)["Upload-Metadata"] == "filename d29y,is_final"


def test_A138_a_part_may_be_used_again(server: Server) -> None:
    one, other = partial(server, b"ab"), partial(server, b"c")
    assert content(located(server, final(server, one, other, one))) == b"abcab"
    assert content(located(server, final(server, other, one))) == b"cab"
    assert content(one) == b"ab"


def test_A139_parts_may_be_named_absolutely_or_relatively(server: Server) -> None:
    one, other = partial(server, b"ab"), partial(server, b"c")
    for names in [(one, other), (path(one), path(other)), (one, path(other)), (id_of(one), f"./{id_of(other)}")]:
        assert content(located(server, final(server, *names))) == b"abc"


@pytest.mark.parametrize(
    "form",
    [
        "http://other.example/files/{id}",
        "http://127.0.0.1:1/files/{id}",
        "https://127.0.0.1:1/files/{id}",
        "http://user@{host}/files/{id}",
        "ftp://{host}/files/{id}",
        "//other.example/files/{id}",
        "file:///files/{id}",
        "/other/{id}",
        "/{id}",
        "/files/files/{id}",
        "/files/../files/{id}",
        "../files/{id}",
        "/files/./../files/{id}",
        "/files/%2e%2e/files/{id}",
        "/files/%2E%2E/{id}",
        "/files//{id}",
        "/files/{id}/",
        "/files/{id}?a=b",
        "/files/{id}#a",
        "/files/{id};a",
        "/files/{id},/files/{id}",
        "/files/{id}%00",
        "/%66iles/{id}",
        "http://[::1",
        "\\files\\{id}",
        "<script>",
    ],
)
def test_A139_a_part_of_another_place_is_400(server: Server, form: str) -> None:
    url = partial(server, b"ab")
    host = server.origin.removeprefix("http://")
    with nothing_happens(server):
        refused(final(server, form.format(id=id_of(url), host=host)), 400, "invalid_concatenation")
        refused(final(server, url, form.format(id=id_of(url), host=host)), 400, "invalid_concatenation")


def test_A139_a_percent_encoded_id_is_400(server: Server) -> None:
    url = partial(server, b"ab")
    id = id_of(url)
    with nothing_happens(server):
        refused(final(server, f"/files/%{ord(id[0]):02x}{id[1:]}"), 400, "invalid_concatenation")


@pytest.mark.parametrize("fields", [["Upload-Length: 2"], ["Upload-Defer-Length: 1"], ["Upload-Length: 0"]])
def test_A140_a_final_upload_with_a_length_is_400(server: Server, fields: list[str]) -> None:
    url = partial(server, b"ab")
    with nothing_happens(server):
        refused(post(server, f"Upload-Concat: final;{url}", *fields), 400, "invalid_concatenation")


@pytest.mark.parametrize(("fields", "body"), [([], b"abc"), ([CHUNKED], chunked(b"abc"))])
def test_A141_a_final_upload_with_a_body_is_400(server: Server, fields: list[str], body: bytes) -> None:
    url = partial(server, b"ab")
    with nothing_happens(server):
        response = post(server, f"Upload-Concat: final;{url}", BYTES, *fields, body=body)
        refused(response, 400, "invalid_concatenation")


@pytest.mark.parametrize(
    "value",
    ["final;", "final", "final;   ", "bogus", "Partial", "PARTIAL", "Final;/files/a", "partial;", "", ";", "final ;a"],
)
def test_A142_another_value_is_400(server: Server, value: str) -> None:
    with nothing_happens(server):
        refused(post(server, f"Upload-Concat: {value}"), 400, "invalid_concatenation")
        refused(post(server, f"Upload-Concat: {value}", "Upload-Length: 5"), 400, "invalid_concatenation")


def test_A142_two_lines_are_400(server: Server) -> None:
    with nothing_happens(server):
        refused(post(server, PARTIAL, PARTIAL, "Upload-Length: 5"), 400, "invalid_header")


def test_A143_a_part_that_is_none_is_400(server: Server) -> None:
    part = partial(server, b"ab")
    deleted = partial(server, b"ab")
    assert ask("DELETE", deleted).status == 204
    others = [
        f"{server.url}/{UNKNOWN}",
        finished(server, b"ab"),
        create(server, 2),
        located(server, final(server, part)),
        deleted,
    ]
    with nothing_happens(server):
        for other in others:
            refused(final(server, other), 400, "invalid_concatenation")
            refused(final(server, part, other), 400, "invalid_concatenation")


def test_A144_an_unfinished_part_is_allowed_since_we_announce_it(server: Server) -> None:
    # The row is about servers without concatenation-unfinished; for those with it A150 decides.
    assert "concatenation-unfinished" in ask("OPTIONS", server.url)["Tus-Extension"].split(",")
    assert final(server, create(server, 5, PARTIAL)).status == 201


def test_A145_a_sum_beyond_the_limit_is_413(serve: Serve) -> None:
    server = serve("--max-size", "10")
    one, other, more = partial(server, b"12345"), partial(server, b"67890"), partial(server, b"!")
    with nothing_happens(server):
        refused(final(server, one, other, more), 413, "too_large")
        refused(final(server, one, one, one), 413, "too_large")
    assert content(located(server, final(server, one, other))) == b"1234567890"


def test_A145_also_of_parts_that_are_not_finished(serve: Serve) -> None:
    server = serve("--max-size", "10")
    parts = [create(server, 5, PARTIAL), create(server, 6, PARTIAL)]
    with nothing_happens(server):
        refused(final(server, *parts), 413, "too_large")


def test_A146_deleted_parts_cannot_be_used_again(server: Server) -> None:
    part = partial(server, b"ab")
    whole = located(server, final(server, part))
    assert ask("DELETE", part).status == 204
    assert head(part).status == 404
    refused(final(server, part), 400, "invalid_concatenation")
    assert content(whole) == b"ab"


def test_A147_only_the_final_upload_counts_as_finished(server: Server) -> None:
    before = events(server, "finished")
    parts = [partial(server, b"hello "), partial(server, b"world"), create(server, 0, PARTIAL)]
    assert events(server, "finished") == before
    url = located(server, final(server, *parts))
    assert events(server, "finished") == before + 1
    assert head(url).status == 200
    assert events(server, "finished") == before + 1


def test_A148_the_length_of_a_part_may_be_deferred(server: Server) -> None:
    part = create(server, None, PARTIAL, data=b"123")
    assert (head(part)["Upload-Defer-Length"], head(part)["Upload-Concat"]) == ("1", "partial")
    assert patch(part, 3, b"45", "Upload-Length: 5").status == 204
    assert content(located(server, final(server, part))) == b"12345"


def test_A149_a_thousand_parts_are_accepted(server: Server) -> None:
    parts = [partial(server, b"%d," % number) for number in range(10)] * 100
    value = f"final;{' '.join(parts)}"
    assert len(value) > 60_000
    url = located(server, post(server, f"Upload-Concat: {value}"))
    assert head(url)["Upload-Concat"] == value
    assert content(url) == b"0,1,2,3,4,5,6,7,8,9," * 100
    assert record(server, url)["state"] == "finished"
    assert len(files(server, url)) == 1
