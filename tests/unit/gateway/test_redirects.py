"""GET sends clients to the storage where that is wanted and can be; the storage is told to show nothing dangerous."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from tests.contexts import context_in
from tusfleet.datastores.filesystem import FilesystemDataStore
from tusfleet.gateway.auth import everybody
from tusfleet.gateway.cors import Cors
from tusfleet.gateway.endpoint import EndpointRules, UploadEndpoint
from tusfleet.gateway.forwarded import ProxyTrust
from tusfleet.protocols.tus import Tus
from tusfleet.uploads.models import Upload

pytestmark = pytest.mark.anyio

URL = "https://storage.example/bucket/key?signature=abc"
TUS = {"Tus-Resumable": "1.0.0"}


class Elsewhere(FilesystemDataStore):
    """A store that others can read too."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.asked: list[dict[str, Any]] = []

    async def presigned(self, upload: Upload, *, seconds: int, content_type: str, disposition: str) -> str:
        self.asked.append({"id": upload.id, "seconds": seconds, "type": content_type, "disposition": disposition})
        return URL


@asynccontextmanager
async def served(folder: Path, kind: type[FilesystemDataStore], **rules: Any) -> AsyncIterator[tuple[Any, Any]]:
    """A client of an endpoint, and its data store."""
    async with context_in(folder) as context:
        data = kind(folder, durable=False)
        await data.prepare()
        context.data = data
        found = EndpointRules(base_path="/files", inline_types=frozenset({"image/png", "text/html"}), **rules)
        endpoint = UploadEndpoint(context, [Tus()], found, everybody, ProxyTrust(), Cors(["*"]))
        transport = httpx.ASGITransport(app=cast("Any", endpoint))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client, data


async def uploaded(client: Any, content: bytes, length: int, **metadata: str) -> str:
    pairs = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in metadata.items())
    headers = {**TUS, "Upload-Length": str(length), "Content-Type": "application/offset+octet-stream"}
    headers |= {"Upload-Metadata": pairs} if pairs else {}
    answer = await client.post("/files", headers=headers, content=content)
    assert answer.status_code == 201
    return str(answer.headers["location"])


@pytest.mark.parametrize("asked", [{}, {"Range": "bytes=1-2"}, {"If-None-Match": "*"}])
async def test_a_finished_upload_is_fetched_from_the_storage(tmp_path: Path, asked: dict[str, str]) -> None:
    async with served(tmp_path, Elsewhere, downloads="redirect", presigned_seconds=77) as (client, data):
        location = await uploaded(client, b"bytes", 5, filename="a.png", filetype="image/png")
        answer = await client.get(location, headers={**asked, "Origin": "https://page.example"})
        assert answer.status_code == 307
        assert answer.headers["location"] == URL
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["content-length"] == "0"
        assert answer.content == b""
        (one,) = data.asked
        assert (one["seconds"], one["type"]) == (77, "image/png")
        assert one["disposition"] == 'inline; filename="a.png"'


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "application/xhtml+xml", "application/pdf"])
async def test_active_content_is_never_shown_there(tmp_path: Path, kind: str) -> None:
    """F17 holds for the storage's host too."""
    async with served(tmp_path, Elsewhere, downloads="redirect") as (client, data):
        location = await uploaded(client, b"<b>", 3, filename='x".html', filetype=kind)
        assert (await client.get(location)).status_code == 307
        (one,) = data.asked
        assert one["type"] == "application/octet-stream"
        assert one["disposition"].startswith("attachment; ")
        assert '""' not in one["disposition"]


async def test_head_is_answered_from_the_record_and_what_is_not_finished_is_not_there(tmp_path: Path) -> None:
    async with served(tmp_path, Elsewhere, downloads="redirect") as (client, data):
        location = await uploaded(client, b"by", 5)
        assert (await client.get(location)).status_code == 404
        whole = await uploaded(client, b"bytes", 5)
        head = await client.head(whole, headers=TUS)
        assert (head.status_code, head.headers["upload-offset"]) == (200, "5")
        assert (await client.get("/files/unknown")).status_code == 404
        assert data.asked == []


async def test_elsewhere_the_bytes_come_from_here(tmp_path: Path) -> None:
    async with served(tmp_path, Elsewhere, downloads="finished") as (client, data):
        answer = await client.get(await uploaded(client, b"bytes", 5))
        assert (answer.status_code, answer.content, data.asked) == (200, b"bytes", [])
    (tmp_path / "other").mkdir()
    async with served(tmp_path / "other", FilesystemDataStore, downloads="redirect") as (client, _):
        answer = await client.get(await uploaded(client, b"bytes", 5))
        assert (answer.status_code, answer.content) == (200, b"bytes")
