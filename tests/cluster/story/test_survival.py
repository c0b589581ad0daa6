"""Under a steady load of uploads, things die and change: all uploads end whole, and clients see what they can retry."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.cluster.story.load import steady_load
from tests.cluster.story.site import Site
from tests.testbed.kube_api import Object

SETTLED = "--timeout=180s"

TIMEOUT = 900


def pods(site: Site, namespace: str, labels: dict[str, str]) -> list[Object]:
    """Those with these labels."""
    found = site.cluster.plane.api.objects("v1", "Pod", namespace)
    return [pod for pod in found if labels.items() <= pod["metadata"]["labels"].items()]


def kill(site: Site, namespace: str, labels: dict[str, str]) -> None:
    """Have one pod gone at once, without any grace."""
    name = pods(site, namespace, labels)[0]["metadata"]["name"]
    site.cluster.plane.kubectl("delete", "pod", name, "-n", namespace, "--grace-period=0", "--force")


def settle(site: Site) -> None:
    site.kubectl("rollout", "status", "deployment/uploads-gateway", SETTLED)
    site.kubectl("wait", "--for=condition=Ready", "tusserver/uploads", SETTLED)


def roll(site: Site) -> None:
    site.kubectl("annotate", "tusserver", "uploads", f"tusfleet.dev/restarted-at={time.time()}", "--overwrite")
    time.sleep(2)  # until the operator has seen it
    settle(site)


def kill_gateway(site: Site) -> None:
    kill(site, site.home, {"app.kubernetes.io/component": "gateway"})
    settle(site)


def scale(site: Site) -> None:
    for count in (4, 1, 2):
        site.kubectl("scale", "tusserver", "uploads", f"--replicas={count}")
        time.sleep(2)  # until the operator has seen it
        settle(site)


def kill_redis(site: Site) -> None:
    kill(site, site.stores, {"app": "redis"})
    site.cluster.plane.kubectl("rollout", "status", "deployment/redis", "-n", site.stores, SETTLED)
    settle(site)


def kill_minio(site: Site) -> None:
    kill(site, site.stores, {"app": "minio"})
    site.cluster.plane.kubectl("rollout", "status", "deployment/minio", "-n", site.stores, SETTLED)
    settle(site)


def kill_operator(site: Site) -> None:
    kill(site, "tusfleet-system", {"app.kubernetes.io/name": "tusfleet-operator"})
    kill_gateway(site)
    place = "deployment/tusfleet-operator"
    site.cluster.plane.kubectl("rollout", "status", place, "-n", "tusfleet-system", SETTLED)


@pytest.mark.timeout(TIMEOUT)
@pytest.mark.parametrize("happen", [roll, kill_gateway, scale, kill_redis, kill_minio, kill_operator])
def test_uploads_survive(site: Site, happen: Callable[[Site], None]) -> None:
    settle(site)
    with steady_load(site) as seen:
        time.sleep(3)  # of nothing but load
        happen(site)
        time.sleep(3)  # and after it
    print(f"{happen.__name__}: {seen.uploaded} files, {seen.asked} small uploads, interrupted for {seen.gap:.2f} s")
    assert seen.refused == []
    assert seen.uploaded >= 2
