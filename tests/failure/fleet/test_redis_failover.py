"""Redis restarted, its Sentinels or its Cluster failing over, while clients upload through two gateways.

Nobody is told of bytes that are gone afterwards, every upload comes to its end with its own bytes, and no gateway is
restarted. Where there are replicas, a change counts once all of them have it (`redis_wait_replicas`): Redis itself
acknowledges before that, and a fail-over may lose it then. One of two is not enough: the Sentinels may name the other
one, although it is behind, for what they know of the two is some seconds old.

By itself a run does this on one kind of store, with TUSFLEET_TEST_EVERY_DEATH=1 on each.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random

import pytest

from tests.failure.client import KIB, MIB, ask, path_of
from tests.failure.fleet.deaths import cleared
from tests.failure.fleet.gateways import ForkedGateway, gateway, need_forks, two_gateways
from tests.failure.fleet.passages import GONE, TRY_AGAIN, Passage, Sent
from tests.failure.fleet.stores import EVERY, KINDS, PART, Place, Stores
from tests.failure.fleet.troubles import discreet, ready
from tests.servers import Server, eventually
from tests.testbed.fixtures import need
from tests.testbed.redis_topologies import MASTER_NAME, SETTLE_SECONDS, RedisTopology, SentinelTopology

pytestmark = pytest.mark.long

CLIENTS = 6

REPLICAS = {"standalone": 0, "sentinel": 2, "cluster": 1}
"""Of each master."""

SPREAD = 24
"""Uploads that are spread over all masters for all practical purposes."""

PATIENCE_SECONDS = 60.0
"""In which the clients come on, fail-over and all."""


@dataclass
class Uploader:
    """A client that uploads through both gateways in turn, until it is told to stop."""

    place: Place
    first: Server
    second: Server
    number: int
    finished: int = 0
    broken: list[BaseException] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        """Upload without end; what has been begun is completed. What is found broken stands in `broken`."""
        try:
            for turn in count():
                if stop.is_set():
                    return
                self.upload(turn)
                self.finished += 1
        except (AssertionError, *GONE) as failure:
            self.broken.append(failure)

    def upload(self, turn: int) -> None:
        """Bring one upload across, and see that it is what was sent."""
        numbers = Random(f"{self.number} {turn}")
        data = numbers.randbytes(numbers.choice((5 * KIB, 300 * KIB, PART + MIB)) + numbers.randrange(KIB))
        sent = Sent(Passage(self.first, self.second), data, path=self.created(len(data)))
        while sent.acknowledged < len(data):
            # Every request at another gateway.
            sent.passage = Passage(sent.passage.second, sent.passage.first)
            sent.send(numbers.randint(1, len(data)))
        sent.check(self.place)

    def created(self, length: int) -> str:
        """Create an upload, as soon as there is a Redis that takes it; gives its path."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            server = self.second if self.number % 2 else self.first
            answer = ask(server, "POST", server.path, {"Upload-Length": f"{length}"}, b"")
            if answer.status == 201:
                return path_of(answer["location"])
            assert answer.status in TRY_AGAIN, answer
            discreet(self.place, answer)
            assert time.monotonic() < deadline, answer
            time.sleep(0.1)  # between two tries, up to the deadline


@contextmanager
def uploading(place: Place, first: Server, second: Server) -> Iterator[list[Uploader]]:
    """Clients at work, whose findings are raised at the end."""
    stop = threading.Event()
    uploaders = [Uploader(place, first, second, number) for number in range(CLIENTS)]
    threads = [threading.Thread(target=one.run, args=(stop,)) for one in uploaders]
    for thread in threads:
        thread.start()
    try:
        yield uploaders
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
    for one in uploaders:
        for failure in one.broken:
            raise failure
    assert not any(thread.is_alive() for thread in threads)


def come_on(uploaders: list[Uploader], uploads: int = 2) -> None:
    """Wait until every client has finished so many more uploads, or one has found something broken."""
    goals = [one.finished + uploads for one in uploaders]
    eventually(
        lambda: (
            any(one.broken for one in uploaders)
            or all(one.finished >= goal for one, goal in zip(uploaders, goals, strict=True))
        ),
        PATIENCE_SECONDS,
        0.1,
    )


@pytest.fixture(params=KINDS if EVERY else ("versitygw",))
def kind(request: pytest.FixtureRequest) -> str:
    """The kinds of store that are tried."""
    if request.param != "filesystem":
        need(request.param)
    return str(request.param)


def test_uploads_go_on_through_fail_overs(
    kind: str, s3_stores: Stores, topology_alone: RedisTopology, tmp_path: Path
) -> None:
    need_forks()
    place = s3_stores.place(kind, topology_alone, tmp_path)
    flags = _waiting(topology_alone)
    with two_gateways(tmp_path, place.backend, *flags) as (first, second):
        with uploading(place, first, second) as uploaders:
            come_on(uploaders)
            for _ in range(2):
                killed = topology_alone.fail_over()
                if not killed.program.running:
                    killed.start()
                come_on(uploaders)
                topology_alone.wait_until_it_stands()
        for one in (first, second):
            assert one.process.poll() is None
            ready(one)
    cleared(place, tmp_path)


def test_a_planned_fail_over_costs_no_upload(s3_stores: Stores, topology_alone: RedisTopology, tmp_path: Path) -> None:
    """The old master lives on as a replica, with the gateway's connections: it must not be asked for ever."""
    need_forks()
    if topology_alone.kind == "standalone":
        pytest.skip("a single server has nobody to take over")
    place = s3_stores.place("filesystem", topology_alone, tmp_path)
    with gateway(tmp_path / "gateway", place.backend, *_waiting(topology_alone), kind=ForkedGateway) as one:
        uploader = Uploader(place, one, one, 0)
        # Every shard is used, so that there are connections to every master.
        for turn in range(SPREAD):
            uploader.created(turn)
        before = {node.port for node in topology_alone.masters()}
        hand_over(topology_alone)
        assert not before & {node.port for node in topology_alone.masters()}
        ready(one)
        for turn in range(SPREAD):
            uploader.upload(turn)
    cleared(place, tmp_path)


def _waiting(topology: RedisTopology) -> tuple[str, str]:
    return "--redis-wait-replicas", str(REPLICAS[topology.kind])


def hand_over(topology: RedisTopology) -> None:
    """Have every master change places with a replica, with nobody dying."""
    if isinstance(topology, SentinelTopology):
        old = topology.current_master()
        topology.sentinels[0].ask("SENTINEL", "FAILOVER", MASTER_NAME)
        eventually(lambda: topology.current_master() is not old, SETTLE_SECONDS)
    else:
        replicas = [node for node in topology.nodes if not node.is_master()]
        for node in replicas:
            node.ask("CLUSTER", "FAILOVER")
        eventually(lambda: all(node.is_master() for node in replicas), SETTLE_SECONDS)
    topology.wait_until_it_stands()
