"""What happens to a TusServer under load is made of these; what clients saw of it is printed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.cluster.story.load import Seen, steady_load
from tests.cluster.story.site import Site
from tests.testbed.kube_api import Object
from tusfleet_operator import names

SETTLED = "--timeout=180s"

TIMEOUT = 900
"""Seconds for one test: it waits for Redis and MinIO, for gateways, and for their namespaces to be gone."""

CHANGED_SECONDS = 180.0

LOOK_SECONDS = 0.2

GATEWAY = names.selector("uploads", names.GATEWAY)
"""Labels of the pods of gateways."""


@dataclass
class Counted:
    """How many gateways there were.

    Parameters:
        fewest: of those that took new connections, at any moment.
        wanted: each number of them that was asked for, in order, and when.
    """

    fewest: int = 1000
    wanted: list[tuple[float, int]] = field(default_factory=list)


def survive(site: Site, happen: Callable[[Site], None]) -> Seen:
    """Let something happen under a steady load: all uploads end whole, and clients see what they can retry."""
    settle(site)
    with steady_load(site) as seen:
        time.sleep(3)  # of nothing but load
        happen(site)
        time.sleep(3)  # and after it
    print(f"{happen.__name__}: {seen}")
    assert seen.refused == []
    assert seen.uploaded >= 2
    return seen


def settle(site: Site) -> None:
    """Wait until everything is as it was asked for."""
    site.kubectl("rollout", "status", "deployment/uploads-gateway", SETTLED)
    site.kubectl("wait", "--for=condition=Ready", "tusserver/uploads", SETTLED)


def pods(site: Site, namespace: str, labels: dict[str, str]) -> list[Object]:
    """Those with these labels."""
    found = site.cluster.plane.api.objects("v1", "Pod", namespace)
    return [pod for pod in found if labels.items() <= pod["metadata"]["labels"].items()]


def ready(site: Site, namespace: str, labels: dict[str, str]) -> set[str]:
    """Names of those with these labels that new connections are led to."""
    return {
        str(pod["metadata"]["name"])
        for pod in pods(site, namespace, labels)
        if "deletionTimestamp" not in pod["metadata"] and condition(pod, "Ready") == "True"
    }


def serving(site: Site) -> set[str]:
    """Names of the gateways that take new uploads."""
    return ready(site, site.home, GATEWAY)


def uids(found: list[Object]) -> set[str]:
    """A pod that is replaced under the same name has another one."""
    return {str(pod["metadata"]["uid"]) for pod in found}


def condition(pod: Object, name: str) -> str | None:
    """Its status; None as long as there is none."""
    found = {one["type"]: str(one["status"]) for one in pod["status"].get("conditions", [])}
    return found.get(name)


@contextmanager
def counted(site: Site) -> Iterator[Counted]:
    """Count the gateways for as long as the block lasts."""
    seen, stop = Counted(), threading.Event()
    looking = threading.Thread(target=_count, args=(site, seen, stop))
    looking.start()
    try:
        yield seen
    finally:
        stop.set()
        looking.join()


def _count(site: Site, seen: Counted, stop: threading.Event) -> None:
    while not stop.wait(LOOK_SECONDS):
        seen.fewest = min(seen.fewest, len(serving(site)))
        found = site.cluster.plane.api.get("apps/v1", "Deployment", "uploads-gateway", site.home)
        assert found is not None
        wanted = int(found["spec"]["replicas"])
        if not seen.wanted or seen.wanted[-1][1] != wanted:
            seen.wanted.append((time.monotonic(), wanted))
