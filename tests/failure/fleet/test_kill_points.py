"""Kill -9 at every await point of create, append, finish and concatenate; the upload goes on at another gateway.

What is checked after each death: the offset told is one that the client may go on from, with everything acknowledged;
the upload goes on within the promised time; the object, read past the gateways, has the SHA-256 of the source. In the
end nothing is left but such objects, once a janitor has been there.

By itself a run tries each point on one of the stores it can happen on: the same one every time. With
TUSFLEET_TEST_EVERY_DEATH=1 it tries all of them, and each time that a point is reached.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.failure.fleet.deaths import chosen, cleared, die, traced
from tests.failure.fleet.gateways import need_forks
from tests.failure.fleet.modules import MODULES, WITHOUT
from tests.failure.fleet.passages import WAYS
from tests.failure.fleet.points import listed, waiting
from tests.failure.fleet.stores import EVERY, Place, Stores
from tests.failure.fleet.unreached import UNREACHED, reason_for, step_of
from tests.testbed.fixtures import need
from tests.testbed.redis_topologies import RedisTopology

pytestmark = pytest.mark.long

SHARES = 12 if EVERY else 2
"""Tests that the deaths of one way on one store are spread over, for the processes that run tests."""


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("way", WAYS)
def test_kill_at_every_point(place: Place, way: str, share: int, tmp_path: Path) -> None:
    need_forks()
    reached = traced(place, way, tmp_path)
    deaths = chosen(reached, place.kind, every=EVERY, share=share, of=SHARES)
    toll = die(place, way, tmp_path, deaths)
    print(f"{len(toll.died)} of {len(deaths)} deaths; the slowest takeover took {toll.slowest:.2f} s")
    print(f"not reached so often this time: {', '.join(map(str, toll.missed)) or 'none'}")
    assert not toll.broken, "\n".join(toll.broken)
    assert not toll.left_out, f"points at which nobody died: {toll.left_out}"
    sources = {hashlib.sha256(data).hexdigest() for data in toll.sources}
    cleared(place, tmp_path)
    strangers = [name for name in place.objects() if place.sha256(name) not in sources]
    assert not strangers, "objects that are no upload"


def test_every_module_has_points_or_a_reason() -> None:
    """No new one is forgotten."""
    known = {*MODULES, *WITHOUT}
    assert not (forgotten := waiting() - known), f"modules that wait, and are not in modules.py: {forgotten}"
    assert not (gone := known - waiting()), f"in modules.py, but gone, or without anything to wait for: {gone}"
    assert not (twice := set(MODULES) & WITHOUT.keys()), twice


def test_every_point_is_reached_or_explained(
    s3_stores: Stores, shared_node: RedisTopology, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need_forks()
    need("versitygw")
    reached: set[str] = set()
    for kind in ("filesystem", "versitygw"):
        for way in WAYS:
            folder = tmp_path / f"{kind} {way}"
            folder.mkdir()
            reached |= set(traced(s3_stores.place(kind, shared_node, folder), way, folder))
    points = listed()
    assert not (unknown := reached - set(points)), f"reached, but not listed: {unknown}"
    unreached = dict.fromkeys(step_of(point) for point in points if point not in reached)
    unexplained = [step for step in unreached if reason_for(step) is None]
    with capsys.disabled():
        print(f"\n{len(points)} points; no way comes to those around these steps:")
        for step in unreached:
            print(f"  {step}: {reason_for(step)}")
    assert not unexplained, "steps that no way comes to and that nobody has explained; see unreached.py"
    steps = {step_of(point) for point in points}
    known = steps | {step.rpartition(":")[0] for step in steps}
    assert not (gone := UNREACHED.keys() - known), f"explained in unreached.py, but gone from the code: {gone}"
