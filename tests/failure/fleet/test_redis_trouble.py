"""Redis down, frozen, full, read-only or cut off: nothing is acknowledged that is not kept; all goes on by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from tests.failure.client import KIB, MIB, ask, create, head, metrics, patch, peeked
from tests.failure.fleet.deaths import cleared
from tests.failure.fleet.gateways import QUICK, ForkedGateway, gateway, need_forks
from tests.failure.fleet.passages import GONE, TAKEOVER_SECONDS, Passage, Sent
from tests.failure.fleet.stores import PART, Place
from tests.failure.fleet.troubles import frozen_redis, goes_on, not_ready, ready, refused
from tests.servers import eventually
from tests.testbed.gateways import on_disk
from tests.testbed.redis_node import RedisNode
from tests.testbed.redis_topologies import RedisTopology
from tests.testbed.toxiproxy import Toxiproxy

pytestmark = pytest.mark.long

PATIENCE = 1.0

FLAGS = (*QUICK, "--redis-patience", f"{PATIENCE:g}s", "--redis-timeout", "500ms", "--redis-connect-timeout", "500ms")

ANSWER_SECONDS = 3 * PATIENCE + 2.0
"""A request takes at most three steps in Redis; the rest is for a machine that is busy with other tests."""

CLIENTS = 8
"""Clients that ask again and again while Redis is in trouble."""

MOST_CONNECTIONS = 60
"""Connections that all of their requests together may cost Redis: hundreds would be a storm."""


@contextmanager
def down(node: RedisNode) -> Iterator[None]:
    """Killed; started again, it has what was on its disk."""
    node.kill()
    try:
        yield
    finally:
        node.start()


@contextmanager
def full(node: RedisNode) -> Iterator[None]:
    """OOM command not allowed."""
    node.ask("CONFIG", "SET", "maxmemory", "1")
    try:
        yield
    finally:
        node.ask("CONFIG", "SET", "maxmemory", "0")


@contextmanager
def read_only(node: RedisNode) -> Iterator[None]:
    """A replica of a master that is gone, as an old master is after a fail-over."""
    node.ask("REPLICAOF", "127.0.0.1", "1")
    try:
        yield
    finally:
        node.ask("REPLICAOF", "NO", "ONE")


@dataclass(frozen=True)
class Trouble:
    """What happens to Redis, and how /readyz puts it."""

    happens: Callable[[RedisNode], AbstractContextManager[None]]
    reason: str


TROUBLES = {
    "down": Trouble(down, "Redis"),
    "frozen": Trouble(frozen_redis, "Redis .*(does not answer|cannot be used)"),
    "full": Trouble(full, r"Redis is full \(OOM command not allowed\)"),
    "read-only": Trouble(read_only, "Redis is a read-only replica"),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_nothing_is_acknowledged_that_redis_does_not_keep(
    lone_place: Place, redis_alone: RedisNode, tmp_path: Path, name: str
) -> None:
    need_forks()
    trouble, place = TROUBLES[name], lone_place
    numbers = Random(name)
    data = numbers.randbytes(2 * PART + MIB)
    with gateway(tmp_path / "gateway", place.backend, *FLAGS, kind=ForkedGateway) as one:
        running, waiting = (Sent(Passage(one, one), data, path=create(one, len(data))) for _ in range(2))
        for sent in (running, waiting):
            sent.send(PART + 100 * KIB)
        with running.hang(300 * KIB, promised=PART) as wire:
            with trouble.happens(redis_alone):
                wire.send(data[PART + 400 * KIB : PART + 500 * KIB])
                rest = data[waiting.acknowledged :]
                refused(place, lambda: patch(one, waiting.path, waiting.acknowledged, rest), ANSWER_SECONDS)
                refused(place, lambda: ask(one, "POST", one.path, {"Upload-Length": "5"}, b""), ANSWER_SECONDS)
                not_ready(one, trouble.reason)
            ready(one)
            with suppress(*GONE):
                wire.shutdown()
                assert wire.read("PATCH").status >= 400
        goes_on(running, one, place, 400 * KIB)
        goes_on(waiting, one, place, len(rest))
    cleared(place, tmp_path)


@pytest.mark.parametrize("name", ["down", "frozen"])
def test_no_storm_comes_over_redis(redis_alone: RedisNode, tmp_path: Path, name: str) -> None:
    need_forks()
    backend = on_disk(RedisTopology("standalone", redis_alone.url, [redis_alone]), tmp_path / "shared")
    with gateway(tmp_path / "gateway", backend, *FLAGS, kind=ForkedGateway) as one:
        path = create(one, 5)
        before = redis_alone.ask("INFO", "stats")["total_connections_received"]
        with TROUBLES[name].happens(redis_alone):
            deadline = time.monotonic() + 4.0

            def insist(_: int) -> int:
                count = 0
                while time.monotonic() < deadline:
                    assert head(one, path).status == 503
                    count += 1
                return count

            with ThreadPoolExecutor(CLIENTS) as threads:
                asked = sum(threads.map(insist, range(CLIENTS)))
        ready(one)
        assert asked >= CLIENTS
        after = redis_alone.ask("INFO", "stats")["total_connections_received"]
        assert after - (before if name == "frozen" else 0) < MOST_CONNECTIONS
        assert patch(one, path, 0, b"hello").status == 204


def test_a_gateway_that_is_cut_off_from_redis_changes_nothing(
    lone_place: Place, redis_alone: RedisNode, tmp_path: Path, toxi: Toxiproxy
) -> None:
    """A partition between one gateway and Redis: the upload goes on at another, and is that one's."""
    need_forks()
    place = lone_place
    line = toxi.proxy(redis_alone.port)
    there = ("--redis-url", f"redis://{line.address}/0")
    data = Random(3).randbytes(3 * PART)
    with (
        gateway(tmp_path / "first", place.backend, *FLAGS, *there, kind=ForkedGateway) as first,
        gateway(tmp_path / "second", place.backend, *FLAGS, kind=ForkedGateway) as second,
    ):
        sent = Sent(Passage(first, second), data, path=create(first, len(data)))
        with sent.hang(PART + MIB, promised=len(data)) as wire:
            eventually(lambda: peeked(second, sent.path)["offset"] > 0)
            with line.silence():
                wire.send(data[PART + MIB : 2 * PART + MIB])
                sent.passage.died = time.monotonic()  # as far as its client can tell
                refused(place, lambda: ask(first, "POST", first.path, {"Upload-Length": "5"}, b""), ANSWER_SECONDS)
                sent.recover_after(2 * PART + MIB)
                sent.send(len(data))
                sent.check(place)
                not_ready(first, "Redis")
                before = peeked(second, sent.path)
            ready(first)
            with suppress(*GONE):
                wire.offer(bytes(MIB))
                assert wire.read("PATCH").status >= 400
        assert sent.passage.takeover < TAKEOVER_SECONDS
        assert peeked(second, sent.path) == peeked(first, sent.path) == before
        sent.check(place)
        assert metrics(first)["tusfleet_leases_lost_total"] >= 1
    cleared(place, tmp_path)


