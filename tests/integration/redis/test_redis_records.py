"""What records cost in Redis: bytes on the wire and in memory, and steps."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
import redis

from tests.integration.redis.gateways import gateway_at
from tests.kits.infostore import HOUR, NOW, event, final, found, record
from tests.testbed.redis_node import RedisNode
from tusfleet.infostores import _redis_scan
from tusfleet.uploads.errors import BadRequest, FenceLost
from tusfleet.uploads.growing import Growing
from tusfleet.uploads.models import Change, Concat, ConcatKind, Metadata, Query, State

PARTS = 10_000
"""Most parts of an upload (S3)."""

COMMIT_BYTES = 2_500
"""Most bytes that a commit of one part may cost, both ways together, however many there are."""

RECORD_BYTES = 1_800
"""Most memory of one open upload with metadata of usual length and an expiry, with all of its indexes."""


class Traffic:
    """Bytes that go to a Redis and come from it."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._total()
        self._own = -self._total() + self._total()
        self._before = self._total()

    def cost(self) -> int:
        """Bytes since the last look, less what the look itself costs."""
        before, self._before = self._before, self._total()
        return self._before - before - self._own

    def _total(self) -> int:
        stats = self._client.info("stats")
        return int(stats["total_net_input_bytes"]) + int(stats["total_net_output_bytes"])


@pytest.mark.anyio
async def test_a_commit_of_one_part_costs_the_same_with_ten_thousand(redis_server: RedisNode) -> None:
    with redis_server.client() as client:
        async with gateway_at(redis_server.url, ttl=60, renew_every=30) as gateway:
            # One of each kind first: with it the scripts are there.
            first = record("first", placement={"parts": [1]})
            await gateway.info.insert(first)
            await gateway.info.commit(first, 1, {"placement": {"parts": [1, 2]}})
            parts = [[n, 8 << 20, f"{n:032x}"] for n in range(PARTS)]
            upload = record("a", length=1 << 50, placement={"key": "a", "parts": parts[:-3]})
            await gateway.info.insert(upload)
            traffic = Traffic(client)
            for end in (PARTS - 2, PARTS - 1, PARTS):
                placement = {"key": "a", "parts": [*parts[:end]], "tail": "t" * 10}
                upload = await gateway.info.commit(upload, 1, {"offset": end, "placement": placement})
                assert 0 < traffic.cost() < COMMIT_BYTES
            # One that says nothing of the placement costs no more.
            upload = await gateway.info.commit(upload, 1, {"expires_at": NOW})
            assert 0 < traffic.cost() < COMMIT_BYTES
            assert upload.placement["parts"] == parts
            # Whoever reads it gets none of them before they are needed, and then all.
            read = await gateway.info.read("a")
            assert read is not None
            assert read.placement["parts"] == {"kept": PARTS, "last": parts[-1], "more": []}
            assert (await gateway.info.commit(read, 1, {"state": State.FINISHING})).placement["parts"] == parts


