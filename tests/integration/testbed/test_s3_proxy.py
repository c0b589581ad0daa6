"""The proxy in front of S3 counts what comes by, and each of its faults does what it says, and only that."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, HTTPClientError

from tests.servers import eventually
from tests.testbed import faults
from tests.testbed.faults import S3Proxy
from tests.testbed.s3 import Bucket, S3Server
from tests.testbed.s3_faults import (
    ANY,
    INTERNAL_ERROR,
    NO_SUCH_UPLOAD,
    SLOW_DOWN,
    Corrupt,
    CutBody,
    Delay,
    Hold,
    LoseReply,
    Refuse,
)

PART = 5 * 1024 * 1024

BROKEN_OFF = (ConnectionClosedError, HTTPClientError)
"""What botocore says of a connection that ended before the answer."""


@pytest.fixture
def through(s3_server: S3Server, s3_proxy: S3Proxy, tmp_path: Path) -> Iterator[Any]:
    """A client whose requests pass the proxy, each sent once."""
    seen_there = S3Server(s3_server.name, s3_proxy.endpoint, tmp_path)
    yield seen_there.client
    seen_there.close()


@pytest.fixture
def upload(through: Any, bucket: Bucket, s3_proxy: S3Proxy) -> dict[str, str]:
    """A multipart upload that has been begun, as parameters of its operations; the proxy has not counted it."""
    begun = through.create_multipart_upload(Bucket=bucket.name, Key="big")
    s3_proxy.clear()
    return {"Bucket": bucket.name, "Key": "big", "UploadId": begun["UploadId"]}


def test_operations_are_recorded_with_their_sizes(through: Any, bucket: Bucket, s3_proxy: S3Proxy) -> None:
    here = {"Bucket": bucket.name}
    through.put_object(**here, Key="a b/ü", Body=b"12345")
    through.copy_object(**here, Key="copy", CopySource={**here, "Key": "a b/ü"})
    big = {**here, "Key": "big", "UploadId": through.create_multipart_upload(**here, Key="big")["UploadId"]}
    first = through.upload_part(**big, PartNumber=1, Body=b"x" * PART)["ETag"]
    second = through.upload_part_copy(**big, PartNumber=7, CopySource={**here, "Key": "copy"})["CopyPartResult"]["ETag"]
    through.list_parts(**big)
    through.list_multipart_uploads(**here)
    parts = [{"PartNumber": 1, "ETag": first}, {"PartNumber": 7, "ETag": second}]
    through.complete_multipart_upload(**big, MultipartUpload={"Parts": parts})
    through.head_object(**here, Key="big")
    assert through.get_object(**here, Key="big")["Body"].read() == b"x" * PART + b"12345"
    through.list_objects_v2(**here)
    through.delete_object(**here, Key="copy")
    through.delete_objects(**here, Delete={"Objects": [{"Key": "big"}]})
    through.head_bucket(**here)
    through.abort_multipart_upload(
        **here, Key="big", UploadId=through.create_multipart_upload(**here, Key="big")["UploadId"]
    )

    expected = [
        "PutObject", "CopyObject", "CreateMultipartUpload", "UploadPart", "UploadPartCopy", "ListParts",
        "ListMultipartUploads", "CompleteMultipartUpload", "HeadObject", "GetObject", "ListObjectsV2", "DeleteObject",
        "DeleteObjects", "HeadBucket", "CreateMultipartUpload", "AbortMultipartUpload",
    ]  # fmt: skip
    assert [one.operation for one in s3_proxy.requests()] == expected
    assert s3_proxy.counts()["CreateMultipartUpload"] == 2
    put, part = s3_proxy.requests("PutObject", "UploadPart")
    assert (put.bucket, put.key, put.size, put.status, put.part) == (bucket.name, "a b/ü", 5, 200, None)
    assert (part.part, part.size, part.forwarded) == (1, PART, PART)
    s3_proxy.clear()
    assert s3_proxy.counts() == {}


def test_bytes_pass_as_they_are(through: Any, bucket: Bucket, s3_proxy: S3Proxy) -> None:
    body = os.urandom(20_000_000)
    through.put_object(Bucket=bucket.name, Key="key", Body=body)
    digest = hashlib.sha256(body).hexdigest()
    assert bucket.sha256("key") == digest
    fetched = through.get_object(Bucket=bucket.name, Key="key")["Body"].read()
    assert hashlib.sha256(fetched).hexdigest() == digest


def test_bodies_in_chunks_pass_as_they_are() -> None:
    request = b"PUT /bucket/key HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    request += b"3\r\nabc\r\n5;signature=y\r\n12345\r\n0\r\nx-amz-checksum-crc32: AAAAAA==\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as upstream, faults.s3_proxy(upstream.getsockname()[1]) as proxy:
        upstream.settimeout(10)
        with raw(proxy.port) as client:
            client.sendall(request)
            server, _ = upstream.accept()
            with server:
                assert exactly(server, len(request)) == request
                server.sendall(answer)
                assert exactly(client, len(answer)) == answer
        assert proxy.requests()[0].forwarded == len(request) - request.index(b"\r\n\r\n") - 4


def test_who_asks_first_is_told_to_go_on_by_the_server(bucket: Bucket, s3_server: S3Server, s3_proxy: S3Proxy) -> None:
    head = b"PUT %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    with raw(s3_proxy.port) as client:
        client.sendall(head % (presigned(bucket, "key"), s3_server.port))
        assert client.recv(4096).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"body")
        assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert bucket.read("key") == b"body"


def test_kth_part_fails_and_the_server_never_hears_of_it(
    through: Any, upload: dict[str, str], bucket: Bucket, s3_proxy: S3Proxy
) -> None:
    rule = s3_proxy.rule("UploadPart", SLOW_DOWN, at=2)
    through.upload_part(**upload, PartNumber=1, Body=b"1" * 10)
    with pytest.raises(ClientError, match="SlowDown") as refused:
        through.upload_part(**upload, PartNumber=2, Body=b"2" * 1_000_000)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    through.upload_part(**upload, PartNumber=3, Body=b"3" * 10)
    assert bucket.parts("big", upload["UploadId"]) == [(1, 10), (3, 10)]
    assert [one.part for one in rule.struck] == [2]
    assert [(one.status, one.fault) for one in s3_proxy.requests()] == [(200, None), (503, "Refuse"), (200, None)]


def test_server_is_down_until_the_rule_is_removed(through: Any, bucket: Bucket, s3_proxy: S3Proxy) -> None:
    rule = s3_proxy.rule(ANY, INTERNAL_ERROR, times=None)
    for _ in range(3):
        with pytest.raises(ClientError, match="InternalError"):
            through.put_object(Bucket=bucket.name, Key="key", Body=b"1")
    with pytest.raises(ClientError, match="500"):
        through.head_bucket(Bucket=bucket.name)
    rule.remove()
    through.put_object(Bucket=bucket.name, Key="key", Body=b"1")
    assert len(rule.struck) == 4


def test_rule_may_look_at_the_request(through: Any, bucket: Bucket, s3_proxy: S3Proxy) -> None:
    s3_proxy.rule("PutObject", Refuse(503, "SlowDown", retry_after=7), where=lambda one: one.key.endswith(".tail"))
    through.put_object(Bucket=bucket.name, Key="key", Body=b"1")
    with pytest.raises(ClientError, match="SlowDown") as refused:
        through.put_object(Bucket=bucket.name, Key="key.tail", Body=b"1")
    assert refused.value.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "7"


def test_reply_is_lost_after_success(through: Any, bucket: Bucket, s3_proxy: S3Proxy) -> None:
    rule = s3_proxy.rule("PutObject", LoseReply())
    with pytest.raises(BROKEN_OFF):
        through.put_object(Bucket=bucket.name, Key="key", Body=b"done all the same")
    assert bucket.read("key") == b"done all the same"
    assert rule.struck[0].status is None


def test_complete_is_refused_though_it_was_done(
    through: Any, upload: dict[str, str], bucket: Bucket, s3_proxy: S3Proxy
) -> None:
    tag = through.upload_part(**upload, PartNumber=1, Body=b"1" * 10)["ETag"]
    s3_proxy.rule("CompleteMultipartUpload", Refuse(404, "NoSuchUpload", after_success=True))
    with pytest.raises(ClientError, match="NoSuchUpload"):
        through.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": tag}]})
    assert bucket.read("big") == b"1" * 10


def test_upload_that_is_there_is_said_not_to_be(
    through: Any, upload: dict[str, str], bucket: Bucket, s3_proxy: S3Proxy
) -> None:
    s3_proxy.rule("UploadPart", NO_SUCH_UPLOAD)
    with pytest.raises(ClientError, match="NoSuchUpload"):
        through.upload_part(**upload, PartNumber=1, Body=b"1")
    assert bucket.parts("big", upload["UploadId"]) == []


def test_body_is_cut_in_the_middle(through: Any, upload: dict[str, str], bucket: Bucket, s3_proxy: S3Proxy) -> None:
    rule = s3_proxy.rule("UploadPart", CutBody(after=2_000_000))
    with pytest.raises(BROKEN_OFF):
        through.upload_part(**upload, PartNumber=1, Body=b"1" * PART)
    assert rule.wait().forwarded == 2_000_000
    assert bucket.parts("big", upload["UploadId"]) == []


def test_byte_is_corrupted_and_the_server_notices(through: Any, bucket: Bucket, s3_proxy: S3Proxy) -> None:
    rule = s3_proxy.rule("PutObject", Corrupt())
    with pytest.raises(ClientError, match=r"BadDigest|XAmzContent|SHA256|checksum"):
        through.put_object(Bucket=bucket.name, Key="key", Body=b"1" * 1_000_000, ChecksumAlgorithm="CRC32")
    assert len(rule.struck) == 1
    assert bucket.keys() == []


def test_request_is_delayed(through: Any, bucket: Bucket, s3_proxy: S3Proxy) -> None:
    s3_proxy.rule("PutObject", Delay(0.3))
    start = time.monotonic()
    through.put_object(Bucket=bucket.name, Key="key", Body=b"1")
    assert time.monotonic() - start >= 0.3


@pytest.mark.parametrize(("when", "there"), [("before", False), ("after", True)])
def test_request_is_held_until_it_is_released(
    through: Any, bucket: Bucket, s3_proxy: S3Proxy, when: Any, there: bool
) -> None:
    rule = s3_proxy.rule("PutObject", Hold(when))
    with ThreadPoolExecutor(1) as pool:
        put = pool.submit(through.put_object, Bucket=bucket.name, Key="key", Body=b"1")
        assert rule.wait().key == "key"
        assert bucket.keys() == (["key"] if there else [])
        assert not put.done()
        rule.release()
        put.result(10)
    assert bucket.keys() == ["key"]


def test_bytes_of_a_client_that_died_while_held_come_late(
    through: Any, bucket: Bucket, s3_proxy: S3Proxy, s3_server: S3Server
) -> None:
    rule = s3_proxy.rule("PutObject", Hold())
    with raw(s3_proxy.port) as client:
        head = b"PUT %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 4\r\n\r\n"
        client.sendall(head % (presigned(bucket, "late"), s3_server.port) + b"late")
        rule.wait()
    rule.release()
    assert eventually(bucket.keys) == ["late"]


def test_who_asks_first_gets_the_error_and_sends_no_body(bucket: Bucket, s3_proxy: S3Proxy) -> None:
    s3_proxy.rule("PutObject", SLOW_DOWN)
    with raw(s3_proxy.port) as client:
        head = f"PUT /{bucket.name}/key HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"
        client.sendall(head.encode())
        answer = received(client)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"SlowDown" in answer


def test_many_connections_at_once(through: Any, bucket: Bucket, s3_proxy: S3Proxy) -> None:
    bodies = {f"key-{number}": os.urandom(300_000) for number in range(40)}
    with ThreadPoolExecutor(10) as pool:
        for done in [pool.submit(through.put_object, Bucket=bucket.name, Key=k, Body=b) for k, b in bodies.items()]:
            done.result(30)
    assert s3_proxy.counts() == {"PutObject": 40}
    assert {key: bucket.read(key) for key in bodies} == bodies


def test_dead_server_resets_its_clients(s3_alone: S3Server, tmp_path: Path) -> None:
    bucket = s3_alone.bucket()
    with faults.s3_proxy(s3_alone.port) as proxy:
        client = S3Server(s3_alone.name, proxy.endpoint, tmp_path)
        client.client.put_object(Bucket=bucket.name, Key="key", Body=b"1")
        s3_alone.program.kill()
        with pytest.raises(BROKEN_OFF):
            client.client.head_bucket(Bucket=bucket.name)
        s3_alone.program.start()
        client.client.head_bucket(Bucket=bucket.name)
        client.close()


def test_nothing_is_left_of_the_proxy_with_a_request_held(through: Any, bucket: Bucket, s3_server: S3Server) -> None:
    with faults.s3_proxy(s3_server.port) as proxy:
        port, rule = proxy.port, proxy.rule(ANY, Hold())
        client = raw(proxy.port)
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        rule.wait()
    with client:
        assert received(client) == b""
    assert [thread.name for thread in threading.enumerate() if thread.name == "S3 proxy"] == ["S3 proxy"]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def presigned(bucket: Bucket, key: str) -> bytes:
    """The target of a PUT that anybody may send, signed for the server's own address in `Host`."""
    wanted = {"Bucket": bucket.name, "Key": key}
    url: str = bucket.server.client.generate_presigned_url("put_object", Params=wanted)
    return url.removeprefix(bucket.endpoint).encode()


def raw(port: int) -> socket.socket:
    """A connection to the proxy or to the server."""
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def exactly(connection: socket.socket, size: int) -> bytes:
    """So many bytes."""
    connection.settimeout(10)
    found = b""
    while len(found) < size and (piece := connection.recv(size - len(found))):
        found += piece
    return found


def received(client: socket.socket) -> bytes:
    """What comes until the connection ends."""
    answer = b""
    try:
        while piece := client.recv(65536):
            answer += piece
    except ConnectionResetError:
        return answer
    return answer
