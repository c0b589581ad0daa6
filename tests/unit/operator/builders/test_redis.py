from __future__ import annotations

import pytest

from tests.unit.operator.builders.cases import OBSERVED, S3, case, server
from tests.unit.operator.builders.golden import CASES, assert_golden
from tusfleet_operator.builders import metrics_service, redis


@pytest.mark.parametrize("name", CASES["redis"])
def test_golden(name: str) -> None:
    assert_golden("redis", name)


@pytest.mark.parametrize("name", ["smallest", "production", "aws", "sentinel"])
def test_there_is_none_without_dev(name: str) -> None:
    assert redis.build(case(name), OBSERVED) == []


def test_there_are_never_two() -> None:
    _, deployment = redis.build(case("dev"), OBSERVED)
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 1, "maxSurge": 0}


def test_it_throws_nothing_away_and_its_memory_is_bounded() -> None:
    _, deployment = redis.build(server({"storage": {"s3": S3}, "redis": {"dev": {"maxMemory": "1Gi"}}}), OBSERVED)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    arguments = dict(zip(container["args"][::2], container["args"][1::2], strict=True))
    assert arguments["--protected-mode"] == "no"
    assert (arguments["--maxmemory"], arguments["--maxmemory-policy"]) == (str(2**30), "noeviction")
    assert int(container["resources"]["limits"]["memory"]) > 2 * 2**30


def test_prometheus_does_not_take_it_for_a_gateway() -> None:
    (metrics,) = metrics_service.build(case("dev"), OBSERVED)
    _, deployment = redis.build(case("dev"), OBSERVED)
    assert not metrics["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
