"""The chart without an operator makes of values what the operator makes of the same spec."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.cluster.charts.helms import HELMS, rendered
from tests.unit.operator.builders.cases import IMAGE, SPECS, case, server
from tusfleet_operator import builders, names
from tusfleet_operator.builders import Observed

OF_OPERATOR_ALONE = ("deletionPolicy", "updatePolicy")

OF_CHART = {"Pod"}
"""What `helm test` runs is nothing that an operator makes."""


def values(name: str) -> dict[str, Any]:
    """The spec of a case as values; the image that is the operator's default stands in them."""
    repository, _, tag = IMAGE.rpartition(":")
    spec = {key: value for key, value in copy.deepcopy(SPECS[name]).items() if key not in OF_OPERATOR_ALONE}
    return {**spec, "image": {"repository": repository, "tag": tag, **spec.get("image", {})}}


def by_identity(manifests: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(found["kind"], found["metadata"]["name"]): found for found in manifests}


def pair(helm: str, name: str) -> tuple[dict[tuple[str, str], Any], dict[tuple[str, str], Any]]:
    """What the chart makes, and what the operator makes."""
    made = [found for found in rendered(helm, "tusfleet", values(name)) if found["kind"] not in OF_CHART]
    return by_identity(made), by_identity(builders.build(case(name), Observed(default_image=IMAGE)))


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize("name", SPECS)
def test_it_makes_the_same_objects(helm: str, name: str) -> None:
    made, wanted = pair(helm, name)
    assert set(made) == set(wanted)


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize("name", SPECS)
def test_pod_templates_are_the_same(helm: str, name: str) -> None:
    made, wanted = pair(helm, name)
    templates = {identity: found["spec"]["template"] for identity, found in made.items() if identity[0] == "Deployment"}
    assert len(templates) >= 2
    assert templates == {identity: wanted[identity]["spec"]["template"] for identity in templates}


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize("name", SPECS)
def test_everything_else_is_the_same_but_for_whose_it_is(helm: str, name: str) -> None:
    made, wanted = pair(helm, name)
    for identity, found in made.items():
        theirs = copy.deepcopy(wanted[identity])
        # The number of gateways is applied by the operator on its own; see `names.REPLICAS_MANAGER`.
        replicas = found.get("spec", {}).get("replicas")
        if identity == ("Deployment", "uploads-gateway"):
            assert (replicas is None) == ("autoscaling" in SPECS[name])
            assert replicas in {None, SPECS[name].get("replicas", 2)}
            found["spec"].pop("replicas", None)
        ours, labels = found["metadata"].pop("labels"), theirs["metadata"].pop("labels")
        theirs["metadata"].pop("ownerReferences", None)
        assert found == theirs, identity
        for key in (names.MANAGED_BY, names.OWNER):
            del labels[key]
        assert labels.items() <= ours.items()


@pytest.mark.parametrize("helm", HELMS)
def test_quantities_and_durations_mean_the_same(helm: str) -> None:
    spec: dict[str, Any] = {
        **SPECS["smallest"],
        "gateway": {"maxSize": "1.5G", "bufferMemory": 2**33, "maxStoreSize": "5T", "expireAfter": "1h30m"},
        "drainTimeout": "1m1500ms",
    }
    made = by_identity(rendered(helm, "tusfleet", spec))
    wanted = by_identity(builders.build(server(spec), Observed(default_image=IMAGE)))
    configured = next(identity for identity in wanted if identity[0] == "ConfigMap")
    assert made[configured]["data"] == wanted[configured]["data"]
    gateway = ("Deployment", "uploads-gateway")
    pod, theirs = (found[gateway]["spec"]["template"]["spec"] for found in (made, wanted))
    assert pod["terminationGracePeriodSeconds"] == theirs["terminationGracePeriodSeconds"] == 62
    assert pod["containers"][0]["resources"] == theirs["containers"][0]["resources"]
