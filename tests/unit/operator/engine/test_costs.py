from __future__ import annotations

import pytest
from prometheus_client import generate_latest

from tusfleet.observability.metrics import Metrics
from tusfleet_operator.engine.costs import cost


@pytest.mark.parametrize(("connections", "expected"), [(0, "0"), (1, "1"), (3, "2"), (1000, "512"), (1024, "1024")])
def test_a_gateway_costs_what_it_has_to_do_as_it_tells_it_itself(connections: int, expected: str) -> None:
    metrics = Metrics()
    metrics.connections.set(connections)
    assert cost(generate_latest(metrics.registry).decode()) == expected


@pytest.mark.parametrize("page", [None, "", "<html>", "other_metric 1"])
def test_who_does_not_tell_gets_no_cost(page: str | None) -> None:
    assert cost(page) is None
