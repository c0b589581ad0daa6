from __future__ import annotations

import pytest

from tests.unit.operator.builders.cases import OBSERVED, SMALLEST, case, server
from tests.unit.operator.builders.golden import CASES, assert_golden
from tusfleet_operator.builders import gateway, service


@pytest.mark.parametrize("name", CASES["service"])
def test_golden(name: str) -> None:
    assert_golden("service", name)


def test_it_leads_to_gateways_alone() -> None:
    (found,), (deployment,) = (build.build(case("smallest"), OBSERVED) for build in (service, gateway))
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert found["spec"]["selector"].items() <= labels.items()
    assert found["spec"]["selector"]["app.kubernetes.io/component"] == "gateway"


def test_nobody_is_bound_to_one_gateway() -> None:
    (found,) = service.build(server({**SMALLEST, "service": {"type": "NodePort"}}), OBSERVED)
    assert "sessionAffinity" not in found["spec"]
