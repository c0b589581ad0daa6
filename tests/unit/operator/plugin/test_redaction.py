"""No password leaves the cluster in a report, and everything else does."""

from __future__ import annotations

import pytest

from tusfleet_operator.plugin.redaction import GONE, body, text


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("redis://user:s3cret@redis:6379/0", f"redis://{GONE}@redis:6379/0"),
        ("redis://:s3cret@redis:6379/0", f"redis://{GONE}@redis:6379/0"),
        ("two http://a:b@c and https://d:e@f", f"two http://{GONE}@c and https://{GONE}@f"),
        ("GET /file?X-Amz-Signature=abc&part=1", f"GET /file?X-Amz-Signature={GONE}&part=1"),
        ("Authorization: Bearer abcdef0123456789", f"Authorization: Bearer {GONE}"),
        ("redis://redis:6379/0", "redis://redis:6379/0"),
        ("mail me@example.com about https://example.com", "mail me@example.com about https://example.com"),
    ],
)
def test_credentials_go_from_texts(given: str, expected: str) -> None:
    assert text(given) == expected


def test_values_that_look_like_secrets_go_from_objects() -> None:
    given = {
        "metadata": {
            "name": "uploads",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "hunter2", "team": "red"},
            "managedFields": ["hunter2"],
        },
        "spec": {
            "redis": {"url": "redis://:hunter2@redis/0", "passwordSecretRef": {"name": "redis", "key": "password"}},
            "template": {"env": [{"name": "PROXY_PASSWORD", "value": "hunter2"}, {"name": "TZ", "value": "UTC"}]},
            "token": "hunter2",
            "authTokensFile": "/secrets/tokens",
        },
    }
    told = body(given)
    assert "hunter2" not in str(told)
    assert told["metadata"] == {"name": "uploads", "annotations": {"team": "red"}}
    assert told["spec"]["redis"]["passwordSecretRef"] == {"name": "redis", "key": "password"}
    assert told["spec"]["template"]["env"][1] == {"name": "TZ", "value": "UTC"}
    assert told["spec"]["authTokensFile"] == "/secrets/tokens"
