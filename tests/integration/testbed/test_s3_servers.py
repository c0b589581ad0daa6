"""The S3 servers of the test bed answer, keep what was stored, and leave nothing behind."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.integration.testbed.leftovers import files_below, nothing_left
from tests.testbed import s3
from tests.testbed.fixtures import need
from tests.testbed.processes import accepts
from tests.testbed.s3 import Bucket, S3Server

PART = 5 * 1024 * 1024


def test_object_is_read_back_by_its_digest(bucket: Bucket) -> None:
    body = os.urandom(3_000_000)
    bucket.put("a/b c", body, ContentType="text/plain")
    assert bucket.sha256("a/b c") == hashlib.sha256(body).hexdigest()
    assert bucket.read("a/b c") == body
    assert bucket.keys() == ["a/b c"]
    assert bucket.head("a/b c")["ContentType"] == "text/plain"


def test_each_test_has_a_bucket_of_its_own(s3_server: S3Server) -> None:
    first, second = s3_server.bucket(), s3_server.bucket()
    first.put("key", b"1")
    assert first.name != second.name
    assert second.keys() == []


def test_multipart_uploads_and_their_parts_are_seen(bucket: Bucket) -> None:
    client = bucket.server.client
    upload = client.create_multipart_upload(Bucket=bucket.name, Key="big/one")["UploadId"]
    other = client.create_multipart_upload(Bucket=bucket.name, Key="big/two")["UploadId"]
    client.upload_part(Bucket=bucket.name, Key="big/one", UploadId=upload, PartNumber=1, Body=b"a" * PART)
    client.upload_part(Bucket=bucket.name, Key="big/one", UploadId=upload, PartNumber=4, Body=b"b")
    assert bucket.multipart_uploads() == [("big/one", upload), ("big/two", other)]
    assert bucket.parts("big/one", upload) == [(1, PART), (4, 1)]
    bucket.abort("big/one", upload)
    assert bucket.multipart_uploads() == [("big/two", other)]


def test_signatures_are_checked(s3_server: S3Server, tmp_path: Path) -> None:
    stranger = S3Server(s3_server.name, s3_server.endpoint, tmp_path, secret_key="wrong-0123456789")
    try:
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            stranger.client.list_buckets()
    finally:
        stranger.close()


def test_objects_outlive_a_kill(s3_alone: S3Server) -> None:
    bucket = s3_alone.bucket()
    bucket.put("key", b"kept")
    s3_alone.program.kill()
    assert not accepts(s3_alone.port)
    s3_alone.program.start()
    assert bucket.read("key") == b"kept"


@pytest.mark.parametrize("name", s3.SERVERS)
def test_nothing_is_left(name: str, tmp_path: Path) -> None:
    need(name)
    with nothing_left() as groups, s3.SERVERS[name](tmp_path) as server:
        groups.append(server.program.pid)
        server.bucket().put("key", b"1")
        assert files_below(tmp_path)
    assert files_below(tmp_path) == set()


@pytest.mark.parametrize("name", s3.SERVERS)
def test_nothing_is_left_when_the_block_raises(name: str, tmp_path: Path) -> None:
    need(name)

    def interrupted() -> None:
        with s3.SERVERS[name](tmp_path) as server:
            groups.append(server.program.pid)
            # A frozen server does not hear that it is to end.
            server.program.pause()
            raise KeyboardInterrupt

    with nothing_left() as groups, pytest.raises(KeyboardInterrupt):
        interrupted()
    assert files_below(tmp_path) == set()
