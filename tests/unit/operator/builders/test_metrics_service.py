from __future__ import annotations

import pytest

from tests.unit.operator.builders.cases import OBSERVED, case
from tests.unit.operator.builders.golden import CASES, assert_golden
from tusfleet_operator.builders import gateway, janitor, metrics_service


@pytest.mark.parametrize("name", CASES["metrics_service"])
def test_golden(name: str) -> None:
    assert_golden("metrics_service", name)


def test_gateways_and_janitors_are_seen_each_by_itself_also_when_they_are_not_ready() -> None:
    (found,) = metrics_service.build(case("smallest"), OBSERVED)
    for build in (gateway, janitor):
        labels = build.build(case("smallest"), OBSERVED)[0]["spec"]["template"]["metadata"]["labels"]
        assert found["spec"]["selector"].items() <= labels.items()
    assert (found["spec"]["clusterIP"], found["spec"]["publishNotReadyAddresses"]) == ("None", True)
