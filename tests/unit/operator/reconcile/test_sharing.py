"""Of two TusServers that share records or bytes, and not both, the younger one is not made."""

from __future__ import annotations

from typing import Any

import pytest

from tusfleet_operator.reconcile.sharing import sharing
from tusfleet_operator.reconcile.troubles import STORES_SHARED

S3 = {"bucket": "uploads", "endpoint": "https://s3.example.org"}
REDIS = {"url": "redis://redis.stores.svc:6379/0"}


def server(
    name: str, s3: dict[str, Any], redis: dict[str, Any], day: int = 1, namespace: str = "red"
) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": f"2026-01-{day:02}T00:00:00Z"},
        "spec": {"storage": {"s3": {**S3, **s3}}, "redis": {**REDIS, **redis}},
    }


def told(s3: dict[str, Any], redis: dict[str, Any], other_s3: dict[str, Any], other_redis: dict[str, Any]) -> str:
    """What the younger of two in two namespaces is told; nothing when it is made."""
    older, younger = server("old", s3, redis), server("young", other_s3, other_redis, 2, "blue")
    everybody = [younger, older]
    assert sharing(older, everybody) is None
    found = sharing(younger, everybody)
    if found is None:
        return ""
    assert found.reason == STORES_SHARED
    assert found.blocks
    assert "red/old" in found.message
    return found.message


SAME = {"prefix": "tf"}


@pytest.mark.parametrize(
    ("s3", "redis", "other_s3", "other_redis"),
    [
        ({}, {}, {}, {}),
        ({}, SAME, {}, {"prefix": "other"}),
        ({"keyPrefix": "a/"}, {}, {"keyPrefix": "a/"}, {}),
        ({}, {}, {}, {"url": "redis://elsewhere.example:6379/0", **SAME}),
        ({"keyTemplate": "{metadata.kind}/{id}"}, {}, {"keyPrefix": "a/"}, {}),
        ({"keyPrefix": "a/b/"}, {}, {"keyPrefix": "a/", "keyTemplate": "{tenant}/{id}"}, {}),
    ],
)
def test_one_place_for_the_bytes_of_two_is_told(
    s3: dict[str, Any], redis: dict[str, Any], other_s3: dict[str, Any], other_redis: dict[str, Any]
) -> None:
    assert "keyPrefix of its own" in told(s3, redis, other_s3, other_redis)


@pytest.mark.parametrize("other_s3", [{"bucket": "other"}, {"keyPrefix": "a/"}, {"endpoint": "https://s3.example.com"}])
def test_the_same_records_for_bytes_in_two_places_are_told(other_s3: dict[str, Any]) -> None:
    assert "another redis.prefix" in told({}, SAME, other_s3, SAME)


@pytest.mark.parametrize(
    ("s3", "redis", "other_s3", "other_redis"),
    [
        # One fleet, which is wanted.
        ({}, SAME, {}, SAME),
        ({"keyPrefix": "a/"}, {}, {"keyPrefix": "b/"}, {}),
        ({}, {}, {"keyPrefix": "a/"}, {}),
        ({"keyTemplate": "{yyyy}/{id}"}, {}, {"keyPrefix": "a/"}, {}),
        ({}, {}, {"bucket": "other"}, {}),
        ({}, {}, {"endpoint": "https://s3.example.com"}, {}),
        # Of two namespaces, each of which has its own `minio`.
        ({"endpoint": "http://minio:9000"}, {}, {"endpoint": "http://minio:9000"}, {}),
        ({}, {"url": "redis://redis:6379/0", **SAME}, {"bucket": "other"}, {"url": "redis://redis:6379/0", **SAME}),
    ],
)
def test_what_is_apart_or_the_same_altogether_is_made(
    s3: dict[str, Any], redis: dict[str, Any], other_s3: dict[str, Any], other_redis: dict[str, Any]
) -> None:
    assert told(s3, redis, other_s3, other_redis) == ""


def test_the_prefix_that_another_one_has_by_itself_is_its_records() -> None:
    assert "another redis.prefix" in told({}, {}, {"bucket": "other"}, {"prefix": "tf:red.old"})
    assert told({}, {}, {}, {"prefix": "tf:red.old"}) == ""


@pytest.mark.parametrize(
    "spec", [{}, {"storage": []}, {"storage": {"s3": {"bucket": ["a"]}}, "redis": "a"}, {"redis": {"cluster": 1}}]
)
def test_one_that_says_what_nobody_understands_is_in_nobodys_way(spec: dict[str, Any]) -> None:
    odd = {**server("odd", {}, {}), "spec": spec}
    fine = server("fine", {}, {}, 2)
    assert sharing(fine, [odd, fine]) is None


def test_a_redis_of_ones_own_is_not_shared() -> None:
    def dev(name: str, bucket: str, day: int) -> dict[str, Any]:
        found = server(name, {"bucket": bucket}, SAME, day)
        found["spec"]["redis"] = {"dev": {}, **SAME}
        return found

    older, younger, third = dev("old", "one", 1), dev("young", "two", 2), dev("third", "one", 3)
    assert sharing(younger, [older, younger]) is None
    assert sharing(third, [older, younger, third]) is not None


def test_of_two_that_were_made_in_one_second_one_is_made() -> None:
    one, two = server("one", {}, {}), server("two", {}, {})
    assert [sharing(body, [one, two]) is None for body in (one, two)] == [True, False]
