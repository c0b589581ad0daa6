"""What the operator asks for: nothing in a steady state, a bounded number of calls otherwise."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest

from tests.cluster.operator.operators import OperatorProcess, an_operator, permit
from tests.cluster.operator.sites import Site
from tests.testbed.api_faults import ApiProxy
from tests.testbed.controlplane import ControlPlane
from tests.unit.operator.builders.cases import SPECS
from tusfleet_operator.cluster.kinds import DEPLOYMENT, TUSSERVER

QUIET_SECONDS = 60.0

MANY = 200
CHILDREN = 7
"""Of the smallest TusServer."""

MAKING = 2 * CHILDREN + 12
"""Calls to make one: each child is looked for and applied; the number of gateways, what is told in turn, and events."""

KNOWING = CHILDREN + 4
"""Calls to find one as it is, after a start: each child is applied, and nothing is written."""

BASE = 200
"""Calls that a start needs, and that watches and listing every five seconds need besides."""


@pytest.mark.timeout(300)
def test_nothing_is_written_in_a_steady_state(site: Site, own_operator: OperatorProcess, api_proxy: ApiProxy) -> None:
    """For a minute, with a dozen complete looks at everything, while others write beside it."""
    names = [name for name in SPECS if name != "dev"]
    for name in names:
        site.make(name, name)
    for name in names:
        site.deployment(f"{name}-gateway")
    own_operator.idle()
    for name in names:
        for component in ("gateway", "janitor"):
            site.set_ready(f"{name}-{component}")
    for name in names:
        site.eventually(partial(lambda name: site.condition("Progressing", name)[0] == "False", name))
    own_operator.idle()
    api_proxy.clear()
    looks = own_operator.metric("tusfleet_operator_reconciliations_total")
    end, number = time.monotonic() + QUIET_SECONDS, 0
    while time.monotonic() < end:
        number += 1
        others(site, number)
        time.sleep(1)
    assert [str(one) for one in api_proxy.writes(besides={"leases"})] == []
    # Only what tells that there is nothing to do: lists, discovery, the Lease; and watches that go on.
    assert {one.verb for one in api_proxy.requests()} <= {"get", "list", "watch", "update"}
    assert {one.resource for one in api_proxy.requests("get")} <= {"leases", "", "secrets"}
    assert own_operator.metric("tusfleet_operator_reconciliations_total") - looks >= 10 * len(names)


def others(site: Site, number: int) -> None:
    """What goes on in a cluster: statuses, annotations, Secrets that nobody reads."""
    site.api.patch("v1", "Service", "smallest", {"metadata": {"annotations": {"seen": str(number)}}}, site.home)
    condition = {"type": "Available", "status": "True", "reason": "So", "message": f"looked {number} times"}
    site.api.set_status("apps/v1", "Deployment", "smallest-gateway", {"conditions": [condition]}, site.home)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "unread"}, "stringData": {"n": str(number)}}
    site.api.apply(secret, site.home)
    site.api.patch("v1", "Secret", "minio", {"metadata": {"labels": {"seen": str(number)}}}, site.home)


@pytest.mark.timeout(600)
def test_two_hundred_tusservers_cost_a_bounded_number_of_calls(
    plane: ControlPlane, site: Site, api_proxy: ApiProxy, tmp_path: Path
) -> None:
    access = api_proxy.access(permit(plane, site.home))
    for number in range(MANY):
        site.make(name=f"uploads-{number}", secrets=number == 0)
    flags = ("--watch-namespace", site.home)
    api_proxy.clear()
    began = time.monotonic()
    with an_operator(access, site.home, tmp_path, *flags) as first:
        site.eventually(lambda: count(site) == 2 * MANY, 300)
        first.idle()
        print(f"made {MANY} TusServers in {time.monotonic() - began:.0f} s with {api_proxy.counts()}")
    assert len(api_proxy.requests()) <= MAKING * MANY + BASE
    versions = {one["metadata"]["name"]: one["metadata"]["resourceVersion"] for one in everything(site)}
    api_proxy.clear()
    began = time.monotonic()
    with an_operator(access, site.home, tmp_path, *flags) as second:
        site.eventually(lambda: second.metric("tusfleet_operator_reconciliations_total") >= MANY, 300)
        second.idle()
        print(f"looked at them after a start in {time.monotonic() - began:.0f} s with {api_proxy.counts()}")
    assert len(api_proxy.requests()) <= KNOWING * MANY + BASE
    assert versions == {one["metadata"]["name"]: one["metadata"]["resourceVersion"] for one in everything(site)}


def count(site: Site) -> int:
    return len(site.api.objects(DEPLOYMENT.api_version, DEPLOYMENT.kind, site.home))


def everything(site: Site) -> list[dict[str, dict[str, str]]]:
    kinds = (TUSSERVER, DEPLOYMENT)
    return [one for kind in kinds for one in site.api.objects(kind.api_version, kind.kind, site.home)]
