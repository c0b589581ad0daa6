from __future__ import annotations

from typing import Any

import pytest

from tests.unit.operator.builders.cases import OBSERVED, SMALLEST, case, server
from tests.unit.operator.builders.golden import CASES, assert_golden
from tusfleet_operator.builders import network_policy


def policies(given: dict[str, Any]) -> dict[str, Any]:
    found = network_policy.build(server({**SMALLEST, "networkPolicy": given}), OBSERVED)
    return {manifest["metadata"]["name"].removeprefix("uploads-"): manifest["spec"] for manifest in found}


@pytest.mark.parametrize("name", CASES["network_policy"])
def test_golden(name: str) -> None:
    assert_golden("network_policy", name)


def test_there_is_none_unless_it_is_asked_for() -> None:
    assert network_policy.build(case("smallest"), OBSERVED) == []


def test_an_empty_one_bounds_the_ports() -> None:
    found = policies({})
    assert found["gateway"]["ingress"] == [
        {"ports": [{"port": 8080, "protocol": "TCP"}]},
        {"ports": [{"port": 9090, "protocol": "TCP"}]},
    ]
    assert found["janitor"]["ingress"] == [{"ports": [{"port": 9090, "protocol": "TCP"}]}]
    assert "egress" not in found["gateway"]


def test_an_empty_list_lets_nobody_in() -> None:
    """An empty `from` would let everybody in: there is no rule at all."""
    found = policies({"ingressFrom": [], "metricsFrom": []})
    assert "ingress" not in {*found["gateway"], *found["janitor"]}
    assert found["gateway"]["policyTypes"] == ["Ingress"]


def test_who_may_connect_to_nobody_still_finds_names() -> None:
    found = policies({"egressTo": []})
    assert found["gateway"]["egress"] == [{"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}]
    assert found["gateway"]["policyTypes"] == ["Ingress", "Egress"]


def test_a_selector_that_selects_everything_stays() -> None:
    found = policies({"ingressFrom": [{"namespaceSelector": {}}]})
    assert found["gateway"]["ingress"][0]["from"] == [{"namespaceSelector": {}}]
