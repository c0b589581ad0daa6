"""Several stores on one file, as the workers of a server have them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kits.infostore import event, record, refusals
from tusfleet.infostores.sqlite import SqliteInfoStore
from tusfleet.uploads.errors import AlreadyExists, FenceLost, StoreFull
from tusfleet.uploads.models import Usage

pytestmark = pytest.mark.anyio

WORKERS = 3

ROUNDS = 40


@pytest.fixture(params=[True, False], ids=["durable", "relaxed"])
async def stores(path: Path, request: pytest.FixtureRequest) -> AsyncIterator[list[SqliteInfoStore]]:
    path.parent.mkdir()
    opened = [await SqliteInfoStore.open(path, durable=request.param, capacity=10_000) for _ in range(WORKERS)]
    yield opened
    for store in opened:
        await store.close()


async def test_all_of_them_write_at_once_and_the_totals_are_right(stores: list[SqliteInfoStore]) -> None:
    async def use(number: int, store: SqliteInfoStore) -> None:
        for turn in range(ROUNDS):
            upload = record(f"u{number}-{turn}", reserved=10)
            await store.insert(upload, [event(upload.id, upload)])
            upload = await store.commit(upload, 1, {"offset": 5})
            if turn % 2:
                await store.delete(upload)

    await asyncio.gather(*(use(number, store) for number, store in enumerate(stores)))
    kept = WORKERS * ROUNDS // 2
    for store in stores:
        assert await store.usage() == Usage(kept, kept, kept * 10)
        assert len(await store.outbox(1000)) == WORKERS * ROUNDS
        await store.probe()


async def test_what_one_has_committed_the_others_see_at_once(stores: list[SqliteInfoStore]) -> None:
    upload = record("a")
    await stores[0].insert(upload)
    for fence in range(1, 30):
        writer, reader = stores[fence % WORKERS], stores[(fence + 1) % WORKERS]
        upload = await writer.commit(upload, fence, {"offset": fence})
        assert await reader.read("a") == upload
    with pytest.raises(FenceLost):
        await stores[0].commit(upload, 3, {"offset": 100})


async def test_an_id_and_the_room_are_given_once(stores: list[SqliteInfoStore]) -> None:
    refused = await refusals(*(store.insert(record("a", reserved=10)) for store in stores))
    assert [type(error) for error in refused] == [AlreadyExists] * (WORKERS - 1)
    refused = await refusals(
        *(store.insert(record(f"b{number}", reserved=6_000)) for number, store in enumerate(stores))
    )
    assert [type(error) for error in refused] == [StoreFull] * (WORKERS - 1)


async def test_an_epoch_is_given_once(stores: list[SqliteInfoStore]) -> None:
    epochs = await asyncio.gather(*(store.next_epoch() for _ in range(5) for store in stores))
    assert len(set(epochs)) == len(epochs)
