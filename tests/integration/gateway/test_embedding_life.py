"""The life of embedded uploads: stopped while requests run, started on another loop, in trouble at the start."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

import tusfleet
from tusfleet.settings import SettingsError

pytestmark = pytest.mark.anyio

TUS = {"tus-resumable": "1.0.0"}
BYTES = {**TUS, "content-type": "application/offset+octet-stream"}


class Client:
    """Requests as an ASGI server makes them; a body without end stays open."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def ask(
        self, method: str, path: str, headers: dict[str, str], *body: bytes, open: bool = False, root: str = ""
    ) -> Any:
        messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in body]
        if not open:
            messages.append({"type": "http.request", "body": b"", "more_body": False})
        answer: dict[str, Any] = {}

        async def receive() -> dict[str, Any]:
            if not messages:
                await asyncio.Event().wait()
            return messages.pop(0)

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.update(status=message["status"], headers=dict(message["headers"]))

        scope = {
            "type": "http",
            "method": method,
            "path": unquote(path),
            "root_path": root,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
        }
        await self._app(scope, receive, send)
        return answer


def uploads_in(folder: Path, **settings: Any) -> tusfleet.EmbeddedUploads:
    return tusfleet.asgi(tusfleet.Settings(data_dir=folder, **settings))


def written(folder: Path) -> bool:
    """Whether any unfinished upload has bytes."""
    return any(path.stat().st_size for path in folder.glob("partial/*/*"))


async def test_a_stop_flushes_uploads_under_way_and_answers_them(tmp_path: Path) -> None:
    uploads = uploads_in(tmp_path)
    client = Client(uploads)
    created = await client.ask("POST", "/", {**TUS, "upload-length": "10"})
    path = created["headers"][b"location"].decode()
    headers = {**BYTES, "upload-offset": "0", "transfer-encoding": "chunked"}
    writing = asyncio.create_task(client.ask("PATCH", path, headers, b"12345", open=True))
    while not written(tmp_path):
        await asyncio.sleep(0.01)
    await uploads.stop()
    assert writing.done()
    assert (await writing)["status"] == 503

    await uploads.start()
    assert (await client.ask("HEAD", path, TUS))["headers"][b"upload-offset"] == b"5"
    await uploads.stop()


async def test_a_request_after_the_stop_does_not_start_everything_again(tmp_path: Path) -> None:
    uploads = uploads_in(tmp_path)
    client = Client(uploads)
    assert (await client.ask("POST", "/", {**TUS, "upload-length": "10"}))["status"] == 201
    await uploads.stop()
    late = await client.ask("POST", "/", {**TUS, "upload-length": "10"})
    assert (late["status"], late["headers"][b"retry-after"]) == (503, b"1")
    assert late["headers"][b"tus-resumable"] == b"1.0.0"
    # The folder is free for the next process.
    other = uploads_in(tmp_path)
    await other.start()
    await other.stop()


async def test_a_first_request_that_meets_the_stop_does_not_start_everything_again(tmp_path: Path) -> None:
    uploads = uploads_in(tmp_path)
    client = Client(uploads)
    steps = [client.ask("POST", "/", {**TUS, "upload-length": "10"}), uploads.stop()]
    tasks = []
    for step in [*steps, client.ask("POST", "/", {**TUS, "upload-length": "10"})]:
        tasks.append(asyncio.create_task(step))
        await asyncio.sleep(0)
    first, _, second = await asyncio.gather(*tasks)
    assert first["status"] in (201, 503)
    assert second["status"] == 503
    # The folder is free for the next process.
    async with uploads_in(tmp_path).lifespan():
        pass


async def test_a_start_that_failed_is_tried_again_by_the_next_request(tmp_path: Path) -> None:
    first, second = uploads_in(tmp_path), uploads_in(tmp_path)
    await first.start()
    client = Client(second)
    for _ in range(2):
        with pytest.raises(SettingsError, match="another server uses"):
            await client.ask("POST", "/", {**TUS, "upload-length": "10"})
    await first.stop()
    assert (await client.ask("POST", "/", {**TUS, "upload-length": "10"}))["status"] == 201
    await second.stop()


def test_another_event_loop_is_refused_in_words(tmp_path: Path) -> None:
    uploads = uploads_in(tmp_path)
    with asyncio.Runner() as runner:
        runner.run(uploads.start())
        with asyncio.Runner() as other, pytest.raises(RuntimeError, match="with TestClient"):
            other.run(Client(uploads).ask("POST", "/", {**TUS, "upload-length": "10"}))
        runner.run(uploads.stop())


def test_they_can_be_started_on_another_loop_once_they_are_stopped(tmp_path: Path) -> None:
    uploads = uploads_in(tmp_path)

    async def live() -> None:
        client = Client(uploads)
        async with uploads.lifespan():
            answers = await asyncio.gather(
                *(client.ask("POST", "/", {**BYTES, "upload-length": "3"}, b"abc") for _ in range(5))
            )
        assert [answer["status"] for answer in answers] == [201] * 5

    for _ in range(2):
        asyncio.run(live())


async def test_functions_that_block_stall_no_upload(tmp_path: Path) -> None:
    going_on = threading.Event()

    def before_create(upload: tusfleet.Upload) -> None:
        if upload.length == 1:
            assert going_on.wait(60)

    uploads = tusfleet.asgi(tusfleet.Settings(data_dir=tmp_path), before_create=before_create)
    client = Client(uploads)
    path = (await client.ask("POST", "/", {**TUS, "upload-length": "3"}))["headers"][b"location"].decode()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(4))
    blocked = [asyncio.create_task(client.ask("POST", "/", {**TUS, "upload-length": "1"})) for _ in range(8)]
    try:
        async with asyncio.timeout(30):
            answer = await client.ask("PATCH", path, {**BYTES, "upload-offset": "0", "content-length": "3"}, b"abc")
        assert answer["status"] == 204
    finally:
        going_on.set()
        await asyncio.wait(blocked)
        await uploads.stop()


@pytest.mark.parametrize("root", ["/dateien/größe", "/my files", "/50%"])
async def test_a_mount_point_of_any_letters_has_urls_of_ascii(tmp_path: Path, root: str) -> None:
    uploads = uploads_in(tmp_path)
    client = Client(uploads)
    body = {**BYTES, "upload-length": "3", "content-length": "3"}
    answer = await client.ask("POST", f"{quote(root)}/", body, b"abc", root=root)
    assert answer["status"] == 201
    path = answer["headers"][b"location"].decode()
    assert path.isascii()
    assert " " not in path
    assert (await client.ask("HEAD", path, TUS, root=root))["headers"][b"upload-offset"] == b"3"
    partial = {**body, "upload-concat": "partial"}
    part = (await client.ask("POST", f"{quote(root)}/", partial, b"abc", root=root))["headers"][b"location"].decode()
    final = {**TUS, "upload-concat": f"final;{part} {part}"}
    assert (await client.ask("POST", f"{quote(root)}/", final, root=root))["status"] == 201
    await uploads.stop()
