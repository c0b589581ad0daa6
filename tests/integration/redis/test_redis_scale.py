"""What a step asks of Redis is the same among a hundred records and ten thousand: counts of `bench/scale.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench import records
from bench.scale import BOUNDED, PAGE, WITH_PARTS, Scene, memory, parts, scene, sizes
from bench.scale_report import Cost, Growth, Memory, Scale, grew, render
from bench.tap import Traffic
from tests.kits.infostore import but_for_parts
from tusfleet.uploads.models import State

FEW, MANY = 100, 10_000

DIGITS = 8
"""Bytes by which a step may differ: the names of changes are numbered."""

BYTES_OF_A_PART = 45
"""In an answer: 32 characters and what the protocol puts around them."""

MOST_OF_HEAD = 1_200
"""Bytes of the answer for an upload to S3 with a name and a type."""

BYTES_OF_AN_OPEN_UPLOAD = 2_000
"""Of Redis, before any byte has come; docs/sizing.md reckons with less."""


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path) as opened:
        yield opened


@pytest.mark.anyio
async def test_steps_cost_the_same_among_more_records(at: Scene) -> None:
    costs = (await sizes(at, (FEW, MANY))).costs
    few, many = costs[FEW], costs[MANY]
    assert grew(costs) <= BOUNDED
    for step, trips in {"create (POST)": 1, "HEAD": 1, "PATCH of one part": 2, "totals for the metrics": 1}.items():
        assert (few[step].traffic.round_trips, many[step].traffic.round_trips) == (trips, trips), step
    for step in ("create (POST)", "HEAD", "PATCH of one part", "page of the expiry sweep, nothing is due"):
        assert few[step].calls == many[step].calls, step
        assert abs(few[step].traffic.sent - many[step].traffic.sent) <= DIGITS, step
        assert abs(few[step].traffic.received - many[step].traffic.received) <= DIGITS, step
    for step in BOUNDED:
        # A record is one HGETALL and one LRANGE; what is looked at for one page has a bound.
        assert many[step].calls["hgetall"] <= PAGE + 1


@pytest.mark.anyio
async def test_steps_cost_the_same_at_an_upload_of_more_parts_but_for_one_answer(at: Scene) -> None:
    costs = await parts(at, (10, MANY))
    few, many = costs[10], costs[MANY]
    for step in few:
        assert few[step].calls == many[step].calls, step
        assert few[step].traffic.round_trips == many[step].traffic.round_trips, step
        assert abs(many[step].traffic.sent - few[step].traffic.sent) <= 3 * DIGITS, step
    for step in ("HEAD", "PATCH: take the lease, read the record", "PATCH: commit one part more", WITH_PARTS):
        assert many[step].traffic.round_trips == 1
    assert grew(costs) == {WITH_PARTS}
    assert many["HEAD"].traffic.received < MOST_OF_HEAD
    assert many[WITH_PARTS].traffic.received < MANY * BYTES_OF_A_PART


@pytest.mark.anyio
async def test_records_made_in_great_number_are_those_of_a_gateway(at: Scene) -> None:
    like = records.upload("0" * 32, records.begun(3))
    await at.fill(like, "some", 200)
    for id in records.ids("some", 200):
        read = await at.info.read(id)
        assert read is not None
        made = replace(like, id=id, placement={**like.placement, "key": id})
        assert but_for_parts(read) == but_for_parts(made)
        finishing = await at.info.commit(read, read.fence, {"state": State.FINISHING})
        assert finishing == replace(made, state=State.FINISHING)
    usage = await at.info.usage()
    assert (usage.uploads, usage.open, usage.reserved) == (200, 200, 200 * like.reserved)
    with pytest.raises(records.Refused, match="exists"):
        await at.fill(replace(like, length=1), "some", 1)


@pytest.mark.anyio
async def test_an_open_upload_takes_little_memory(at: Scene) -> None:
    measured = {one.kind: one for one in await memory(at, 2000, 10)}
    assert measured["open, no bytes yet"].default < BYTES_OF_AN_OPEN_UPLOAD
    assert all(one.compact <= one.default * 1.01 for one in measured.values())


def test_the_report_tells_what_grew() -> None:
    def cost(commands: int, received: int) -> Cost:
        return Cost(Traffic(1, 10, received), {"hget": commands})

    costs: Growth = {
        100: {"same": cost(2, 100), "longer": cost(2, 100), "more": cost(2, 100), "up to": cost(2, 100)},
        1000: {"same": cost(2, 105), "longer": cost(2, 900), "more": cost(3, 100), "up to": cost(9, 100)},
    }
    memory = [Memory("open", 7, 1000.4, 500.0)]
    text = render(Scale(costs, 2**20), costs, memory, bounded={"up to"}, redis="7", parts_of_many=4)
    assert "| step | 100 records | 1,000 records | same cost |" in text
    assert "| same | 1 / 2 / 10 / 100 | 1 / 2 / 10 / 105 | yes |" in text
    assert "| longer | 1 / 2 / 10 / 100 | 1 / 2 / 10 / 900 | commands yes, bytes no |" in text
    assert "| more | 1 / 2 / 10 / 100 | 1 / 3 / 10 / 100 | no |" in text
    assert "| up to | 1 / 2 / 10 / 100 | 1 / 9 / 10 / 100 | bounded |" in text
    assert "| open | 7 | 1,000 | 500 |" in text