def test_a_redis_that_lost_its_data_costs_what_was_not_finished(
    lone_place: Place, redis_alone: RedisNode, tmp_path: Path
) -> None:
    """Its clients begin again; objects stay; a janitor takes away what no record knows any more."""
    need_forks()
    place = lone_place
    data = Random(5).randbytes(PART + 2 * MIB)
    with gateway(tmp_path / "gateway", place.backend, *FLAGS, kind=ForkedGateway) as one:
        done, lost, written = (Sent(Passage(one, one), data, path=create(one, len(data))) for _ in range(3))
        done.send(len(data))
        done.check(place)
        lost.send(PART + MIB)
        with written.hang(PART + MIB, promised=len(data)) as wire:
            eventually(lambda: peeked(one, written.path)["offset"] > 0)
            redis_alone.flush()
            wire.send(data[PART + MIB :])
            assert wire.read("PATCH").status in (404, 409, 410, 423, 503)
        for sent in (lost, written):
            assert head(one, sent.path).status == 404
            assert patch(one, sent.path, sent.acknowledged, b"x").status == 404
        again = Sent(Passage(one, one), data, path=create(one, len(data)))
        again.send(len(data))
        again.check(place)
    cleared(place, tmp_path)
    assert place.objects() == sorted([done.name, again.name])
    assert place.sha256(done.name) == done.sha256
