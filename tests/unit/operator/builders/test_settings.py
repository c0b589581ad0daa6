from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.unit.operator.builders.cases import OBSERVED, S3, SMALLEST, SPECS, case, server
from tests.unit.operator.builders.golden import CASES, assert_golden
from tusfleet.settings import load
from tusfleet_operator.builders import settings


@pytest.mark.parametrize("name", CASES["settings"])
def test_golden(name: str) -> None:
    assert_golden("settings", name)


@pytest.mark.parametrize("name", SPECS)
def test_gateways_take_all_of_it(name: str) -> None:
    fleet = {"infostore": "redis", "datastore": "s3"}
    found = load(environment=settings.environment(case(name)), defaults=fleet)
    assert found.settings.s3_bucket == "uploads"
    assert [key for key in settings.environment(case(name)) if not key.startswith(("TUSFLEET_", "AWS_"))] == []


@pytest.mark.parametrize(
    ("redis", "expected"),
    [
        ({"url": "redis://redis:6379/0"}, "redis://redis:6379/0"),
        ({"dev": {}}, "redis://uploads-redis:6379/0"),
        ({"cluster": {"hosts": ["a:1", "b:2"]}}, "redis+cluster://a:1,b:2"),
        ({"cluster": {"hosts": ["a:1"]}, "tls": {}}, "rediss+cluster://a:1"),
        ({"sentinel": {"hosts": ["a:1", "b:2"], "master": "m", "database": 3}}, "redis+sentinel://a:1,b:2/m/3"),
        ({"urlSecretRef": {"name": "redis", "key": "url"}}, None),
    ],
)
def test_the_url_of_redis(redis: dict[str, Any], expected: str | None) -> None:
    of = server({"storage": {"s3": S3}, "redis": redis})
    assert settings.environment(of).get("TUSFLEET_REDIS_URL") == expected


def test_other_settings_are_another_config_map_that_never_changes() -> None:
    (first,) = settings.build(case("smallest"), OBSERVED)
    (second,) = settings.build(server({**SMALLEST, "gateway": {"maxSize": "1Gi"}}), OBSERVED)
    assert first["immutable"] is second["immutable"] is True
    assert first["metadata"]["name"] != second["metadata"]["name"]
    assert all(found["metadata"]["name"].startswith("uploads-settings-") for found in (first, second))


def test_the_hash_is_the_one_that_a_chart_makes() -> None:
    """`toJson | sha256sum | trunc 10` of the same map, with Go's way of writing < > and &."""
    of = server({**SMALLEST, "gateway": {"corsOrigins": ["re:https://<a>&b"]}})
    text = (
        '{"TUSFLEET_CORS_ORIGINS":"re:https://\\u003ca\\u003e\\u0026b","TUSFLEET_DRAIN_DELAY":"5s",'
        '"TUSFLEET_DRAIN_GRACE":"50s","TUSFLEET_REDIS_PREFIX":"tf:apps.uploads","TUSFLEET_REDIS_URL":"redis://redis:6379/0",'
        '"TUSFLEET_S3_BUCKET":"uploads","TUSFLEET_S3_ENDPOINT":"http://minio:9000"}'
    )
    assert settings.config_hash(of) == hashlib.sha256(text.encode()).hexdigest()[:10]


def test_the_storage_has_nothing_secret_in_it() -> None:
    assert not any("SECRET" in name or "ACCESS_KEY" in name for name in settings.environment(case("production")))
