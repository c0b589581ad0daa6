"""Under a steady load of uploads, things die and change: all uploads end whole, and clients see what they can retry."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import pytest

from tests.cluster.story.conftest import NAMESPACE
from tests.cluster.story.events import CHANGED_SECONDS, GATEWAY, TIMEOUT, ready, serving, settle, survive
from tests.cluster.story.site import Site
from tests.servers import eventually

pytestmark = pytest.mark.long


def kill(site: Site, namespace: str, labels: dict[str, str]) -> Callable[[], bool]:
    """Have one pod gone at once, without any grace; gives what tells whether there is another one for it."""
    before = ready(site, namespace, labels)
    name = sorted(before)[0]
    site.cluster.plane.kubectl("delete", "pod", name, "-n", namespace, "--grace-period=0", "--force")

    def replaced() -> bool:
        now = ready(site, namespace, labels)
        return name not in now and len(now) == len(before)

    return replaced


def changed(condition: Callable[[], bool]) -> None:
    eventually(condition, CHANGED_SECONDS, pause=0.2)


def roll(site: Site) -> None:
    before = serving(site)
    site.kubectl("annotate", "tusserver", "uploads", f"tusfleet.dev/restarted-at={time.time()}", "--overwrite")
    changed(lambda: len(serving(site) - before) == len(before))
    settle(site)
    assert serving(site).isdisjoint(before)


def kill_gateway(site: Site) -> None:
    changed(kill(site, site.home, GATEWAY))
    settle(site)


def serve(site: Site, count: int) -> bool:
    """Whether there are so many gateways."""
    return len(serving(site)) == count


def scale(site: Site) -> None:
    for count in (4, 1, 2):
        site.kubectl("scale", "tusserver", "uploads", f"--replicas={count}")
        changed(functools.partial(serve, site, count))
        settle(site)


def kill_redis(site: Site) -> None:
    changed(kill(site, site.stores, {"app": "redis"}))
    settle(site)


def kill_minio(site: Site) -> None:
    changed(kill(site, site.stores, {"app": "minio"}))
    settle(site)


def kill_operator(site: Site) -> None:
    """And a gateway meanwhile, which does not need it to be replaced."""
    replaced = kill(site, NAMESPACE, {"app.kubernetes.io/name": "tusfleet-operator"})
    kill_gateway(site)
    changed(replaced)


@pytest.mark.timeout(TIMEOUT)
@pytest.mark.parametrize("happen", [roll, kill_gateway, scale, kill_redis, kill_minio, kill_operator])
def test_uploads_survive(site: Site, happen: Callable[[Site], None]) -> None:
    survive(site, happen)
