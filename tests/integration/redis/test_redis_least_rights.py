"""The ACL rule of docs/redis.md: it is enough on every topology, and has no command that nobody gives."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from tests.integration.redis.gateways import SOON, gateway_at
from tests.kits.infostore import NOW, but_for_parts, event, final, record
from tests.testbed.redis_topologies import RedisTopology
from tusfleet.uploads.models import Concat, ConcatKind, Query, State

_PAGE = Path(__file__).parents[3] / "docs" / "redis.md"

BESIDE_SCRIPTS = {"evalsha", "eval", "hset", "hmget", "zrange", "zrem", "xrange", "xdel", "subscribe", "ping", "info"}
"""Commands that are not given by a script."""

PASSWORD = "password"


def rule() -> list[str]:
    """The words of the rule that the page gives, from the name of the user on."""
    (found,) = re.findall(r"^ACL SETUSER (.+)$", _PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    words: list[str] = found.split()
    return words


def of_scripts() -> set[str]:
    """Commands that the scripts call."""
    folder = files("tusfleet.redis_shards") / "lua"
    texts = [file.read_text() for file in folder.iterdir() if file.name.endswith(".lua")]
    return {name.lower() for text in texts for name in re.findall(r"redis\.call\('([A-Z]+)'", text)}


def test_the_rule_has_the_commands_that_are_given_and_no_others() -> None:
    allowed = {word[1:] for word in rule() if word.startswith("+")}
    assert allowed == of_scripts() | BESIDE_SCRIPTS


@pytest.fixture
def few_rights(redis_topology: RedisTopology) -> Iterator[RedisTopology]:
    """A topology with the user of the page, and what the page adds for it, on every server."""
    user, *words = rule()
    more = ["+wait", *(["+cluster|slots", "+asking"] if redis_topology.kind == "cluster" else [])]
    for node in redis_topology.nodes:
        node.ask("ACL", "SETUSER", user, *words, *more)
    try:
        yield redis_topology
    finally:
        for node in redis_topology.nodes:
            node.ask("ACL", "DELUSER", user)


@pytest.mark.anyio
async def test_the_rule_is_enough(few_rights: RedisTopology) -> None:
    user = rule()[0]
    async with gateway_at(few_rights.url, username=user, password=PASSWORD) as one:
        part = record("p", length=10, concat=Concat(ConcatKind.PARTIAL, "partial"), tenant="t", expires_at=NOW)
        await one.info.insert(part, [event("e1", part)])
        await one.info.insert(final("f", "p"))
        async with gateway_at(few_rights.url, username=user, password=PASSWORD) as other:
            lease = await one.locker.acquire("p", SOON)
            assert (await other.locker.standing("p")).held
            lease.on_request(lambda: other_wants.set())
            other_wants = asyncio.Event()
            waiting = asyncio.create_task(other.locker.acquire("p", SOON))
            await asyncio.wait_for(other_wants.wait(), SOON)
            assert lease.upload is not None
            changed = await one.info.commit(lease.upload, lease.fence, {"offset": 4, "placement": {"parts": [1]}})
            changed = await one.info.commit(changed, lease.fence, {"placement": {"parts": [1, 2]}}, ends=lease)
            taken = await waiting
            assert taken.upload is not None
            assert but_for_parts(taken.upload) == but_for_parts(replace(changed, fence=taken.fence))
            await asyncio.gather(*(other.locker._held.renew_all() for _ in range(2)))
            assert not taken.lost
            await other.locker.settle("q", SOON)
            gone = {"state": State.TERMINATED, "ended_at": NOW, "expires_at": None, "length": None}
            ended = await other.info.commit(taken.upload, taken.fence, gone, [event("e2", changed)])  # type: ignore[arg-type]
            await taken.release()
        for query in (Query(), Query(tenant="t"), Query(expires_before=NOW), Query(states=frozenset({State.OPEN}))):
            await one.info.scan(query)
        ends = Query(states=frozenset({State.TERMINATED}), ended_before=NOW.replace(year=2100))
        assert (await one.info.scan(ends)).uploads == (ended,)
        assert await one.info.finals_of("p") == ["f"]
        assert {found.id for found in await one.info.outbox()} == {"e1", "e2"}
        await one.info.confirm(["e1", "e2", "unknown"])
        await one.info.delete(ended)
        assert (await one.info.usage()).uploads == 1
        await one.info.probe()
