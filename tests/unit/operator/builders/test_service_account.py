from __future__ import annotations

import pytest

from tests.unit.operator.builders.cases import OBSERVED, case
from tests.unit.operator.builders.golden import CASES, assert_golden
from tusfleet_operator.builders import gateway, service_account


@pytest.mark.parametrize("name", CASES["service_account"])
def test_golden(name: str) -> None:
    assert_golden("service_account", name)


def test_one_that_is_there_is_left_alone_and_used() -> None:
    of = case("template")
    assert service_account.build(of, OBSERVED) == []
    assert gateway.build(of, OBSERVED)[0]["spec"]["template"]["spec"]["serviceAccountName"] == "uploader"


def test_pods_use_the_one_that_is_made() -> None:
    of = case("aws")
    (found,) = service_account.build(of, OBSERVED)
    used = gateway.build(of, OBSERVED)[0]["spec"]["template"]["spec"]["serviceAccountName"]
    assert found["metadata"]["name"] == used
    assert "eks.amazonaws.com/role-arn" in found["metadata"]["annotations"]
