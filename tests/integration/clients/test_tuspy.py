"""The real tuspy. What it cannot do itself (termination, joining parts) is one plain request, as its users do it."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from tusclient import client as tusclient
from tusclient.exceptions import TusUploadFailed
from tusclient.storage.filestorage import FileStorage

from tests.integration.clients.files import CHUNK, METADATA, MIB, asked, digest, downloaded, made, shown
from tests.servers import Server, eventually, serving

PARTS = 4

# It leaves its files to the garbage collector, see `collected`.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What tuspy left open is closed with the test, while nobody minds."""
    yield
    gc.collect()


@pytest.fixture
def client(server: Server) -> tusclient.TusClient:
    return tusclient.TusClient(server.url)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return made(tmp_path / "file.bin", 3 * CHUNK + 12_345)


@pytest.mark.parametrize("settings", [{"chunk_size": CHUNK}, {}], ids=["chunks of 5 MiB", "whole"])
def test_a_file(client: Any, file: Path, settings: dict[str, Any]) -> None:
    uploader = client.uploader(str(file), **settings)
    uploader.upload()
    assert downloaded(uploader.url) == digest(file)


@pytest.mark.parametrize("settings", [{"chunk_size": CHUNK}, {}], ids=["chunks of 5 MiB", "whole"])
def test_checksums(client: Any, file: Path, settings: dict[str, Any]) -> None:
    uploader = client.uploader(str(file), upload_checksum=True, **settings)
    uploader.upload()
    assert downloaded(uploader.url) == digest(file)


def test_a_wrong_checksum_changes_nothing(client: Any, file: Path) -> None:
    uploader = client.uploader(str(file), chunk_size=CHUNK, upload_checksum=True)
    uploader.upload_chunk()
    # Another algorithm under the name that is announced: what a client with a defect sends.
    uploader._BaseUploader__checksum_algorithm = lambda data: uploader.CHECKSUM_ALGORITHM_PAIR[1](data + b"!")
    with pytest.raises(TusUploadFailed) as failed:
        uploader.upload_chunk()
    assert failed.value.status_code == 460
    assert uploader.get_offset() == CHUNK


def test_an_empty_file(client: Any, tmp_path: Path) -> None:
    file = made(tmp_path / "empty.bin", 0)
    uploader = client.uploader(str(file))
    uploader.upload()
    assert downloaded(uploader.url) == digest(file)


def test_a_resume_from_its_own_storage(client: Any, file: Path, tmp_path: Path) -> None:
    storage = FileStorage(str(tmp_path / "urls.json"))  # type: ignore[no-untyped-call]
    settings = {"chunk_size": CHUNK, "store_url": True, "url_storage": storage}
    first = client.uploader(str(file), **settings)
    first.upload(stop_at=2 * CHUNK)
    second = client.uploader(str(file), **settings)
    assert (second.url, second.offset) == (first.url, 2 * CHUNK)
    second.upload()
    assert downloaded(first.url) == digest(file)
    storage.close()  # type: ignore[no-untyped-call]


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Server]:
    """A server of its own, to be killed."""
    with serving(tmp_path / "mortal") as server:
        yield server


@pytest.mark.parametrize("chunk", [CHUNK, 512 * MIB], ids=["chunks", "whole"])
def test_a_server_that_dies_in_the_middle(mortal: Server, tmp_path: Path, chunk: int) -> None:
    file = made(tmp_path / "file.bin", 160 * MIB)
    client = tusclient.TusClient(mortal.url)
    uploader: Any = client.uploader(str(file), chunk_size=chunk, retries=100, retry_delay=0.1)
    uploader.set_url(uploader.create_url())
    # The first to ask the API waits until it is loaded, which is as long as the whole upload takes.
    assert shown(mortal, uploader.url)["state"] == "open"
    failures: list[BaseException] = []

    def upload() -> None:
        try:
            uploader.upload()
        except BaseException as failure:  # told of by the test itself
            failures.append(failure)
            raise

    thread = threading.Thread(target=upload)
    thread.start()
    try:
        eventually(lambda: held(mortal, uploader.url) >= 8 * MIB, pause=0.005)
        assert shown(mortal, uploader.url)["state"] == "open"
    finally:
        mortal.restart()
        thread.join(60)
    assert not thread.is_alive()
    assert not failures
    assert downloaded(uploader.url) == digest(file)


def held(server: Server, url: str) -> int:
    """Bytes of an upload that have reached its file, committed or not."""
    found = list((server.data / "partial").glob(f"*/{url.rpartition('/')[2]}"))
    return found[0].stat().st_size if found else 0


def test_parts_in_parallel_become_one_file(server: Server, file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    step = -(-len(whole) // PARTS)
    client = tusclient.TusClient(server.url, headers={"Upload-Concat": "partial"})

    def upload(number: int) -> str:
        part = tmp_path / f"part-{number}"
        part.write_bytes(whole[number * step : (number + 1) * step])
        uploader = client.uploader(str(part), chunk_size=MIB)
        uploader.upload()
        return str(uploader.url)

    with ThreadPoolExecutor(PARTS) as threads:
        urls = list(threads.map(upload, range(PARTS)))
    headers = {"Tus-Resumable": "1.0.0", "Upload-Concat": f"final;{' '.join(urls)}"}
    joined = httpx.post(server.url, headers=headers, timeout=30)
    assert joined.status_code == 201
    assert downloaded(joined.headers["location"]) == digest(file)


@pytest.mark.parametrize("stop_at", [CHUNK, None], ids=["unfinished", "finished"])
def test_a_termination(client: Any, file: Path, stop_at: int | None) -> None:
    uploader = client.uploader(str(file), chunk_size=CHUNK)
    uploader.upload(stop_at=stop_at)
    assert httpx.delete(uploader.url, headers=uploader.get_headers(), timeout=30).status_code == 204
    assert asked(uploader.url).status_code == 404


def test_metadata_with_names_in_other_scripts(client: Any, file: Path, server: Server) -> None:
    uploader = client.uploader(str(file), metadata=METADATA)
    uploader.upload()
    assert shown(server, uploader.url)["metadata"] == METADATA


@pytest.mark.anyio
async def test_the_asynchronous_uploader(client: Any, file: Path) -> None:
    uploader = client.async_uploader(str(file), chunk_size=CHUNK)
    await uploader.upload()
    assert downloaded(uploader.url) == digest(file)
