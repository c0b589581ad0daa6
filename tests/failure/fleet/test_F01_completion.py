"""F1: making the object fails once, the retry gets 204, and there is no object for ever.

Here 204 is told once there is an object, and never before: whoever comes back to the upload drives it on, at whichever
gateway. Each is tried on an upload of one call, of parts, and of parts with a tail behind them.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.failure.client import KIB, MIB, head, metrics, patch, peeked
from tests.failure.fleet.deaths import cleared
from tests.failure.fleet.gateways import QUICK, ForkedGateway, gateway, need_forks, two_gateways
from tests.failure.fleet.passages import Passage, Sent, finished
from tests.failure.fleet.stores import PART, Place
from tests.testbed.faults import S3Proxy
from tests.testbed.s3_faults import (
    INTERNAL_ERROR,
    NO_SUCH_UPLOAD,
    SLOW_DOWN,
    Corrupt,
    CutBody,
    Fault,
    LoseReply,
    Refuse,
)

pytestmark = pytest.mark.long

FLAGS = (*QUICK, "--s3-retry-time", "1s", "--s3-retry-budget", "1000")

FINISHED = 'tusfleet_uploads_total{event="finished"}'

SHAPES: dict[str, tuple[str, tuple[int, ...]]] = {
    "one call": ("PutObject", (300 * KIB,)),
    "parts": ("CompleteMultipartUpload", (2 * PART,)),
    "a tail behind parts": ("CompleteMultipartUpload", (PART + MIB, 0)),
}
"""The request that makes the object, and the sizes of the PATCHes; a length that is told last leaves the tail one."""

FAULTS: dict[str, Fault] = {
    "fails": INTERNAL_ERROR,
    "fails though it was done": Refuse(500, "InternalError", after_success=True),
    "is throttled": SLOW_DOWN,
    "loses its answer": LoseReply(),
}
"""What happens to that request, once or for as long as it is tried again."""

OF_BYTES: dict[str, Fault] = {"is reset in the middle": CutBody(100 * KIB), "brings other bytes": Corrupt()}
"""What may happen besides to a request that brings the bytes itself."""


def upload_of(passage: Passage, shape: str) -> Sent:
    """An upload before its last request."""
    _, sizes = SHAPES[shape]
    sent = Sent(passage, Random(shape).randbytes(sum(sizes)), deferred=sizes[-1] == 0)
    sent.begin()
    for size in sizes[:-1]:
        sent.send(size)
    return sent


def last_request(sent: Sent) -> int:
    """Send it, and give its status."""
    length = {"Upload-Length": f"{len(sent.data)}"} if sent.deferred else {}
    return patch(sent.passage.server, sent.path, sent.acknowledged, sent.data[sent.acknowledged :], length).status


@pytest.mark.parametrize("shape", SHAPES)
def test_F01_an_object_whose_making_fails_once_is_there_when_204_is_told(
    bucket_place: Place, line: S3Proxy, tmp_path: Path, shape: str
) -> None:
    need_forks()
    with gateway(tmp_path / "gateway", bucket_place.backend, *FLAGS, kind=ForkedGateway) as one:
        faults = FAULTS | (OF_BYTES if shape == "one call" else {})
        for count, (name, fault) in enumerate(faults.items(), start=1):
            print(name)
            sent = upload_of(Passage(one, one), shape)
            rule = line.rule(SHAPES[shape][0], fault)
            assert last_request(sent) == 204
            assert rule.struck, "the fault did not happen"
            sent.check(bucket_place)
            assert metrics(one)[FINISHED] == count


@pytest.mark.parametrize("shape", SHAPES)
def test_F01_an_object_that_cannot_be_made_is_never_told_of(
    bucket_place: Place, line: S3Proxy, tmp_path: Path, shape: str
) -> None:
    need_forks()
    names = []
    with two_gateways(tmp_path, bucket_place.backend, *FLAGS) as (first, second):
        for name, fault in {**FAULTS, "is forbidden": Refuse(403, "AccessDenied")}.items():
            print(name)
            sent = upload_of(Passage(first, second), shape)
            rule = line.rule(SHAPES[shape][0], fault, times=None)
            assert last_request(sent) == 503
            assert peeked(first, sent.path)["state"] != "finished"
            for server in (first, second):
                answer = head(server, sent.path)
                if answer.get("upload-offset") == answer.get("upload-length") == f"{len(sent.data)}":
                    # S3 had done it, and that was found out.
                    finished(server, bucket_place, sent.path, sent.data)
            rule.remove()
            sent.passage.died = 0.0  # as far as its client can tell
            sent.recover(len(sent.data))
            sent.send(len(sent.data), tells=True)
            sent.check(bucket_place)
            finished(first, bucket_place, sent.path, sent.data)
            names.append(sent.name)
        assert sum(metrics(server).get(FINISHED, 0) for server in (first, second)) == len(names)
    cleared(bucket_place, tmp_path)
    assert bucket_place.objects() == sorted(names)


@pytest.mark.parametrize("shape", ["parts", "a tail behind parts"])
def test_F01_a_multipart_upload_that_is_completed_and_forgotten_is_an_object(
    bucket_place: Place, line: S3Proxy, tmp_path: Path, shape: str
) -> None:
    """As some services do: what was completed before is NoSuchUpload."""
    need_forks()
    with gateway(tmp_path / "gateway", bucket_place.backend, *FLAGS, kind=ForkedGateway) as one:
        sent = upload_of(Passage(one, one), shape)
        forgets = line.rule("CompleteMultipartUpload", Refuse(404, "NoSuchUpload", after_success=True))
        assert last_request(sent) == 204
        assert forgets.struck
        sent.check(bucket_place)
    cleared(bucket_place, tmp_path)


@pytest.mark.parametrize("shape", ["parts", "a tail behind parts"])
def test_F01_a_multipart_upload_that_is_not_known_and_no_object_is_a_loss_that_is_told(
    bucket_place: Place, line: S3Proxy, tmp_path: Path, shape: str
) -> None:
    need_forks()
    with gateway(tmp_path / "gateway", bucket_place.backend, *FLAGS, kind=ForkedGateway) as one:
        sent = upload_of(Passage(one, one), shape)
        line.rule("CompleteMultipartUpload", NO_SUCH_UPLOAD, times=None)
        assert last_request(sent) == 410
        assert head(one, sent.path).status == 410
        assert metrics(one)["tusfleet_offsets_lost_total"] == 1
    cleared(bucket_place, tmp_path)
    assert bucket_place.objects() == []
