"""F12: one blocking lock call freezes the event loop of every client.

Here requests that wait for a lease, for Redis or for S3 hold up nobody who needs none of that.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from random import Random

import pytest

from tests.failure.client import KIB, MIB, Wire, create, head, patch, peeked
from tests.failure.fleet.gateways import ForkedGateway, gateway, need_forks, two_gateways
from tests.failure.fleet.stores import PART, Place
from tests.failure.fleet.troubles import frozen_redis
from tests.failure.test_F12_frozen_loop import bystander
from tests.servers import eventually
from tests.testbed.faults import S3Proxy
from tests.testbed.redis_node import RedisNode
from tests.testbed.s3_faults import ANY, Hold

pytestmark = pytest.mark.long

WAITING = 30
"""Requests that wait at the same time."""


@contextmanager
def held(line: S3Proxy) -> Iterator[None]:
    """So does S3."""
    rule = line.rule(ANY, Hold(), times=None)
    try:
        yield
    finally:
        rule.remove()


def test_F12_who_waits_for_a_lease_holds_up_nobody(bucket_place: Place, tmp_path: Path) -> None:
    """The gateway that has it is frozen: it neither lets go nor dies."""
    need_forks()
    data = Random(12).randbytes(PART)
    with two_gateways(tmp_path, bucket_place.backend) as (first, second):
        paths = [create(first, len(data)) for _ in range(3)]
        wires = []
        for path in paths:
            wires.append(wire := Wire(first))
            wire.patch(path, 0, len(data))
            wire.send(data[: 100 * KIB])
        eventually(lambda: all(peeked(second, path)["offset"] > 0 for path in paths))
        first.process.send_signal(signal.SIGSTOP)
        try:
            with bystander(second) as latencies, ThreadPoolExecutor(WAITING) as threads:
                asked = [threads.submit(head, second, paths[number % 3]) for number in range(WAITING)]
                eventually(lambda: len(latencies.seconds) >= 100)
                assert not all(one.done() for one in asked), "nobody waited"
            latencies.check(least=100)
            # The leases have run out.
            assert {one.result().status for one in asked} <= {200, 423}
        finally:
            first.process.send_signal(signal.SIGCONT)
            for wire in wires:
                wire.close()


@pytest.mark.parametrize("store", ["Redis", "S3"])
def test_F12_who_waits_for_a_store_holds_up_nobody(
    lone_bucket_place: Place, line: S3Proxy, redis_alone: RedisNode, tmp_path: Path, store: str
) -> None:
    """What needs neither of them is answered meanwhile: the own health, and refusals."""
    need_forks()
    flags = ("--redis-patience", "3s", "--redis-timeout", "2s", "--s3-retry-time", "3s", "--s3-read-timeout", "2s")
    troubles: dict[str, Callable[[], AbstractContextManager[None]]] = {
        "Redis": lambda: frozen_redis(redis_alone),
        "S3": lambda: held(line),
    }
    with gateway(tmp_path / "gateway", lone_bucket_place.backend, *flags, kind=ForkedGateway) as one:
        paths = [create(one, MIB) for _ in range(WAITING)]
        with ThreadPoolExecutor(WAITING) as threads:
            with troubles[store](), bystander(one, "/healthz") as latencies:
                waiting = [threads.submit(patch, one, path, 0, bytes(MIB)) for path in paths]
                eventually(lambda: len(latencies.seconds) >= 50)
                assert not all(patched.done() for patched in waiting), "nobody waited"
                assert {patched.result().status for patched in waiting} == {503}
            latencies.check(least=50)
        eventually(lambda: all(head(one, path).status == 200 for path in paths))
