"""The cluster's autoscaler reads the CPU of gateways under load, and has more of them, and then less."""

from __future__ import annotations

import itertools
import time

import pytest

from tests.cluster.story.events import TIMEOUT, Counted, counted, settle
from tests.cluster.story.load import steady_load
from tests.cluster.story.site import Site
from tests.servers import eventually
from tusfleet_operator.builders.autoscaler import LEAVING_SECONDS

pytestmark = pytest.mark.long

FEWEST = 2
MOST = 4

MORE_SECONDS = 120.0
"""CPU is read every 10 s, and looked at every 2 s."""

LESS_SECONDS = 60.0 + 2 * LEAVING_SECONDS
"""CPU has to fall first, and to be low for a minute."""

BUSY = 8
"""Clients with small uploads, as fast as they can; the gateways' part of that is larger than of large ones."""

CALM = 2
CALM_RATE = "1MiB"
CALM_PAUSE = 0.2
"""Uploads that are under way for so long that gateways leave under them."""


def steps(seen: Counted) -> list[tuple[float, int]]:
    """How much later and by how many the number of gateways changed, each time."""
    return [(later - earlier, after - before) for (earlier, before), (later, after) in itertools.pairwise(seen.wanted)]


@pytest.mark.timeout(TIMEOUT)
def test_gateways_come_with_the_load_and_go_one_by_one(site: Site) -> None:
    site.make(
        autoscaling={
            "minReplicas": FEWEST,
            "maxReplicas": MOST,
            "targetCpuUtilization": 25,
            # In shorter ones, those that came a moment ago may leave together: Kubernetes takes them for never counted.
            "scaleDownStabilizationSeconds": LEAVING_SECONDS,
        }
    )
    settle(site)
    with counted(site) as seen, steady_load(site, uploaders=CALM, rate=CALM_RATE, pause=CALM_PAUSE) as calm:
        start = time.monotonic()
        with steady_load(site, askers=BUSY, pause=0) as busy:
            eventually(lambda: any(by > 0 for _, by in steps(seen)), MORE_SECONDS, pause=0.5)
            grown = time.monotonic()
            settle(site)
        ended = time.monotonic()
        print(site.kubectl("top", "pods"))
        eventually(lambda: any(by < 0 for _, by in steps(seen)), LESS_SECONDS, pause=0.5)
        shrunk = time.monotonic()
        settle(site)
        time.sleep(3)  # of what the one that left was doing
    print(f"more after {grown - start:.0f} s of load, less {shrunk - ended:.0f} s after it: {steps(seen)}")
    print(f"busy: {busy}; all the time: {calm}")
    assert busy.refused == calm.refused == []
    assert calm.uploaded >= CALM
    assert seen.fewest >= FEWEST
    assert max(wanted for _, wanted in seen.wanted) <= MOST
    assert all(by == -1 for _, by in steps(seen) if by < 0)
