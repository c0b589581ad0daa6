"""Clients fetch finished objects from both S3 servers themselves, shown as we say and for as long as we say."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.integration.datastores.s3_means import finished, new_upload, opened, with_credentials
from tests.kits.datastore import some_bytes
from tests.servers import serving
from tests.testbed.s3 import SECRET_KEY, Bucket
from tusfleet.datastores.s3.means import Means
from tusfleet.datastores.s3.presigned import LONGEST, presigned
from tusfleet.uploads.errors import NotFound, Unavailable
from tusfleet.uploads.models import Upload

pytestmark = pytest.mark.anyio

SOON = 20.0
"""Seconds in which a URL of one second has run out, on a busy machine too."""

TYPE = "text/plain; charset=utf-8"
DISPOSITION = "attachment; filename=\"na_ve.txt\"; filename*=UTF-8''na%C3%AFve.txt"


@pytest.fixture
async def means(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Means]:
    with_credentials(bucket.server, monkeypatch)
    async with opened(bucket, key_template="{filename}") as found:
        yield found


async def url_of(means: Means, upload: Upload, seconds: int = 60) -> str:
    client, naming = means.workshop.client, means.workshop.naming
    return await presigned(client, naming, upload, seconds=seconds, content_type=TYPE, disposition=DISPOSITION)


async def test_anybody_who_has_the_url_gets_the_bytes_as_we_say_they_are(means: Means) -> None:
    content = some_bytes(100_000)
    upload = await finished(means, content, filename="naïve & <b> +.html", filetype="text/html")
    url = await url_of(means, upload)
    assert SECRET_KEY not in url
    async with httpx.AsyncClient() as client:
        answer = await client.get(url)
        assert (answer.status_code, answer.content) == (200, content)
        assert answer.headers["content-type"] == TYPE
        assert answer.headers["content-disposition"] == DISPOSITION
        ranged = await client.get(url, headers={"Range": "bytes=10-19"})
        assert (ranged.status_code, ranged.content) == (206, content[10:20])
        assert (await client.get(url.replace("attachment", "inline"))).status_code == 403
        assert (await client.get(url.replace("plain", "html"))).status_code == 403
        assert (await client.put(url, content=b"other")).status_code == 403


async def test_a_url_runs_out(means: Means) -> None:
    upload = await finished(means, b"bytes", filename="a")
    url = await url_of(means, upload, seconds=1)
    async with httpx.AsyncClient() as client, asyncio.timeout(SOON):
        while (await client.get(url)).status_code != 403:
            await asyncio.sleep(0.1)  # the server's clock is what is waited for
    asked = parse_qs(urlsplit(await url_of(means, upload, seconds=10**9)).query)
    assert asked["X-Amz-Expires"] == [str(LONGEST)]


async def test_what_is_not_finished_has_no_url(means: Means) -> None:
    with pytest.raises(NotFound):
        await url_of(means, new_upload(3))


async def test_without_credentials_there_is_no_url(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    with_credentials(bucket.server, monkeypatch)
    async with opened(bucket) as means:
        upload = await finished(means, b"bytes")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    async with opened(bucket) as means:
        with pytest.raises(Unavailable, match="no AWS credentials"):
            await url_of(means, upload)


def test_a_server_sends_clients_to_the_bucket(bucket: Bucket, tmp_path: Path) -> None:
    flags = [
        *("--datastore", "s3", "--downloads", "redirect", "--s3-presigned-ttl", "90s", "--key-template", "{filename}"),
        *("--s3-bucket", bucket.name, "--s3-endpoint", bucket.endpoint, "--s3-region", bucket.server.region),
    ]
    name = base64.b64encode(b"a page.html").decode()
    fields = {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": "5",
        "Upload-Metadata": f"filename {name},filetype {base64.b64encode(b'text/html').decode()}",
        "Content-Type": "application/offset+octet-stream",
    }
    with serving(tmp_path, *flags, environment=bucket.server.credentials) as server:
        location = httpx.post(server.url, headers=fields, content=b"bytes").headers["location"]
        answer = httpx.get(location)
        assert (answer.status_code, answer.headers["cache-control"]) == (307, "no-store")
        assert parse_qs(urlsplit(answer.headers["location"]).query)["X-Amz-Expires"] == ["90"]
        fetched = httpx.get(location, follow_redirects=True, headers={"Range": "bytes=1-3"})
        assert (fetched.status_code, fetched.content) == (206, b"yte")
        assert fetched.headers["content-type"] == "application/octet-stream"
        assert fetched.headers["content-disposition"] == 'attachment; filename="a page.html"'
