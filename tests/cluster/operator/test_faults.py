"""Whatever happens on the way to the API server, and whenever the operator dies: it ends as it was to be."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.operator.operators import IMAGE, OperatorProcess, an_operator, permit
from tests.cluster.operator.sites import Site, essence, named
from tests.testbed.api_faults import ApiProxy
from tests.testbed.api_rules import (
    ANY,
    CONFLICT,
    GONE,
    INTERNAL_ERROR,
    TOO_MANY_REQUESTS,
    UNAUTHORIZED,
    UNAVAILABLE,
    ApiRule,
    CutWatch,
    Delay,
    Fault,
    Hold,
    LoseReply,
    Refuse,
    Reset,
    WatchError,
)
from tests.testbed.controlplane import ControlPlane
from tests.unit.operator.builders.cases import SMALLEST
from tusfleet_operator.builders import Observed, build
from tusfleet_operator.builders.settings import config_hash
from tusfleet_operator.builders.settings import name as settings_name
from tusfleet_operator.cluster.kinds import AUTOSCALER, DEPLOYMENT
from tusfleet_operator.resource import TusServer

COUNT = 3
"""TusServers that meet each fault together."""

WRITES = ("create", "update", "patch", "delete")


def is_as_wanted(site: Site, name: str) -> bool:
    wanted = {named(child) for child in build(TusServer.read(site.server(name)), Observed(IMAGE))}
    return {named(child) for child in site.children(name)} == wanted and site.condition("Degraded", name)[
        1
    ] == "AsWanted"


def made_in(site: Site, *names: str) -> None:
    for name in names:
        site.make("production", name)


def as_wanted(site: Site, *names: str, seconds: float = 60.0) -> None:
    for name in names:
        site.eventually(partial(is_as_wanted, site, name), seconds)


FAULTS: dict[str, tuple[Any, Fault]] = {
    "conflicts": (WRITES, CONFLICT),
    "too many requests": (ANY, TOO_MANY_REQUESTS),
    "internal errors": (ANY, INTERNAL_ERROR),
    "an API server that is starting": (ANY, UNAVAILABLE),
    "credentials that ran out": (ANY, UNAUTHORIZED),
    "connections that are reset": (ANY, Reset()),
    "replies that are lost": (WRITES, LoseReply()),
    "writes that are done and refused": (WRITES, Refuse(500, "InternalError", after_success=True)),
    "slow answers": (ANY, Delay(0.3)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_many_requests_meet_a_fault(site: Site, own_operator: OperatorProcess, api_proxy: ApiProxy, fault: str) -> None:
    verbs, what = FAULTS[fault]
    # Who is told to wait waits with everything.
    probability = 0.1 if what is TOO_MANY_REQUESTS else 0.34
    rule = api_proxy.rule(verbs, what, times=None, probability=probability, seed=7)
    names = [f"uploads-{number}" for number in range(COUNT)]
    made_in(site, *names)
    as_wanted(site, *names)
    assert len(rule.struck) >= COUNT
    api_proxy.clear()
    own_operator.idle()
    assert own_operator.running


WATCHES: dict[str, Fault] = {
    "ends": CutWatch(after=1),
    "breaks in the middle of an event": CutWatch(after=1, cleanly=False),
    "is too old": WatchError(after=1, error=GONE),
    "is refused as too old": GONE,
    "tells an error of the server": WatchError(after=1, error=INTERNAL_ERROR),
    "is refused": INTERNAL_ERROR,
}


@pytest.mark.parametrize("fault", WATCHES)
def test_a_watch_ends_again_and_again(
    site: Site, own_operator: OperatorProcess, api_proxy: ApiProxy, fault: str
) -> None:
    rule = api_proxy.rule("watch", WATCHES[fault], times=None, probability=0.2, seed=3)
    api_proxy.cut_watches()
    for number in range(COUNT):
        name = f"uploads-{number}"
        made_in(site, name)
        as_wanted(site, name)
        site.api.delete("v1", "Service", name, site.home)
        site.eventually(partial(site.api.get, "v1", "Service", name, site.home))
    site.eventually(lambda: rule.struck)
    api_proxy.clear()
    made_in(site, "last")
    as_wanted(site, "last")


def test_what_is_deleted_while_nothing_is_watched_is_noticed(
    site: Site, own_operator: OperatorProcess, api_proxy: ApiProxy
) -> None:
    made_in(site, "uploads")
    as_wanted(site, "uploads")
    own_operator.idle()
    with api_proxy.down():
        for child in site.children():
            site.api.delete(child["apiVersion"], child["kind"], child["metadata"]["name"], site.home)
    as_wanted(site, "uploads")


def test_a_connection_that_is_cut_or_silent_is_taken_up_again(
    site: Site, own_operator: OperatorProcess, api_proxy: ApiProxy
) -> None:
    made_in(site, "before")
    as_wanted(site, "before")
    with api_proxy.down():
        made_in(site, "cut")
        own_operator.page("/healthz")
    as_wanted(site, "cut", seconds=90)
    with api_proxy.silence():
        made_in(site, "silent")
    as_wanted(site, "silent", seconds=90)
    assert own_operator.running
    answer = own_operator.page("/healthz")
    assert answer is not None
    assert answer.status_code == 200


def test_an_operator_that_starts_without_an_api_server_waits_for_it(
    plane: ControlPlane, site: Site, api_proxy: ApiProxy, tmp_path: Path
) -> None:
    access = api_proxy.access(permit(plane, site.home))
    with api_proxy.down():
        made_in(site, "uploads")
        starting = an_operator(access, site.home, tmp_path, "--watch-namespace", site.home, wait=False)
        process = starting.__enter__()
        site.eventually(lambda: process.page("/healthz"))
        answer = process.page("/readyz")
        assert answer is not None
        assert answer.status_code == 503
    try:
        as_wanted(site, "uploads")
    finally:
        starting.__exit__(None, None, None)


def test_the_server_is_given_the_time_that_it_asks_for(
    site: Site, own_operator: OperatorProcess, api_proxy: ApiProxy
) -> None:
    rule = api_proxy.rule("patch", Refuse(429, "TooManyRequests", retry_after=3), path="/deployments/")
    made_in(site, "uploads")
    first = rule.wait()
    as_wanted(site, "uploads")
    following = [one for one in api_proxy.requests("patch", path="/deployments/") if one.started > first.started]
    assert following[0].started - first.started >= 3


BEFORE = {**SMALLEST, "replicas": 3, "networkPolicy": {}}
CHANGE: dict[str, Any] = {
    "spec": {
        "replicas": None,
        "networkPolicy": None,
        "autoscaling": {"minReplicas": 2, "maxReplicas": 9},
        "gateway": {"maxSize": "7Gi"},
    }
}
"""Makes, changes and deletes children, and hands the number of gateways over."""


@pytest.mark.timeout(600)
def test_killed_after_any_write_another_one_ends_the_work(
    plane: ControlPlane, site: Site, api_proxy: ApiProxy, tmp_path: Path
) -> None:
    """Each write of a first look and of a change in turn is done, and not known of when the operator dies (SIGKILL)."""
    access = api_proxy.access(permit(plane, site.home))
    flags = ("--watch-namespace", site.home)
    with an_operator(access, site.home, tmp_path, *flags) as whole:
        begin(site, "whole")
        site.eventually(lambda: has_begun(site, "whole"))
        site.change(CHANGE, "whole")
        site.eventually(lambda: has_changed(site, "whole"))
        whole.idle()
    expected = described(site, "whole")
    for number in itertools.count(1):
        name = f"killed-{number:02}"
        held = api_proxy.rule(WRITES, Hold("after"), path=f"/{name}(-|/|$)", at=number)
        with an_operator(access, site.home, tmp_path, *flags) as victim:
            begin(site, name)
            site.eventually(partial(either, held, site, name, has_begun))
            site.change(CHANGE, name)
            site.eventually(partial(either, held, site, name, has_changed))
            if not held.struck:
                break
            victim.kill()
        held.remove()
        with an_operator(access, site.home, tmp_path, *flags) as survivor:
            site.eventually(partial(has_changed, site, name))
            survivor.idle()
        assert described(site, name) == expected, f"killed after write {number}: {held.struck[0]}"
    print(f"killed after each of {number - 1} writes")
    assert number > 15


def begin(site: Site, name: str) -> None:
    site.make(BEFORE, name)


def either(held: ApiRule, site: Site, name: str, happened: Callable[[Site, str], bool]) -> bool:
    return bool(held.struck) or happened(site, name)


def has_begun(site: Site, name: str) -> bool:
    found = site.get(DEPLOYMENT, f"{name}-gateway")
    is_scaled = found is not None and found["spec"]["replicas"] == 3
    return is_scaled and site.condition("Degraded", name)[1] == "AsWanted"


def has_changed(site: Site, name: str) -> bool:
    body = site.server(name)
    kinds = {child["kind"] for child in site.children(name)}
    is_told = body.get("status", {}).get("configHash") == config_hash(TusServer.read(body))
    is_seen = body.get("status", {}).get("observedGeneration") == body["metadata"]["generation"]
    return is_told and is_seen and AUTOSCALER.kind in kinds and "NetworkPolicy" not in kinds


def described(site: Site, name: str) -> dict[str, Any]:
    """Every child, without what differs from one TusServer to the next; of settings those of now."""
    current = settings_name(TusServer.read(site.server(name)))
    found = {}
    for child in site.children(name):
        if child["kind"] != "ConfigMap" or child["metadata"]["name"] == current:
            text = json.dumps(essence(child)).replace(current, "SETTINGS").replace(name, "NAME")
            known = json.loads(text)
            known["metadata"]["ownerReferences"][0].pop("uid")
            known.get("spec", {}).pop("clusterIP", None)
            known.get("spec", {}).pop("clusterIPs", None)
            if child["kind"] == "Deployment" and name in child["metadata"]["name"]:
                # The fewest of the autoscaler, or the number that it has found.
                assert known["spec"].pop("replicas") in {1, 2, 3}
            found[named(child).replace(current, "SETTINGS").replace(name, "NAME")] = known
    return found
