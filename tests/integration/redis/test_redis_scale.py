"""What a step asks of Redis is the same among a hundred records and ten thousand: counts of `bench/scale.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench import records
from bench.scale import BOUNDED, PAGE, Scene, memory, parts, scene, sizes
from bench.scale_report import Cost, Growth, Memory, Scale, grew, render
from bench.tap import Traffic

FEW, MANY = 100, 10_000

DIGITS = 8
"""Bytes by which a step may differ: the names of changes are numbered."""

BYTES_OF_A_PART = 45
"""In an answer: 32 characters and what the protocol puts around them."""

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
async def test_steps_cost_the_same_at_an_upload_of_more_parts_but_for_the_answer(at: Scene) -> None:
    costs = await parts(at, (1, MANY))
    one, many = costs[1], costs[MANY]
    for step in one:
        assert one[step].calls == many[step].calls, step
        assert (one[step].traffic.round_trips, many[step].traffic.round_trips) == (1, 1), step
    assert grew(costs) == {"HEAD", "PATCH: take the lease, read the record"}
    assert many["HEAD"].traffic.sent == one["HEAD"].traffic.sent
    assert many["HEAD"].traffic.received - one["HEAD"].traffic.received < MANY * BYTES_OF_A_PART


@pytest.mark.anyio
async def test_records_made_in_great_number_are_those_of_a_gateway(at: Scene) -> None:
    like = records.upload("0" * 32, records.begun(3))
    await at.fill(like, "some", 200)
    for id in records.ids("some", 200):
        assert await at.info.read(id) == replace(like, id=id, placement={**like.placement, "key": id})
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
