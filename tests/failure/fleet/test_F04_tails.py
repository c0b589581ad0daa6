"""F4: acknowledged bytes vanish, for the small object that has them is deleted before they are stored elsewhere.

Here a tail is there until a record no longer needs it: it is looked for while its bytes are on their way into a part or
another tail, when those fail, and when their gateway dies before, on and behind the way.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Literal

import pytest

from tests.failure.client import KIB, MIB, Wire, create, head, offset_of, patch, peeked
from tests.failure.fleet.deaths import cleared
from tests.failure.fleet.gateways import QUICK, ForkedGateway, gateway, need_forks, two_gateways
from tests.failure.fleet.passages import Passage, Sent
from tests.failure.fleet.stores import PART, Place
from tests.testbed.faults import S3Proxy
from tests.testbed.s3_faults import (
    INTERNAL_ERROR,
    SLOW_DOWN,
    Corrupt,
    CutBody,
    Fault,
    Hold,
    LoseReply,
    Refuse,
)
from tests.testbed.s3_operations import S3Request

pytestmark = pytest.mark.long

FLAGS = (*QUICK, "--s3-retry-time", "1s", "--s3-retry-budget", "1000")

TAIL = MIB
"""Bytes of a first PATCH: too many for a record, too few for a part."""

ONWARD: dict[str, tuple[str, int]] = {
    "a part": ("UploadPart", PART),
    "another tail": ("PutObject", MIB),
    "the last part": ("UploadPart", 0),
}
"""Where the bytes of the tail go with the next PATCH, by which request, and how many more it brings."""

REFUSED = Refuse(403, "AccessDenied")

FAULTS: dict[str, Fault] = {
    "is refused": REFUSED,
    "fails": INTERNAL_ERROR,
    "is throttled": SLOW_DOWN,
    "is reset in the middle": CutBody(100 * KIB),
    "arrives as other bytes": Corrupt(),
    "loses its answer": LoseReply(),
}


def is_tail(request: S3Request) -> bool:
    """Whether a request is about a tail object."""
    return request.key.startswith(".tails/")


def with_tail(place: Place, passage: Passage, way: str) -> tuple[Sent, int, str]:
    """An upload that has a tail in an object, the offset that the next PATCH brings it to, and the tail."""
    more = ONWARD[way][1]
    if more:
        sent = Sent(passage, Random(way).randbytes(2 * PART + MIB))
        sent.begin()
    else:
        # A part, and a tail behind it that becomes the last part once the length is told.
        sent = Sent(passage, Random(way).randbytes(PART + TAIL), deferred=True)
        sent.begin()
        sent.send(PART)
    sent.send(TAIL)
    (tail,) = (key for key in place.tails() if sent.name in key)
    return sent, sent.acknowledged + more, tail


def onward(sent: Sent, goal: int) -> Wire:
    """Send the next PATCH; gives its connection, on which its answer will come."""
    wire = Wire(sent.passage.server)
    length = {"Upload-Length": f"{len(sent.data)}"} if sent.deferred else {}
    wire.patch(sent.path, sent.acknowledged, goal - sent.acknowledged, length)
    wire.send(sent.data[sent.acknowledged : goal])
    return wire


@pytest.mark.parametrize("way", ONWARD)
def test_F04_a_tail_stays_when_its_bytes_cannot_go_elsewhere(
    bucket_place: Place, line: S3Proxy, tmp_path: Path, way: str
) -> None:
    need_forks()
    names = []
    with two_gateways(tmp_path, bucket_place.backend, *FLAGS) as (first, second):
        for name, fault in FAULTS.items():
            print(name)
            sent, goal, tail = with_tail(bucket_place, Passage(first, second), way)
            told = bucket_place.sha256(tail)
            rule = line.rule(ONWARD[way][0], fault, times=None)
            with onward(sent, goal) as wire:
                assert wire.read("PATCH").status == 503
            assert rule.struck, "the fault did not happen"
            assert tail in bucket_place.tails()
            assert bucket_place.sha256(tail) == told
            rule.remove()
            sent.passage.died = 0.0  # as far as its client can tell
            sent.recover(goal)
            sent.send(len(sent.data), tells=True)
            sent.check(bucket_place)
            names.append(sent.name)
    cleared(bucket_place, tmp_path)
    assert bucket_place.objects() == sorted(names)


@pytest.mark.parametrize("way", ONWARD)
@pytest.mark.parametrize("when", ["before", "after"])
def test_F04_a_tail_stays_when_its_gateway_dies_on_the_way(
    bucket_place: Place, line: S3Proxy, tmp_path: Path, way: str, when: Literal["before", "after"]
) -> None:
    need_forks()
    with two_gateways(tmp_path, bucket_place.backend, *FLAGS) as (first, second):
        sent, goal, tail = with_tail(bucket_place, Passage(first, second), way)
        held = line.rule(ONWARD[way][0], Hold(when))
        with onward(sent, goal):
            held.wait()
            assert tail in bucket_place.tails()
            first.kill()
        held.remove()
        sent.passage.died = 0.0
        assert peeked(second, sent.path)["offset"] == sent.acknowledged
        sent.recover(goal)
        sent.send(len(sent.data), tells=True)
        sent.check(bucket_place)
    cleared(bucket_place, tmp_path)
    assert bucket_place.objects() == [sent.name]


def test_F04_a_tail_is_deleted_once_its_bytes_are_in_the_object(
    bucket_place: Place, line: S3Proxy, tmp_path: Path
) -> None:
    need_forks()
    with gateway(tmp_path / "gateway", bucket_place.backend, *FLAGS, kind=ForkedGateway) as one:
        sent, _, tail = with_tail(bucket_place, Passage(one, one), "a part")
        deleting = line.rule("DeleteObjects", Hold())
        with onward(sent, len(sent.data)) as wire:
            deleting.wait()
            assert tail in bucket_place.tails()
            assert bucket_place.sha256(sent.name) == sent.sha256
            deleting.remove()
            assert wire.read("PATCH").status == 204
        assert bucket_place.tails() == []


def test_F04_a_tail_that_cannot_be_stored_is_not_acknowledged(
    bucket_place: Place, line: S3Proxy, tmp_path: Path
) -> None:
    need_forks()
    data = Random(4).randbytes(PART + 2 * MIB)
    names = []
    with two_gateways(tmp_path, bucket_place.backend, *FLAGS) as (first, second):
        for name, fault in FAULTS.items():
            print(name)
            sent = Sent(Passage(first, second), data, path=create(first, len(data)))
            rule = line.rule("PutObject", fault, times=None, where=is_tail)
            assert patch(first, sent.path, 0, data[: PART + MIB]).status == 503
            assert rule.struck, "the fault did not happen"
            rule.remove()
            for server in (first, second):
                assert offset_of(head(server, sent.path)) == PART
            sent.passage.died, sent.acknowledged = 0.0, PART
            if fault is not REFUSED:
                # When it fails once, nobody notices.
                once = line.rule("PutObject", fault, where=is_tail)
                assert patch(second, sent.path, PART, data[PART : PART + MIB]).status == 204
                assert once.struck, "the fault did not happen"
                sent.acknowledged += MIB
            sent.send(len(data))
            sent.check(bucket_place)
            names.append(sent.name)
    cleared(bucket_place, tmp_path)
    assert bucket_place.objects() == sorted(names)
