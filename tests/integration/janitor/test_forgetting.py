"""Records of finished uploads are forgotten after a time, and nothing else of them: in SQLite and in Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.contexts import Clock, context_in
from tests.integration.redis.gateways import gateway_at
from tests.kits.streams import FakeStream
from tests.testbed.redis_node import RedisNode
from tusfleet.cli.janitor import as_json, as_text
from tusfleet.hooks.python import PythonHooks
from tusfleet.janitor.report import Action, Report
from tusfleet.janitor.sweeper import Sweeper
from tusfleet.settings import Settings
from tusfleet.uploads.concatenate import create_final
from tusfleet.uploads.context import Context, Policy
from tusfleet.uploads.create import create
from tusfleet.uploads.errors import NotFound
from tusfleet.uploads.inspect import inspect
from tusfleet.uploads.intents import Body, Create, Inspect
from tusfleet.uploads.models import Concat, ConcatKind, Principal, Query, State, Upload

pytestmark = pytest.mark.anyio

ANYBODY = Principal(admin=True)
DAY = timedelta(days=1)
DATA = b"12345"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "redis"])
async def context(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock, redis_server: RedisNode
) -> AsyncIterator[Context]:
    policy = Policy(partial_grace=30 * DAY)
    async with context_in(tmp_path, policy, clock=clock) as boxed:
        if request.param == "sqlite":
            yield boxed
            return
        redis_server.ask("FLUSHALL")
        async with gateway_at(redis_server.url) as gateway:
            yield replace(boxed, info=gateway.info, locker=gateway.locker)


async def swept(context: Context, *, after: timedelta | None = DAY, dry_run: bool = False) -> Report:
    sweeper = Sweeper(context, 60.0, timedelta(days=7), finished_ttl=after)
    report = await sweeper.sweep(dry_run=dry_run)
    assert report.well, report.line()
    return report


async def created(context: Context, data: bytes = DATA, kind: Concat | None = None, length: int = len(DATA)) -> Upload:
    intent = Create(length, concat=kind, body=Body(len(data)))
    return await create(context, intent, FakeStream(data), ANYBODY, lambda: None, "tus")


def placed(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "files").rglob("*") if path.is_file()}


async def test_a_finished_upload_is_forgotten_and_its_object_stays(
    context: Context, clock: Clock, tmp_path: Path
) -> None:
    old = await created(context)
    clock.forward(DAY.total_seconds() - 1)
    young, open = await created(context), await created(context, b"123")
    assert not (await swept(context)).eventful
    clock.forward(2)
    previewed = await swept(context, dry_run=True)
    assert previewed.named == {Action.FORGET: [(old.id, 0)]}
    assert f"would be forgotten: {old.id}" in as_text(previewed)
    assert (await inspect(context, Inspect(old.id), ANYBODY)).state is State.FINISHED
    report = await swept(context)
    assert (report.tallies[Action.FORGET].done, report.tallies[Action.FORGET].bytes) == (1, 0)
    assert '"forgotten": {' in as_json(report)
    assert report.line() == "1 forgotten"
    metric = context.metrics.registry.get_sample_value(
        "tusfleet_janitor_items_total", {"action": "forget", "outcome": "done"}
    )
    assert metric == 1
    # It is as unknown as one that never was.
    with pytest.raises(NotFound):
        await inspect(context, Inspect(old.id), ANYBODY)
    assert placed(tmp_path) == {old.id: DATA, young.id: DATA}
    assert [upload.id for upload in (await context.info.scan(Query())).uploads if upload.id != young.id] == [open.id]
    assert (await context.info.usage()).uploads == 2
    # Nothing that looks for leftovers takes what is left for one.
    assert not [found async for found in context.data.leftovers(0.0) if found.id == old.id]


async def test_without_the_setting_they_are_kept_for_ever(context: Context, clock: Clock) -> None:
    upload = await created(context)
    clock.forward(1000 * DAY.total_seconds())
    assert not (await swept(context, after=None)).eventful
    assert await context.info.read(upload.id) is not None
    assert Settings().forget_finished_after is None


async def test_one_that_is_in_use_is_left_alone(context: Context, clock: Clock) -> None:
    upload = await created(context)
    clock.forward(2 * DAY.total_seconds())
    lease = await context.locker.acquire(upload.id, 1.0)
    assert (await swept(context)).tallies[Action.FORGET].left == 1
    assert await context.info.read(upload.id) is not None
    await lease.release()
    assert (await swept(context)).tallies[Action.FORGET].done == 1


async def test_parts_are_kept_for_what_they_are_parts_of(context: Context, clock: Clock, tmp_path: Path) -> None:
    partial = Concat(ConcatKind.PARTIAL, "partial")
    one = await created(context, kind=partial)
    other = await created(context, b"123", kind=partial)
    final = Upload(
        context.new_id(),
        "tus",
        clock.now,
        concat=Concat(ConcatKind.FINAL, "final;", (one.id, other.id)),
    )
    await create_final(context, final, ANYBODY)
    clock.forward(2 * DAY.total_seconds())
    assert not (await swept(context)).eventful
    assert await context.info.finals_of(one.id) == [final.id]
    current = await context.info.read(other.id)
    assert current is not None
    assert current.state is State.OPEN
    # Once it is merged the final upload is forgotten in its time, and its parts go when theirs is over.
    done = Upload(context.new_id(), "tus", clock.now, concat=Concat(ConcatKind.FINAL, "final;", (one.id,)))
    assert (await create_final(context, done, ANYBODY)).state is State.FINISHED
    clock.forward(2 * DAY.total_seconds())
    assert (await swept(context)).tallies[Action.FORGET].done == 1
    assert await context.info.read(done.id) is None
    assert await context.info.read(one.id) is not None
    assert placed(tmp_path)[done.id] == DATA


async def test_many_are_forgotten_over_passes(context: Context, clock: Clock) -> None:
    uploads = [await created(context, b"", length=0) for _ in range(25)]
    clock.forward(2 * DAY.total_seconds())
    sweeper = Sweeper(context, 60.0, timedelta(days=7), finished_ttl=DAY)
    counts = [(await sweeper.sweep(most=10)).tallies[Action.FORGET].done for _ in range(3)]
    assert counts == [10, 10, 5]
    assert await context.info.read_many([upload.id for upload in uploads]) == [None] * 25


async def test_an_id_that_a_hook_gives_again_does_not_touch_the_object_of_before(
    context: Context, clock: Clock, tmp_path: Path
) -> None:
    async def same(upload: Upload) -> Upload:
        return replace(upload, id="chosen")

    context = replace(context, hooks=PythonHooks(same))
    await created(context)
    clock.forward(2 * DAY.total_seconds())
    assert (await swept(context)).tallies[Action.FORGET].done == 1
    await created(context, b"67890")
    assert sorted(placed(tmp_path).values()) == [DATA, b"67890"]
