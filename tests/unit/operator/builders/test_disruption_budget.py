from __future__ import annotations

from typing import Any

import pytest

from tests.unit.operator.builders.cases import OBSERVED, SMALLEST, server
from tests.unit.operator.builders.golden import CASES, assert_golden
from tusfleet_operator.builders import disruption_budget


@pytest.mark.parametrize("name", CASES["disruption_budget"])
def test_golden(name: str) -> None:
    assert_golden("disruption_budget", name)


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        ({}, 1),
        ({"replicas": 2}, 1),
        ({"replicas": 1}, 0),
        ({"replicas": 0}, 0),
        ({"autoscaling": {"minReplicas": 1, "maxReplicas": 4}}, 0),
        ({"autoscaling": {"maxReplicas": 4}}, 1),
    ],
)
def test_only_above_one_gateway(spec: dict[str, Any], count: int) -> None:
    """Or the node of a single one could never be drained."""
    assert len(disruption_budget.build(server({**SMALLEST, **spec}), OBSERVED)) == count
