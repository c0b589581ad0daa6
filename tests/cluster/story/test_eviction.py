"""Nodes are drained under load: gateways leave one at a time, as their budget lets them."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.cluster.story.events import GATEWAY, SETTLED, TIMEOUT, condition, counted, pods, serving, settle, survive
from tests.cluster.story.site import Site
from tests.servers import eventually
from tests.testbed.kube_tools import run_tool
from tests.testbed.node_files import NAME as NODE

pytestmark = pytest.mark.long

TAKEN = 201
REFUSED = 429

READY_SECONDS = 90.0

NO_ROOM_SECONDS = 7.0
"""How long nobody has room for a new gateway: `kubectl drain` asks again after 5 s."""

DRAIN_SECONDS = 180.0


def evicted(site: Site, name: str) -> int:
    """The answer to an eviction of this pod."""
    api = site.cluster.plane.api
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": site.home}}
    return api.http.post(api.path("v1", "Pod", site.home, name, "eviction"), json=eviction).status_code


def evict(site: Site) -> None:
    """Both gateways: the second is not let go before there is another one."""
    first, second = sorted(serving(site))
    start = time.monotonic()
    assert evicted(site, first) == TAKEN
    assert evicted(site, second) == REFUSED
    eventually(lambda: evicted(site, second) == TAKEN, READY_SECONDS, pause=0.2)
    print(f"the second was let go after {time.monotonic() - start:.1f} s")
    assert serving(site) - {first, second} != set()
    settle(site)
    assert serving(site).isdisjoint({first, second})


def drain(site: Site) -> None:
    """`kubectl drain`, as of the last node with room, and another node that takes a while to come.

    There is one node alone: it is the drained one at first, and then the other.
    """
    before = serving(site)
    plane = site.cluster.plane
    selector = ",".join(f"{key}={value}" for key, value in GATEWAY.items())
    words = ("drain", NODE, f"--pod-selector={selector}", "--delete-emptydir-data", SETTLED)
    with ThreadPoolExecutor(1) as threads:
        drained = threads.submit(run_tool, plane.admin, "kubectl", *words, seconds=DRAIN_SECONDS)
        try:
            eventually(lambda: waits_for_room(site), READY_SECONDS, pause=0.2)
            time.sleep(NO_ROOM_SECONDS)
            assert len(serving(site)) == 1
        finally:
            plane.kubectl("uncordon", NODE)
        said = drained.result()
    assert "violate the pod's disruption budget" in said.stderr
    settle(site)
    assert serving(site).isdisjoint(before)


def waits_for_room(site: Site) -> bool:
    """Whether there is a gateway that no node takes."""
    return any(condition(pod, "PodScheduled") == "False" for pod in pods(site, site.home, GATEWAY))


@pytest.mark.timeout(TIMEOUT)
@pytest.mark.parametrize("happen", [evict, drain])
def test_gateways_leave_one_at_a_time(site: Site, happen: Callable[[Site], None]) -> None:
    with counted(site) as seen:
        survive(site, happen)
    assert seen.fewest == 1
