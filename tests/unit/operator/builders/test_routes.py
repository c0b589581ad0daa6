"""HTTPRoute, Ingress, and the address that the status tells."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.operator.builders.cases import OBSERVED, SMALLEST, case, server
from tests.unit.operator.builders.golden import CASES, assert_golden
from tusfleet_operator.builders import address, http_route, ingress

ROUTE: dict[str, Any] = {"parentRefs": [{"name": "public"}], "hostnames": ["up.example.org"]}


@pytest.mark.parametrize("name", CASES["http_route"])
def test_golden_route(name: str) -> None:
    assert_golden("http_route", name)


@pytest.mark.parametrize("name", CASES["ingress"])
def test_golden_ingress(name: str) -> None:
    assert_golden("ingress", name)


def test_there_is_neither_unless_it_is_asked_for() -> None:
    assert http_route.build(case("smallest"), OBSERVED) + ingress.build(case("smallest"), OBSERVED) == []
    assert ingress.build(case("production"), OBSERVED) + http_route.build(case("dev"), OBSERVED) == []


@pytest.mark.parametrize(("given", "expected"), [({}, {"request": "0s"}), ({"requestTimeout": ""}, None)])
def test_long_uploads_are_not_cut_unless_the_gateway_knows_no_timeouts(given: dict[str, str], expected: Any) -> None:
    (found,) = http_route.build(server({**SMALLEST, "exposure": {"httpRoute": {**ROUTE, **given}}}), OBSERVED)
    assert found["spec"]["rules"][0].get("timeouts") == expected


def test_only_the_path_of_uploads_is_exposed() -> None:
    spec = {**SMALLEST, "gateway": {"basePath": "/up"}}
    (route,) = http_route.build(server({**spec, "exposure": {"httpRoute": ROUTE}}), OBSERVED)
    (found,) = ingress.build(server({**spec, "exposure": {"ingress": {"hosts": ["up.example.org"]}}}), OBSERVED)
    assert route["spec"]["rules"][0]["matches"] == [{"path": {"type": "PathPrefix", "value": "/up"}}]
    assert [path["path"] for path in found["spec"]["rules"][0]["http"]["paths"]] == ["/up"]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, "http://uploads.apps.svc/files"),
        ({"service": {"port": 8080}}, "http://uploads.apps.svc:8080/files"),
        ({"exposure": {"httpRoute": ROUTE}}, "https://up.example.org/files"),
        ({"exposure": {"httpRoute": {"parentRefs": [{"name": "public"}]}}}, "http://uploads.apps.svc/files"),
        ({"exposure": {"ingress": {"hosts": ["a.example", "b.example"]}, "scheme": "http"}}, "http://a.example/files"),
        ({"gateway": {"basePath": "/a/b"}}, "http://uploads.apps.svc/a/b"),
    ],
)
def test_where_uploads_are_created(spec: dict[str, Any], expected: str) -> None:
    assert address.url(server({**SMALLEST, **spec})) == expected
