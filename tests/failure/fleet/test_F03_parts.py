"""F3: one of several concurrent parts fails, and the offset is the sum of the others: the upload can never finish.

Here the offset is what lies before the part that failed, whichever that is, and the upload goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.failure.client import KIB, MIB, create, head, offset_of, patch, peeked
from tests.failure.fleet.deaths import cleared
from tests.failure.fleet.gateways import QUICK, ForkedGateway, gateway, need_forks, two_gateways
from tests.failure.fleet.passages import Passage, Sent
from tests.failure.fleet.stores import PART, Place
from tests.servers import eventually
from tests.testbed.faults import S3Proxy
from tests.testbed.s3_faults import INTERNAL_ERROR, SLOW_DOWN, Corrupt, CutBody, Fault, Hold, LoseReply, Refuse
from tests.testbed.s3_operations import S3Request

pytestmark = pytest.mark.long

FLAGS = (*QUICK, "--s3-retry-time", "1s", "--s3-retry-budget", "1000")

SIZES = (PART, PART, PART, MIB)
"""Of the parts that one PATCH is cut into."""

REFUSED = Refuse(403, "AccessDenied")

FAULTS: dict[str, Fault] = {
    "is refused": REFUSED,
    "fails": INTERNAL_ERROR,
    "is throttled": SLOW_DOWN,
    "is reset in the middle": CutBody(MIB // 2),
    "arrives as other bytes": Corrupt(),
    "loses its answer": LoseReply(),
}


def part(number: int) -> Callable[[S3Request], bool]:
    """Whether a request sends this part."""
    return lambda request: request.part == number


@pytest.mark.parametrize("number", range(1, len(SIZES) + 1))
def test_F03_a_part_that_fails_ends_what_is_acknowledged(
    bucket_place: Place, line: S3Proxy, tmp_path: Path, number: int
) -> None:
    need_forks()
    data = Random(number).randbytes(sum(SIZES))
    names = []
    with two_gateways(tmp_path, bucket_place.backend, *FLAGS) as (first, second):
        for name, fault in FAULTS.items():
            print(name)
            sent = Sent(Passage(first, second), data, path=create(first, len(data)))
            rule = line.rule("UploadPart", fault, times=None, where=part(number))
            assert patch(first, sent.path, 0, data).status == 503
            assert rule.struck, "the fault did not happen"
            rule.remove()
            for server in (first, second):
                assert offset_of(head(server, sent.path)) == sum(SIZES[: number - 1])
            sent.passage.died = 0.0  # as far as its client can tell
            sent.acknowledged = sum(SIZES[: number - 1])
            sent.send(len(data))
            sent.check(bucket_place)
            names.append(sent.name)
    cleared(bucket_place, tmp_path)
    assert bucket_place.objects() == sorted(names)


def test_F03_a_part_that_fails_once_is_not_noticed(bucket_place: Place, line: S3Proxy, tmp_path: Path) -> None:
    need_forks()
    data = Random(3).randbytes(sum(SIZES))
    with gateway(tmp_path / "gateway", bucket_place.backend, *FLAGS, kind=ForkedGateway) as one:
        for name, fault in FAULTS.items():
            if fault is REFUSED:
                continue  # for good: it is not tried again
            for number in range(1, len(SIZES) + 1):
                print(name, number)
                sent = Sent(Passage(one, one), data, path=create(one, len(data)))
                rule = line.rule("UploadPart", fault, where=part(number))
                assert patch(one, sent.path, 0, data).status == 204
                assert rule.struck, "the fault did not happen"
                rule.remove()
                sent.check(bucket_place)


@pytest.mark.parametrize("number", range(1, len(SIZES)))
def test_F03_a_part_that_hangs_while_the_others_are_done_ends_what_is_acknowledged(
    bucket_place: Place, line: S3Proxy, tmp_path: Path, number: int
) -> None:
    """And its gateway is killed there."""
    need_forks()
    data = Random(number).randbytes(sum(SIZES))
    with two_gateways(tmp_path, bucket_place.backend, *FLAGS) as (first, second):
        sent = Sent(Passage(first, second), data, path=create(first, len(data)))
        hangs = line.rule("UploadPart", Hold(), where=part(number))
        with sent.hang(sum(SIZES[:-1]) + KIB, promised=len(data)):
            hangs.wait()
            others = len(SIZES) - 2
            eventually(lambda: sum(one.status == 200 for one in line.requests("UploadPart")) == others)
            before = sum(SIZES[: number - 1])
            eventually(lambda: peeked(second, sent.path)["offset"] == before)
            first.kill()
        hangs.remove()
        sent.passage.died = 0.0
        sent.recover(before)
        sent.send(len(data))
        sent.check(bucket_place)
    cleared(bucket_place, tmp_path)
    assert bucket_place.objects() == [sent.name]