@pytest.mark.anyio
async def test_ten_thousand_parts_travel_once_in_the_life_of_an_upload(redis_server: RedisNode) -> None:
    """With the commit that says all bytes are there; not with HEAD, a lease, a page of a scan or any other commit."""
    parts = [f"..{n:022}.{n:06}==" for n in range(PARTS)]
    with redis_server.client() as client:
        async with gateway_at(redis_server.url, ttl=60, renew_every=30, shards=1) as gateway:
            # One of each kind first: with it the scripts are there.
            await gateway.info.insert(record("first"))
            await gateway.info.commit(record("first"), 1, {})
            await gateway.info.insert(record("a", length=PARTS + 1, placement={"key": "a", "parts": parts}))
            lease = await gateway.locker.acquire("a", 1)
            await lease.release()
            await gateway.info.scan(Query())
            traffic = Traffic(client)
            assert (await gateway.locker.standing("a")).upload is not None
            assert await gateway.info.read("a") is not None
            assert len((await gateway.info.scan(Query())).uploads) == 2
            lease = await gateway.locker.acquire("a", 1)
            assert lease.upload is not None
            grown = Growing.of(lease.upload.placement)
            change = {"key": "a", "parts": replace(grown, more=["last"]).json()}
            upload = await gateway.info.commit(lease.upload, lease.fence, {"offset": 1, "placement": change})
            assert 0 < traffic.cost() < 6 * COMMIT_BYTES
            change = {"key": "a", "parts": replace(grown, more=["last", "very last"]).json()}
            finishing = await gateway.info.commit(
                upload, lease.fence, {"offset": PARTS + 1, "placement": change, "state": State.FINISHING}
            )
            assert traffic.cost() > PARTS * len(parts[0])
            assert finishing.placement == {"key": "a", "parts": [*parts, "last", "very last"]}
            # Whoever takes over from here gets them with the lease.
            await lease.release()
            heir = await gateway.locker.acquire("a", 1)
            assert heir.upload == replace(finishing, fence=heir.fence)
            assert (await gateway.locker.standing("a")).upload != heir.upload
            traffic.cost()
            whole = {"key": "a", "whole": 1}
            done = await gateway.info.commit(
                finishing, heir.fence, {"state": State.FINISHED, "placement": whole}, ends=heir
            )
            assert 0 < traffic.cost() < COMMIT_BYTES
            assert await gateway.info.read("a") == done
            assert client.exists(*client.keys("*:parts:*") or ["none"]) == 0


@pytest.mark.anyio
async def test_a_list_that_is_another_than_was_read_is_not_added_to(redis_server: RedisNode) -> None:
    async with gateway_at(redis_server.url) as gateway:
        first = record("a", placement={"parts": [1, 2]})
        await gateway.info.insert(first)
        upload = await gateway.info.read("a")
        assert upload is not None
        await gateway.info.commit(first, 1, {"placement": {"parts": [1, 3]}})
        more: Change = {"placement": {"parts": {"kept": 2, "last": 2, "more": [3]}}}
        with pytest.raises(FenceLost):
            await gateway.info.commit(upload, 1, more, [event("e", upload)])
        assert await gateway.info.outbox() == []
        await gateway.info.delete(upload)
        current = await gateway.info.read("a")
        assert current is not None
        assert (await gateway.info.commit(current, 1, {"state": State.FINISHING})).placement == {"parts": [1, 3]}


@pytest.mark.anyio
async def test_parts_that_are_not_what_was_read_are_written_anew(redis_server: RedisNode) -> None:
    async with gateway_at(redis_server.url) as gateway:
        upload = record("a", placement={"parts": [1, 2]})
        await gateway.info.insert(upload)
        await gateway.info.commit(upload, 1, {"placement": {"parts": [7, 8, 9]}})
        committed = await gateway.info.commit(upload, 1, {"placement": {"parts": [1, 2, 3]}})
        assert committed.placement == {"parts": [1, 2, 3]}
        # One that says nothing of the placement gives what is there, not what its caller had read.
        assert (await gateway.info.commit(upload, 1, {"offset": 1})).placement == {
            "parts": {"kept": 3, "last": 3, "more": []}
        }
        finishing: Change = {"state": State.FINISHING}
        assert (await gateway.info.commit(replace(upload, offset=1), 1, finishing)).placement == {"parts": [1, 2, 3]}


@pytest.mark.anyio
async def test_what_an_open_upload_takes_of_memory(redis_server: RedisNode) -> None:
    count = 2_000
    metadata = Metadata.of({"filename": "holiday pictures 2026.zip", "filetype": "application/zip"})
    async with gateway_at(redis_server.url) as gateway:
        await gateway.info.read("a")
        before = int(redis_server.ask("INFO", "memory")["used_memory"])
        uploads = [record(f"{n:032x}", metadata=metadata, expires_at=NOW + HOUR) for n in range(count)]
        await asyncio.gather(*(gateway.info.insert(upload) for upload in uploads))
        each = (int(redis_server.ask("INFO", "memory")["used_memory"]) - before) / count
        print(f"{each:.0f} bytes of Redis for an open upload")
        assert each < RECORD_BYTES


