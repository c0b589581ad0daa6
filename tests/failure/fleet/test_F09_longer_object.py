"""F9: after `kill -9` and a resume the file is longer than the upload, for bytes were stored that no record counts.

Here those are parts that S3 has and nobody references. The client then sends other bytes, so that any of the first ones
would be seen.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.failure.client import KIB, MIB, Wire, create, patch, peeked
from tests.failure.fleet.deaths import cleared
from tests.failure.fleet.gateways import QUICK, need_forks, two_gateways
from tests.failure.fleet.passages import Passage, Sent
from tests.failure.fleet.stores import PART, Place
from tests.servers import eventually
from tests.testbed.faults import S3Proxy
from tests.testbed.s3_faults import Hold

pytestmark = pytest.mark.long


def test_F09_parts_that_no_record_counts_are_no_part_of_the_object(
    bucket_place: Place, line: S3Proxy, tmp_path: Path
) -> None:
    need_forks()
    data = Random(9).randbytes(4 * PART)
    with two_gateways(tmp_path, bucket_place.backend, *QUICK) as (first, second):
        sent = Sent(Passage(first, second), data, path=create(first, len(data)))
        sent.send(PART + 300 * KIB)
        # S3 has the second and the third part; the gateway hears of the third alone.
        held = line.rule("UploadPart", Hold("after"))
        with sent.hang(0, promised=len(data) - sent.acknowledged) as wire:
            wire.send(bytes(2 * PART + MIB))
            held.wait()
            eventually(lambda: len([one for one in line.requests("UploadPart") if one.status == 200]) == 2)
            first.kill()
        held.remove()
        assert bucket_place.bucket is not None
        ((key, upload),) = bucket_place.bucket.multipart_uploads()
        stored = sum(size for _, size in bucket_place.bucket.parts(key, upload))
        sent.passage.died = 0.0
        assert peeked(second, sent.path)["offset"] == sent.acknowledged < stored
        sent.recover(sent.acknowledged)
        sent.send(len(data))
        sent.check(bucket_place)
        assert bucket_place.bucket.head(sent.name)["ContentLength"] == len(data)
    cleared(bucket_place, tmp_path)


def test_F09_an_upload_that_ends_where_its_record_stands_is_not_finished_with_more(
    bucket_place: Place, line: S3Proxy, tmp_path: Path
) -> None:
    """The length comes last, and is shorter than what S3 has."""
    need_forks()
    data = Random(9).randbytes(PART + MIB)
    with two_gateways(tmp_path, bucket_place.backend, *QUICK) as (first, second):
        sent = Sent(Passage(first, second), data, path=create(first, None), deferred=True)
        sent.send(len(data))
        held = line.rule("UploadPart", Hold("after"))
        with Wire(first) as wire:
            wire.patch(sent.path, len(data), None)
            wire.send_chunk(bytes(2 * PART))
            held.wait()
            first.kill()
        held.remove()
        length = {"Upload-Length": f"{len(data)}"}
        sent.passage.died = 0.0
        eventually(lambda: patch(second, sent.path, len(data), b"", length).status == 204)
        sent.check(bucket_place)
    cleared(bucket_place, tmp_path)
