"""F7: a lifecycle rule aborts the multipart upload behind our back: HEAD says complete, and there is no object.

Here the upload has failed then, at every gateway, whenever it happened; nobody is told of bytes that are gone.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from botocore.exceptions import ClientError

from tests.failure.client import KIB, MIB, Wire, create, head, metrics, patch
from tests.failure.fleet.deaths import cleared
from tests.failure.fleet.gateways import QUICK, ForkedGateway, gateway, need_forks, two_gateways
from tests.failure.fleet.passages import Passage, Sent
from tests.failure.fleet.stores import PART, Place
from tests.servers import eventually
from tests.testbed.faults import S3Proxy
from tests.testbed.fixtures import need
from tests.testbed.gateways import on_s3
from tests.testbed.redis_topologies import RedisTopology
from tests.testbed.s3 import REAPING, Bucket, minio
from tests.testbed.s3_faults import Hold

pytestmark = pytest.mark.long

FLAGS = (*QUICK, "--s3-retry-time", "1s")

DATA = Random(7).randbytes(3 * PART + MIB)

REAPED_SECONDS = 30.0
"""In which MinIO has taken away what was left alone for 5 s."""


def aborted(place: Place) -> None:
    """Abort all multipart uploads, as a rule of the bucket does."""
    assert place.bucket is not None
    found = place.bucket.multipart_uploads()
    assert found
    for key, upload in found:
        place.bucket.abort(key, upload)


def reaped(bucket: Bucket, key: str, upload: str) -> bool:
    """Whether a multipart upload is gone; MinIO goes on listing it."""
    try:
        bucket.parts(key, upload)
    except ClientError as error:
        return bool(error.response["Error"]["Code"] == "NoSuchUpload")
    return False


@pytest.mark.parametrize("when", ["between two requests", "under a part", "under the end", "after the end"])
def test_F07_an_upload_whose_parts_are_gone_has_failed(
    bucket_place: Place, line: S3Proxy, tmp_path: Path, when: str
) -> None:
    need_forks()
    with two_gateways(tmp_path, bucket_place.backend, *FLAGS) as (first, second):
        sent = Sent(Passage(first, second), DATA, path=create(first, len(DATA)))
        sent.send(PART + 300 * KIB)
        servers = [first, second]
        if when == "between two requests":
            aborted(bucket_place)
            assert patch(second, sent.path, sent.acknowledged, DATA[sent.acknowledged :]).status == 410
        else:
            held = line.rule("UploadPart" if when == "under a part" else "CompleteMultipartUpload", Hold())
            with Wire(first) as wire:
                wire.patch(sent.path, sent.acknowledged, len(DATA) - sent.acknowledged)
                wire.send(DATA[sent.acknowledged :])
                held.wait()
                if when == "after the end":
                    # The record has all of its bytes, and whoever asks next drives it on.
                    servers.remove(first)
                    first.kill()
                aborted(bucket_place)
                held.remove()
                if when != "after the end":
                    assert wire.read("PATCH").status == 410
        for server in servers:
            for _ in range(2):
                answer = head(server, sent.path)
                assert answer.status == 410, answer
                assert "upload-offset" not in answer
        counts = [metrics(server) for server in servers]
        assert sum(count.get('tusfleet_uploads_total{event="failed"}', 0) for count in counts) == 1
        assert sum(count["tusfleet_offsets_lost_total"] for count in counts) == 1
        assert bucket_place.objects() == bucket_place.tails()
    cleared(bucket_place, tmp_path)
    assert bucket_place.objects() == []


def test_F07_a_clean_up_of_the_service_itself(shared_node: RedisTopology, tmp_path: Path) -> None:
    """MinIO's own, which does what a lifecycle rule does after days; versitygw has none."""
    need_forks()
    need("minio")
    with minio(tmp_path / "minio", REAPING) as server:
        bucket = server.bucket()
        place = Place("minio", on_s3(shared_node, bucket), bucket=bucket)
        flags = (*FLAGS, "--s3-part-size", f"{PART}")
        with gateway(tmp_path / "gateway", place.backend, *flags, kind=ForkedGateway) as one:
            sent = Sent(Passage(one, one), DATA, path=create(one, len(DATA)))
            sent.send(PART + MIB)
            ((key, upload),) = bucket.multipart_uploads()
            eventually(lambda: reaped(bucket, key, upload), REAPED_SECONDS, 0.2)
            assert patch(one, sent.path, sent.acknowledged, DATA[sent.acknowledged :]).status == 410
            assert head(one, sent.path).status == 410
        assert bucket.keys() == place.tails()
