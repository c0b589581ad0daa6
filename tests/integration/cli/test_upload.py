from __future__ import annotations

import base64
import os
from pathlib import Path

import httpx
import pytest

from tests.integration.cli.conftest import Client, fetched, make_file, received
from tests.servers import Server

MIB = 2**20


def head(url: str) -> httpx.Headers:
    response = httpx.head(url, headers={"Tus-Resumable": "1.0.0"}, trust_env=False)
    assert response.status_code == 200
    return response.headers


def test_a_file_arrives_and_leaves_no_state(client: Client, server: Server, tmp_path: Path) -> None:
    content = make_file(tmp_path, "photo.jpg", 3 * MIB + 1)
    result = client.run("upload", "photo.jpg")
    assert result.url.startswith(server.url + "/")
    assert fetched(result.url) == content
    assert head(result.url)["Upload-Metadata"] == "filename cGhvdG8uanBn,filetype aW1hZ2UvanBlZw=="
    assert result.err.startswith("photo.jpg: 100% 3.0 MiB in 0:0")
    assert list((client.states / "uploads").iterdir()) == []


def test_several_files_print_a_url_each_in_their_order(client: Client, tmp_path: Path) -> None:
    contents = [make_file(tmp_path, name, size) for name, size in (("a", 10), ("b", 0), ("c d", MIB))]
    result = client.run("upload", "--quiet", "a", "b", "c d")
    assert (result.code, result.err) == (0, "")
    assert [fetched(url) for url in result.out.splitlines()] == contents


@pytest.mark.parametrize("size", [0, 1, 8 * MIB, 8 * MIB + 5])
def test_standard_input_of_any_length(size: int, client: Client) -> None:
    content = os.urandom(size)
    result = client.run("upload", "-", "--metadata", "filename=in.bin", input=content)
    assert fetched(result.url) == content
    assert head(result.url)["Upload-Length"] == str(size)
    assert head(result.url)["Upload-Metadata"] == "filename aW4uYmlu"


@pytest.mark.parametrize("algorithm", ["sha256", "sha1", "sha512", "md5", "crc32"])
def test_digests_are_verified(algorithm: str, client: Client, tmp_path: Path) -> None:
    content = make_file(tmp_path, "f", 2 * MIB)
    result = client.run("upload", "f", "--checksum", algorithm, "--chunk-size", "1MiB")
    assert fetched(result.url) == content


def test_a_digest_with_standard_input(client: Client) -> None:
    assert fetched(client.run("upload", "-", "--checksum", "sha256", input=b"hello").url) == b"hello"


def test_parts_are_put_together(client: Client, server: Server, tmp_path: Path) -> None:
    content = make_file(tmp_path, "f", 5 * MIB + 3)
    before = received(server)
    result = client.run("upload", "f", "--parallel", "4", "--metadata", "note=whole")
    assert fetched(result.url) == content
    concat = head(result.url)["Upload-Concat"]
    assert concat.startswith("final;")
    assert len(concat.split()) == 4
    assert dict(item.split(" ") for item in head(result.url)["Upload-Metadata"].split(","))["note"] == "d2hvbGU="
    assert received(server) - before >= len(content)


def test_chunks_bound_requests(client: Client, tmp_path: Path) -> None:
    content = make_file(tmp_path, "f", MIB)
    assert fetched(client.run("upload", "f", "--chunk-size", "300KB").url) == content


def test_metadata_is_added_replaced_and_left_out(client: Client, tmp_path: Path) -> None:
    make_file(tmp_path, "f.txt", 3)
    pairs = ("filename=Größe.txt", "filetype=", "flag=", "a=b=c")
    result = client.run("upload", "f.txt", *(word for pair in pairs for word in ("--metadata", pair)))
    name = base64.b64encode("Größe.txt".encode()).decode()
    assert head(result.url)["Upload-Metadata"] == f"filename {name},flag,a Yj1j"


def test_a_name_that_is_no_utf_8_is_told_as_it_is(client: Client, tmp_path: Path) -> None:
    name = os.fsdecode(b"a\xffb.bin")
    content = make_file(tmp_path, name, 3)
    result = client.run("upload", name)
    assert fetched(result.url) == content
    encoded = base64.b64encode(b"a\xffb.bin").decode()
    assert head(result.url)["Upload-Metadata"].split(",")[0] == f"filename {encoded}"


def test_a_compressed_file_is_not_what_is_inside(client: Client, tmp_path: Path) -> None:
    make_file(tmp_path, "f.tar.gz", 3)
    assert "filetype" not in head(client.run("upload", "f.tar.gz").url)["Upload-Metadata"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("absent",), "absent cannot be read: No such file or directory"),
        (("good", "."), ". is a folder; name a file, or - for standard input"),
    ],
)
def test_nothing_is_sent_when_a_file_is_not_there(
    arguments: tuple[str, ...], sentence: str, client: Client, tmp_path: Path
) -> None:
    make_file(tmp_path, "good", 3)
    result = client.run("upload", *arguments)
    assert (result.code, result.out, result.err) == (1, "", f"Error: {sentence}\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "FILE... | -"),
        (("f", "--url", "ftp://h/"), "'ftp://h/' is not an address"),
        (("f", "--metadata", "novalue"), "--metadata takes KEY=VALUE"),
        (("f", "--metadata", "a b=c"), "--metadata takes KEY=VALUE"),
        (("f", "--metadata", "a=1", "--metadata", "a=2"), "--metadata a was given twice"),
        (("f", "--header", "secret"), "--header takes 'NAME: VALUE'"),
        (("f", "--header", "a: b\r\nc: d"), "--header takes 'NAME: VALUE'"),
        (("f", "--token", "two words"), "A token has letters"),
        (("-", "-"), "Standard input (-) can be sent once only"),
        (("-", "--parallel", "2"), "cannot be sent in parts"),
        (("f", "--chunk-size", "0"), "'0' is too small"),
        (("f", "--checksum", "sha3"), "sha3"),
    ],
)
def test_wrong_usage_exits_2(arguments: tuple[str, ...], words: str, client: Client, tmp_path: Path) -> None:
    make_file(tmp_path, "f", 3)
    result = client.run("upload", *arguments)
    assert (result.code, result.out) == (2, "")
    assert words in result.err
    assert "two words" not in result.err


def test_a_url_is_needed(client: Client, tmp_path: Path) -> None:
    make_file(tmp_path, "f", 3)
    result = client.run("upload", "f", environment={"TUSFLEET_URL": ""})
    assert result.code == 2
    assert "--url" in result.err
