from __future__ import annotations

import pytest

from tests.unit.operator.builders.cases import OBSERVED, SMALLEST, case, server
from tests.unit.operator.builders.golden import CASES, assert_golden
from tusfleet_operator.builders import autoscaler, gateway


@pytest.mark.parametrize("name", CASES["autoscaler"])
def test_golden(name: str) -> None:
    assert_golden("autoscaler", name)


def test_there_is_none_for_a_fixed_number() -> None:
    assert autoscaler.build(case("smallest"), OBSERVED) == []


def test_it_scales_the_gateways_by_cpu_alone_unless_connections_are_named() -> None:
    of = server({**SMALLEST, "autoscaling": {"maxReplicas": 4}})
    (found,), (deployment,) = (build.build(of, OBSERVED) for build in (autoscaler, gateway))
    assert found["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert [metric["type"] for metric in found["spec"]["metrics"]] == ["Resource"]


def test_gateways_leave_one_at_a_time() -> None:
    (found,) = autoscaler.build(case("production"), OBSERVED)
    assert [policy["value"] for policy in found["spec"]["behavior"]["scaleDown"]["policies"]] == [1]