@pytest.mark.anyio
async def test_scans_that_look_through_windows_give_all_of_it(
    redis_server: RedisNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_redis_scan, "SORTED_AT_MOST", 3)
    monkeypatch.setattr(_redis_scan, "WINDOW", 2)
    async with gateway_at(redis_server.url, shards=2) as gateway:
        states = list(State)
        uploads = [
            record(
                f"u{n:03}",
                state=states[n % len(states)],
                expires_at=NOW - HOUR if n % 3 else None,
                ended_at=NOW - HOUR if n % 4 else None,
                tenant="t" if n % 5 else None,
                placement={"parts": [1] * (n % 3)},
            )
            for n in range(120)
        ]
        await asyncio.gather(*(gateway.info.insert(upload) for upload in uploads))
        dead = frozenset(state for state in State if not state.alive)
        for query, ids in (
            (Query(), [u.id for u in uploads]),
            (Query(tenant="t"), [u.id for u in uploads if u.tenant]),
            (Query(expires_before=NOW), [u.id for u in uploads if u.expires_at]),
            (Query(states=dead, ended_before=NOW), [u.id for u in uploads if u.state in dead and u.ended_at]),
            (Query(tenant="t", expires_before=NOW), [u.id for u in uploads if u.tenant and u.expires_at]),
        ):
            assert await found(gateway.info, query) == ids


@pytest.mark.anyio
@pytest.mark.parametrize("cursor", ["", "x", "64.", "1", "1.a b", "-1.", "99999."])
async def test_a_cursor_of_another_store_is_refused(redis_server: RedisNode, cursor: str) -> None:
    async with gateway_at(redis_server.url) as gateway:
        with pytest.raises(BadRequest):
            await gateway.info.scan(Query(), cursor=cursor)


@pytest.mark.anyio
async def test_finals_of_costs_what_waits_for_the_part(redis_server: RedisNode) -> None:
    async with gateway_at(redis_server.url) as gateway:
        part = record("p", concat=Concat(ConcatKind.PARTIAL, "partial"))
        await gateway.info.insert(part)
        await asyncio.gather(*(gateway.info.insert(final(f"f{n}", f"q{n}")) for n in range(200)))
        await gateway.info.insert(final("f", "p"))
        redis_server.ask("CONFIG", "RESETSTAT")
        assert await gateway.info.finals_of("p") == ["f"]
        stats = redis_server.ask("INFO", "commandstats")
        assert stats["cmdstat_evalsha"]["calls"] == 1
        assert stats["cmdstat_zrange"]["calls"] == 1
        # What is known of a part goes with it.
        await gateway.info.delete(part)
        assert redis_server.ask("KEYS", "*links:p") == []


@pytest.mark.anyio
async def test_events_are_confirmed_by_whoever_was_told_of_them(redis_server: RedisNode) -> None:
    async with gateway_at(redis_server.url) as one, gateway_at(redis_server.url) as other:
        upload = record("a")
        await one.info.insert(upload, [event(f"e{n}", upload) for n in range(2500)])
        told = await one.info.outbox(2000)
        assert [event.id for event in told] == [f"e{n}" for n in range(2000)]
        await other.info.confirm([told[1999].id, told[3].id, "unknown"])
        await one.info.confirm([event.id for event in told])
        assert [event.id for event in await other.info.outbox(1000)] == [f"e{n}" for n in range(2000, 2500)]


@pytest.mark.anyio
async def test_a_record_that_is_gone_leaves_nothing_behind(redis_server: RedisNode) -> None:
    async with gateway_at(redis_server.url) as gateway:
        empty = {"tf:store"}
        for upload in (
            record("a", tenant="t", expires_at=NOW),
            final("f", "p", "q"),
            record("c", placement={"parts": [1]}),
        ):
            await gateway.info.insert(upload)
            ended = await gateway.info.commit(
                upload, 1, {"state": State.TERMINATED, "ended_at": NOW, "expires_at": None}
            )
            await gateway.info.delete(replace(ended))
        left = {key for key in redis_server.ask("KEYS", "*") if not key.endswith((":fence", ":usage"))}
        assert left == empty
