"""The settings of a TusServer are those of the command line: nothing is missing, nothing is made up, values agree."""

from __future__ import annotations

import re
from typing import Any

import pytest

from scripts import settings_schema
from tusfleet.settings import Settings, SettingsError, load
from tusfleet_operator.resource.settings import environment, schema

SECTIONS = ("gateway", "s3", "redis")

DESCRIBED = {
    described["x-setting"]: (section, name, described)
    for section in SECTIONS
    for name, described in schema()["sections"][section]["properties"].items()
}

FOR_ALL = {"TUSFLEET_S3_BUCKET": "bucket", "TUSFLEET_DATASTORE": "s3", "TUSFLEET_INFOSTORE": "redis"}


def test_every_setting_is_in_the_file_or_is_the_operators_with_a_reason() -> None:
    operators = schema()["operator"]
    assert set(DESCRIBED) | set(operators) == set(Settings.model_fields)
    assert not set(DESCRIBED) & set(operators)
    assert all(len(reason) > 10 for reason in operators.values())


def test_the_file_is_what_the_settings_say() -> None:
    assert settings_schema.FILE.read_text(encoding="utf-8") == settings_schema.text()


@pytest.mark.parametrize("setting", sorted(DESCRIBED))
def test_values_of_the_schema_are_values_of_the_setting(setting: str) -> None:
    section, name, described = DESCRIBED[setting]
    together: dict[str, dict[str, Any]] = {
        "cors_credentials": {"corsOrigins": ["https://app.example"]},
        "s3_sse_kms_key": {"sse": "aws:kms"},
    }
    for value in examples(described):
        found = environment(section, {name: value, **together.get(setting, {})})
        settings = load(environment={**FOR_ALL, **found}).settings
        assert found
        assert getattr(settings, setting) is not None


@pytest.mark.parametrize(
    ("section", "name", "value", "setting", "expected"),
    [
        ("gateway", "maxSize", "20Gi", "max_size", 20 * 2**30),
        ("gateway", "maxSize", "20G", "max_size", 20 * 10**9),
        ("gateway", "maxSize", 1024, "max_size", 1024),
        ("gateway", "maxSize", "1.5Ki", "max_size", 1536),
        ("gateway", "corsOrigins", [], "cors_origins", ()),
        ("gateway", "corsOrigins", ["https://a.example", "https://b.example"], "cors_origins", None),
        ("gateway", "terminateFinished", False, "terminate_finished", False),
        ("redis", "shards", 16, "redis_shards", 16),
        ("s3", "keyTemplate", "{tenant}/{id}", "key_template", "{tenant}/{id}"),
    ],
)
def test_values_arrive_as_they_were_meant(section: str, name: str, value: object, setting: str, expected: Any) -> None:
    settings = load(environment={**FOR_ALL, **environment(section, {name: value})}).settings
    assert getattr(settings, setting) == (tuple(value) if expected is None and isinstance(value, list) else expected)


def test_durations_arrive_in_seconds() -> None:
    found = environment("gateway", {"expireAfter": "36h", "lockTimeout": "1500ms"})
    settings = load(environment={**FOR_ALL, **found}).settings
    assert settings.expire_after is not None
    assert (settings.expire_after.total_seconds(), settings.lock_timeout.total_seconds()) == (36 * 3600, 1.5)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("base_path", "files"),
        ("base_path", "/fi les"),
        ("location", "ftp://up.example"),
        ("location", "https://key:secret@up.example"),
        ("trusted_proxies", "everybody"),
        ("cors_origins", "app.example"),
    ],
)
def test_what_a_setting_refuses_the_schema_refuses(setting: str, value: str) -> None:
    with pytest.raises(SettingsError):
        load(environment={**FOR_ALL, f"TUSFLEET_{setting.upper()}": value})
    described = DESCRIBED[setting][2]
    pattern = described.get("items", described)["pattern"]
    assert re.fullmatch(pattern, value) is None


@pytest.mark.parametrize(("name", "value"), [("maxSize", "12 apples"), ("maxSize", True), ("expireAfter", "1 day")])
def test_a_value_that_is_none_names_its_field(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{name}: "):
        environment("gateway", {name: value})


def examples(described: dict[str, Any]) -> list[Any]:
    """Values that the schema takes: of each kind some, at its edges where it has them."""
    by_setting: dict[str, list[Any]] = {
        "base_path": ["/files", "/a/b.c"],
        "location": ["auto", "https://up.example/files"],
        "s3_endpoint": ["http://minio:9000"],
        "s3_public_endpoint": ["https://s3.example.org"],
        "trusted_proxies": [["10.0.0.0/8", "fd00::1"]],
        "cors_origins": [["*"], ["https://*.example", "re:https://.*"]],
        "s3_tags": [["team=red", "cost=1"]],
    }
    if (setting := described["x-setting"]) in by_setting:
        return by_setting[setting]
    kind = described["x-kind"]
    if kind == "integer":
        return [described["minimum"] or 1, described["maximum"]]
    sizes = ["512Mi"] if setting != "max_header_size" else ["1Mi"]
    by_kind: dict[str, list[Any]] = {
        "boolean": [True, False],
        "size": sizes,
        "duration": ["90m", "2s"],
        "list": [["image/png"]],
        "enum": described.get("enum", []),
        "text": ["value"],
    }
    return by_kind[kind]
