"""Mistakes in values: refused before anything is installed, by a message that names the field or says what to do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.charts.helms import refusal
from tests.cluster.operator.test_resource import MISTAKES
from tests.unit.operator.builders.cases import SMALLEST

OF_OPERATOR: list[tuple[dict[str, Any], str]] = [
    ({"replica": 3}, "replica"),
    ({"replicas": "two"}, "/replicas"),
    ({"replicas": -1}, "/replicas"),
    ({"image": {"digest": "sha256:short"}}, "/image/digest"),
    ({"image": {"repository": "a b"}}, "/image/repository"),
    ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
    ({"watchNamespaces": ["Not A Name"]}, "/watchNamespaces/0"),
    ({"watchNamespaces": ["red", "red"]}, "/watchNamespaces"),
    ({"crds": {"enabled": "yes"}}, "/crds/enabled"),
    ({"operator": {"workers": 0}}, "/operator/workers"),
    ({"operator": {"logLevel": "loud"}}, "/operator/logLevel"),
    ({"monitoring": {"serviceMonitor": {"interval": "often"}}}, "/monitoring/serviceMonitor/interval"),
    ({"tests": {"uploadUrl": "uploads"}}, "/tests/uploadUrl"),
    ({"fullnameOverride": "x" * 47}, "/fullnameOverride"),
]


@pytest.mark.parametrize(("values", "told"), OF_OPERATOR, ids=[str(values)[:60] for values, _ in OF_OPERATOR])
def test_mistakes_about_the_operator_are_refused(values: dict[str, Any], told: str) -> None:
    assert told in refusal("helm4", "tusfleet-operator", values)


# Of these the chart knows nothing: they say what an operator does.
ABOUT_UPLOADS = [(spec, told) for spec, told in MISTAKES if "deletionPolicy" not in spec]


SAID_OTHERWISE = {
    "fields of spec.storage.s3": "are fields of storage.s3",
    "settings of the gateways are fields of spec.gateway, spec.storage.s3 and spec.redis": "are fields of gateway",
    "are the operator's": "are the chart's",
}
"""What is said of a spec, in words that fit values."""


@pytest.mark.parametrize(("values", "told"), ABOUT_UPLOADS, ids=[told for _, told in ABOUT_UPLOADS])
def test_what_no_tusserver_may_say_no_values_may(values: dict[str, Any], told: str) -> None:
    """A rule between fields is told by the same sentence; what is wrong by itself is named by its place."""
    said = refusal("helm4", "tusfleet", values)
    assert any(text in said for text in (told, SAID_OTHERWISE.get(told, told), *places(values))), said


def places(values: dict[str, Any]) -> list[str]:
    """How a schema names what differs from the smallest values."""
    differing = [name for name in {*values, *SMALLEST} if values.get(name) != SMALLEST.get(name)]
    return [
        text
        for name in differing
        for text in (f"at '/{name}", f"missing property '{name}'", f"additional properties '{name}'")
    ]


@pytest.mark.parametrize("tool", ["helm3", "helm4"])
def test_nothing_at_all_is_refused_by_both(tool: str) -> None:
    said = refusal(tool, "tusfleet", {})
    assert "storage" in said
    assert "redis" in said


def test_a_rule_is_told_by_its_sentence() -> None:
    said = refusal("helm3", "tusfleet", {**SMALLEST, "replicas": 2, "autoscaling": {"maxReplicas": 4}})
    assert "replicas and autoscaling both say how many gateways there are; leave one of them out" in said
