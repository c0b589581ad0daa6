"""The status: what is told of what is there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.operator.builders.cases import IMAGE, SMALLEST, server
from tusfleet_operator.reconcile import troubles
from tusfleet_operator.reconcile.conditions import Facts, settled, status
from tusfleet_operator.reconcile.gateways import REACHABLE, Answers
from tusfleet_operator.reconcile.telling import differs
from tusfleet_operator.reconcile.troubles import Trouble

THEN, NOW = "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"
ROUTE = {"exposure": {"httpRoute": {"parentRefs": [{"name": "public"}]}}}
INGRESS = {"exposure": {"ingress": {"hosts": ["up.example.org"]}}}


def gateways(wanted: int = 2, ready: int = 2, updated: int | None = None, **counted: Any) -> dict[str, Any]:
    counts = {"replicas": wanted, "readyReplicas": ready, "availableReplicas": ready, "observedGeneration": 1}
    counts["updatedReplicas"] = wanted if updated is None else updated
    return {"metadata": {"generation": 1}, "spec": {"replicas": wanted}, "status": {**counts, **counted}}


FACTS = Facts(server(SMALLEST), gateways(), gateways(1, 1), None, IMAGE, Answers(REACHABLE, REACHABLE))


def told(facts: Facts, kind: str) -> tuple[str, str]:
    found = next(one for one in status(facts, {}, NOW)["conditions"] if one["type"] == kind)
    return found["status"], found["reason"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({}, ("True", "GatewaysReady"), id="all is well"),
        pytest.param({"gateways": gateways(3, 1)}, ("True", "GatewaysReady"), id="one of three is enough to upload"),
        pytest.param({"gateways": None}, ("False", "NoGateways"), id="nothing yet"),
        pytest.param({"gateways": gateways(0, 0)}, ("False", "ScaledToZero"), id="none wanted"),
        pytest.param({"gateways": gateways(2, 0)}, ("False", "GatewaysNotReady"), id="none ready"),
        pytest.param({"gateways": {"metadata": {}, "spec": {}}}, ("False", "GatewaysNotReady"), id="just made"),
        pytest.param(
            {"troubles": (Trouble(troubles.SECRET_MISSING, "no secret"),), "gateways": None},
            ("False", "SecretMissing"),
            id="no Secret at first",
        ),
        pytest.param(
            {"troubles": (Trouble(troubles.SECRET_MISSING, "no secret"),)},
            ("True", "GatewaysReady"),
            id="no Secret any more: what runs goes on",
        ),
        pytest.param(
            {"troubles": (Trouble(troubles.FOREIGN_OBJECT, "not ours"),)}, ("False", "ForeignObject"), id="foreign"
        ),
        pytest.param(
            {"troubles": (Trouble(troubles.API_MISSING, "unknown kind", blocks=False),), "gateways": gateways(2, 0)},
            ("False", "GatewaysNotReady"),
            id="what does not block is not the reason",
        ),
    ],
)
def test_ready(change: dict[str, Any], expected: tuple[str, str]) -> None:
    assert told(replace(FACTS, **change), "Ready") == expected


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (Answers(trouble="Redis does not answer"), "Redis does not answer"),
        (Answers(trouble="starting", failed="no such image"), "no such image"),
        (Answers(), "None of 2 gateways is ready yet"),
    ],
)
def test_why_it_is_not_ready_is_told_in_the_words_of_the_gateways(answers: Answers, message: str) -> None:
    found = status(replace(FACTS, gateways=gateways(2, 0), answers=answers), {}, NOW)["conditions"][0]
    assert (found["type"], found["message"]) == ("Ready", message)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (gateways(), ("False", "Settled")),
        (gateways(2, 2, updated=1), ("True", "RollingOut")),
        (gateways(2, 1), ("True", "RollingOut")),
        (gateways(observedGeneration=0), ("True", "RollingOut")),
        (gateways(replicas=3), ("True", "RollingOut")),
        (gateways(0, 0), ("False", "Settled")),
    ],
)
def test_progressing(found: dict[str, Any], expected: tuple[str, str]) -> None:
    assert told(replace(FACTS, gateways=found), "Progressing") == expected
    assert settled(found) is (expected[0] == "False")


def test_degraded_tells_everything_that_needs_a_person() -> None:
    stuck = gateways(2, 1, conditions=[{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}])
    found = (Trouble(troubles.SECRET_MISSING, "no secret"), Trouble(troubles.REFUSED, "refused"))
    facts = replace(FACTS, gateways=stuck, troubles=found, answers=Answers(failed="it crashed"))
    condition = next(one for one in status(facts, {}, NOW)["conditions"] if one["type"] == "Degraded")
    assert (condition["status"], condition["reason"]) == ("True", "SecretMissing")
    assert all(words in condition["message"] for words in ("no secret", "refused", "in time", "it crashed"))
    assert told(FACTS, "Degraded") == ("False", "AsWanted")
    assert told(replace(FACTS, janitors=stuck), "Degraded") == ("True", "RolloutStuck")
    assert told(replace(FACTS, janitors=stuck), "Ready") == ("True", "GatewaysReady")


def parent(kind: str, truth: str, reason: str = "Because") -> dict[str, Any]:
    conditions = [{"type": kind, "status": truth, "reason": reason, "message": "so it is"}]
    return {"status": {"parents": [{"parentRef": {"name": "public"}, "conditions": conditions}]}}


@pytest.mark.parametrize(
    ("route", "expected", "ready"),
    [
        (None, ("Unknown", "NoRoute"), "True"),
        ({}, ("Unknown", "Pending"), "True"),
        (parent("Accepted", "True"), ("True", "Accepted"), "True"),
        (parent("Accepted", "False", "NoMatchingListenerHostname"), ("False", "NoMatchingListenerHostname"), "False"),
        (parent("ResolvedRefs", "False", "BackendNotFound"), ("False", "BackendNotFound"), "False"),
    ],
)
def test_what_the_gateway_says_of_the_route(route: Any, expected: tuple[str, str], ready: str) -> None:
    facts = replace(FACTS, server=server({**SMALLEST, **ROUTE}), route=route)
    assert told(facts, "RouteAccepted") == expected
    assert told(facts, "Ready")[0] == ready


def test_a_cluster_without_the_gateway_api_is_told() -> None:
    facts = replace(
        FACTS, server=server({**SMALLEST, **ROUTE}), troubles=(Trouble(troubles.API_MISSING, "unknown", blocks=False),)
    )
    assert told(facts, "RouteAccepted") == ("False", "ApiMissing")
    assert told(facts, "Ready") == ("False", "RouteNotAccepted")


@pytest.mark.parametrize(
    ("ingress", "expected"),
    [
        ({}, ("Unknown", "NoAddress")),
        ({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}, ("True", "HasAddress")),
    ],
)
def test_an_ingress_without_an_address_may_be_fine(ingress: Any, expected: tuple[str, str]) -> None:
    facts = replace(FACTS, server=server({**SMALLEST, **INGRESS}), route=ingress)
    assert told(facts, "RouteAccepted") == expected
    assert told(facts, "Ready")[0] == "True"


def test_nothing_is_told_of_a_route_that_nobody_asked_for() -> None:
    assert "RouteAccepted" not in {one["type"] for one in status(FACTS, {}, NOW)["conditions"]}


def test_it_tells_the_numbers_and_where() -> None:
    found = status(replace(FACTS, gateways=gateways(3, 2, updated=1)), {}, NOW)
    assert (found["replicas"], found["readyReplicas"], found["updatedReplicas"]) == (3, 2, 1)
    assert found["url"] == "http://uploads.apps.svc/files"
    assert (found["image"], found["observedGeneration"]) == (IMAGE, 1)
    assert found["selector"] == (
        "app.kubernetes.io/name=tusfleet,app.kubernetes.io/instance=uploads,app.kubernetes.io/component=gateway"
    )


def test_every_condition_tells_its_generation() -> None:
    assert {one["observedGeneration"] for one in status(FACTS, {}, NOW)["conditions"]} == {1}


def test_the_time_of_a_condition_changes_only_when_it_turns() -> None:
    before = status(FACTS, {}, THEN)
    same = status(FACTS, before, NOW)
    assert same == before
    turned = status(replace(FACTS, gateways=gateways(2, 0)), before, NOW)
    times = {one["type"]: one["lastTransitionTime"] for one in turned["conditions"]}
    assert times["Ready"] == times["Progressing"] == NOW
    assert times["Degraded"] == times["Paused"] == THEN


def test_only_what_differs_is_written() -> None:
    found = status(FACTS, {}, NOW)
    assert not differs(found, found)
    others = {**found, "extra": 1, "conditions": [*found["conditions"], {"type": "Theirs", "status": "True"}]}
    assert not differs(others, found)
    assert differs({**found, "replicas": 7}, found)
    assert differs({**found, "conditions": found["conditions"][1:]}, found)
    left_over = {**found, "conditions": [*found["conditions"], {"type": "RouteAccepted", "status": "True"}]}
    assert differs(left_over, found)


def test_paused_is_told() -> None:
    assert told(replace(FACTS, paused=True), "Paused") == ("True", "Paused")
    assert told(FACTS, "Paused") == ("False", "NotPaused")
