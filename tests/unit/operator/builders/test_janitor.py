from __future__ import annotations

import pytest

from tests.unit.operator.builders.cases import OBSERVED, SMALLEST, case, server
from tests.unit.operator.builders.golden import CASES, assert_golden
from tusfleet_operator.builders import gateway, janitor


@pytest.mark.parametrize("name", CASES["janitor"])
def test_golden(name: str) -> None:
    assert_golden("janitor", name)


def test_it_has_the_settings_and_secrets_of_the_gateways() -> None:
    of = case("sentinel")
    (ours,), (theirs,) = (build.build(of, OBSERVED) for build in (janitor, gateway))
    inner, outer = ours["spec"]["template"]["spec"], theirs["spec"]["template"]["spec"]
    assert inner["volumes"] == outer["volumes"]
    for part in ("image", "envFrom", "env", "volumeMounts", "securityContext"):
        assert inner["containers"][0][part] == outer["containers"][0][part]


def test_it_takes_no_uploads() -> None:
    (found,) = janitor.build(case("smallest"), OBSERVED)
    assert [port["name"] for port in found["spec"]["template"]["spec"]["containers"][0]["ports"]] == ["metrics"]


@pytest.mark.parametrize("replicas", [0, 1, 3])
def test_there_are_as_many_as_one_says(replicas: int) -> None:
    (found,) = janitor.build(server({**SMALLEST, "janitor": {"replicas": replicas}}), OBSERVED)
    assert found["spec"]["replicas"] == replicas
