"""With the policy of docs/s3.md, and nothing besides, everything works; with less, something does not."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.datastores.s3_means import MIB, opened, placement_of, with_credentials
from tests.kits.datastore import append, content_of, finish, finished, new_final, new_upload, some_bytes
from tests.testbed import s3
from tests.testbed.fixtures import need
from tests.testbed.golang import go_program
from tests.testbed.s3 import Bucket, S3Server
from tusfleet.datastores.s3.probing import Probing
from tusfleet.datastores.s3.store import S3DataStore
from tusfleet.uploads.errors import Unavailable
from tusfleet.uploads.models import ConcatKind

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[3] / "docs" / "s3.md"
USER, SECRET = "uploader", "uploader-secret-0123456789"
AT_ONCE = -60.0


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A bucket of a versitygw that has a user without any rights, who is the one in the environment."""
    need("versitygw")
    (tmp_path / "iam").mkdir()
    with s3.versitygw(tmp_path / "server", "--iam-dir", str(tmp_path / "iam")) as server:
        _create_user(server)
        with_credentials(replace(server, access_key=USER, secret_key=SECRET), monkeypatch)
        yield server.bucket()


def _create_user(server: S3Server) -> None:
    admin = ["admin", "-a", server.access_key, "-s", server.secret_key, "-er", server.endpoint]
    user = ["create-user", "-a", USER, "-s", SECRET, "-r", "user"]
    command = [str(go_program("versitygw")), *admin, *user]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


def policy() -> dict[str, Any]:
    """The policy of the page."""
    section = PAGE.read_text(encoding="utf-8").partition("## The least rights")[2]
    found: dict[str, Any] = json.loads(section.partition("```json")[2].partition("```")[0])
    return found


def allow(bucket: Bucket, without: str = "") -> None:
    """Give the user the rights of the page, but for one action."""
    statements = []
    for statement in policy()["Statement"]:
        resource = statement["Resource"].replace("uploads-bucket", bucket.name)
        actions = [action for action in statement["Action"] if action != without]
        statements.append({**statement, "Action": actions, "Resource": resource, "Principal": {"AWS": [USER]}})
    text = json.dumps({"Version": policy()["Version"], "Statement": statements})
    bucket.server.client.put_bucket_policy(Bucket=bucket.name, Policy=text)


async def everything(bucket: Bucket) -> None:
    """One of each: probe, small and large uploads, tails, reading, concatenation, clearing up, ends."""
    async with opened(bucket) as means:
        store = S3DataStore(means)
        await store.probe()
        content = some_bytes(9 * MIB + 5)
        small = await finished(store, b"small")
        upload = await append(store, new_upload(len(content)), content[:MIB])
        assert placement_of(upload).tail is not None
        upload = await finish(store, await append(store, upload, content[MIB:]))
        assert await content_of(store, upload, 5, 10) == content[5:10]
        parts = [await finished(store, content[:size], kind=ConcatKind.PARTIAL) for size in (6 * MIB, 7 * MIB)]
        final = new_final(13 * MIB)
        final = await finish(store, replace(final, placement=await store.concatenate(final, parts), offset=13 * MIB))
        assert await content_of(store, final) == content[: 6 * MIB] + content[: 7 * MIB]
        unfinished = await append(store, new_upload(40 * MIB), bytes(9 * MIB))
        assert placement_of(unfinished).multipart is not None
        found = [found async for found in store.leftovers(AT_ONCE)]
        assert {one.id for one in found} >= {unfinished.id, *(part.id for part in parts)}
        for one in found:
            await store.abort(one)
        for one in (small, upload, final, unfinished):
            await store.abort(one)
    assert (bucket.keys(), bucket.multipart_uploads()) == ([], [])


async def test_the_rights_of_the_page_are_enough(bucket: Bucket) -> None:
    allow(bucket)
    await everything(bucket)


async def test_each_of_them_is_needed(bucket: Bucket) -> None:
    for action in [action for statement in policy()["Statement"] for action in statement["Action"]]:
        allow(bucket, without=action)
        with pytest.raises(Unavailable, match="do not allow"):
            await everything(bucket)


async def test_without_rights_the_probe_tells_so(bucket: Bucket) -> None:
    async with opened(bucket) as means:
        with pytest.raises(Unavailable, match="do not allow ListObjectsV2"):
            await Probing(means.workshop).probe()
