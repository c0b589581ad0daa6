from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.failure.fleet.gateways import ForkedGateway, need_forks
from tests.failure.fleet.stores import KINDS, stores
from tests.failure.walk.ground import FLAGS, Ground
from tests.failure.walk.journal import Journal
from tests.servers import Server, serving
from tests.testbed.faults import s3_proxy
from tests.testbed.fixtures import need
from tests.testbed.gateways import Janitor
from tests.testbed.redis_node import RedisNode
from tests.testbed.redis_topologies import RedisTopology

GATEWAYS = 3


@pytest.fixture(params=KINDS)
def ground(request: pytest.FixtureRequest, redis_alone: RedisNode, tmp_path: Path) -> Iterator[tuple[Ground, Server]]:
    """Three gateways and a janitor on each kind of store in turn."""
    need_forks()
    kind = str(request.param)
    if kind != "filesystem":
        need(kind)
    topology = RedisTopology("standalone", redis_alone.url, [redis_alone])
    with stores(tmp_path / "stores") as found, ExitStack() as stack:
        (tmp_path / "stores").mkdir()
        proxy = None
        if kind != "filesystem":
            proxy = stack.enter_context(s3_proxy(found.server(kind).port))
        place = found.place(kind, topology, tmp_path, proxy.endpoint if proxy else None)
        flags = (*place.backend.flags, *FLAGS)

        def started(name: str, kind: type[Server]) -> Server:
            folder = tmp_path / name
            return stack.enter_context(serving(folder, *flags, environment=place.backend.environment, kind=kind))

        gateways = [started(f"gateway-{number}", ForkedGateway) for number in range(GATEWAYS)]
        janitor = started("janitor", Janitor)
        yield Ground(place, gateways, redis_alone, Journal(), proxy), janitor
