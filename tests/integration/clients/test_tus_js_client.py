"""The real tus-js-client, in Node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.clients.files import CHUNK, METADATA, MIB, asked, digest, downloaded, made, shown
from tests.integration.clients.tus_js import TusJs
from tests.servers import Server
from tests.testbed.commands import Unavailable


@pytest.fixture
def client(server: Server) -> TusJs:
    try:
        return TusJs(server.url)
    except Unavailable as reason:
        pytest.skip(f"tus-js-client cannot be had: {reason}")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return made(tmp_path / "file.bin", 3 * CHUNK + 12_345)


def test_a_file_in_chunks_of_5_mib(client: TusJs, file: Path) -> None:
    told = client.run("upload", file, options={"chunkSize": CHUNK})
    assert told["requests"] == 1 + 4
    assert downloaded(told["url"]) == digest(file)


def test_a_whole_file_in_one_request(client: TusJs, file: Path) -> None:
    told = client.run("upload", file)
    assert told["requests"] == 2
    assert downloaded(told["url"]) == digest(file)


def test_first_bytes_with_the_creation(client: TusJs, file: Path) -> None:
    told = client.run("upload", file, options={"chunkSize": CHUNK, "uploadDataDuringCreation": True})
    assert told["requests"] == 4
    assert downloaded(told["url"]) == digest(file)


def test_patches_in_disguise(client: TusJs, file: Path) -> None:
    told = client.run("upload", file, options={"chunkSize": CHUNK, "overridePatchMethod": True})
    assert downloaded(told["url"]) == digest(file)


@pytest.mark.parametrize("chunk", [CHUNK, None], ids=["chunks", "whole"])
def test_a_resume_after_an_abort_in_the_middle(client: TusJs, tmp_path: Path, chunk: int | None) -> None:
    # Within one request the client looks at its progress every 100 ms only, in which 100 MiB may leave.
    size = 384 * MIB if chunk is None else 64 * MIB
    file = made(tmp_path / "file.bin", size)
    options = {} if chunk is None else {"chunkSize": chunk}
    storage = str(tmp_path / "urls.json")
    aborted = client.run("abort", file, options=options, urlStorage=storage, abortAt=30 * MIB)
    offset = int(asked(aborted["url"]).headers["upload-offset"])
    assert 0 < offset < size
    told = client.run("upload", file, options=options, urlStorage=storage, resume=True)
    assert told["url"] == aborted["url"]
    assert downloaded(told["url"]) == digest(file)


def test_an_abort_that_terminates(client: TusJs, file: Path) -> None:
    told = client.run("abort and terminate", file, options={"chunkSize": CHUNK}, abortAt=6 * MIB)
    assert asked(told["url"]).status_code == 404


def test_the_termination_of_a_finished_upload(client: TusJs, file: Path) -> None:
    told = client.run("upload", file)
    client.run("terminate", url=told["url"])
    assert asked(told["url"]).status_code == 404


INSIDE, BORDER, FIRST = 2 * CHUNK + 77, 2 * CHUNK, 77
"""Where a stream ends: inside of a chunk, on a border of chunks, in the first chunk."""


@pytest.mark.parametrize(
    ("stream", "size"), [("node", INSIDE), ("node", FIRST), ("web", INSIDE), ("web", BORDER), ("web", FIRST)]
)
def test_a_stream_of_unknown_length(client: TusJs, tmp_path: Path, stream: str, size: int) -> None:
    file = made(tmp_path / "stream.bin", size)
    told = client.run("upload", file, stream=stream, options={"chunkSize": CHUNK, "uploadLengthDeferred": True})
    answer = asked(told["url"])
    assert (answer.headers["upload-length"], answer.headers["upload-offset"]) == (str(size), str(size))
    assert "upload-defer-length" not in answer.headers
    assert downloaded(told["url"]) == digest(file)


@pytest.mark.parametrize("chunk", [CHUNK, None], ids=["chunks", "whole"])
def test_four_parts_in_parallel(client: TusJs, tmp_path: Path, chunk: int | None) -> None:
    file = made(tmp_path / "file.bin", 26 * MIB + 3)
    options: dict[str, Any] = {"parallelUploads": 4, "metadata": METADATA}
    if chunk is not None:
        options["chunkSize"] = chunk
    told = client.run("upload", file, options=options)
    answer = asked(told["url"])
    assert answer.headers["upload-concat"].startswith("final;")
    assert len(answer.headers["upload-concat"].split()) == 4
    assert answer.headers["upload-offset"] == str(26 * MIB + 3)
    assert downloaded(told["url"]) == digest(file)


def test_parallel_parts_resume(client: TusJs, tmp_path: Path) -> None:
    file = made(tmp_path / "file.bin", 64 * MIB)
    options = {"parallelUploads": 4, "chunkSize": CHUNK}
    storage = str(tmp_path / "urls.json")
    client.run("abort", file, options=options, urlStorage=storage, abortAt=30 * MIB)
    told = client.run("upload", file, options=options, urlStorage=storage, resume=True)
    assert downloaded(told["url"]) == digest(file)


def test_metadata_with_names_in_other_scripts(client: TusJs, file: Path, server: Server) -> None:
    told = client.run("upload", file, options={"metadata": METADATA})
    assert shown(server, told["url"])["metadata"] == METADATA


def test_an_empty_file(client: TusJs, tmp_path: Path) -> None:
    file = made(tmp_path / "empty.bin", 0)
    told = client.run("upload", file)
    assert downloaded(told["url"]) == digest(file)
