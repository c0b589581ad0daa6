"""The CRD: complete, bounded, small enough, and what is written of it is what it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import crd, tusserver_docs
from tusfleet_operator.resource import InvalidServer, TusServer
from tusfleet_operator.resource.fields import RULES, amount, seconds

DOCUMENT = crd.crd()
(VERSION,) = DOCUMENT["spec"]["versions"]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]

SMALLEST = {
    "storage": {"s3": {"bucket": "uploads"}},
    "redis": {"url": "redis://redis:6379/0"},
}


def nodes(path: str, schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, member in schema.get("properties", {}).items():
        yield from nodes(f"{path}.{name}", member)
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from nodes(f"{path}[]", schema[key])


NODES = [(path, node) for path, node in nodes("", SCHEMA) if path.startswith((".spec", ".status"))]


def test_files_are_what_the_resource_says() -> None:
    text = crd.FILE.read_text(encoding="utf-8")
    assert yaml.safe_load(text) == DOCUMENT
    assert len(text.encode()) < crd.LARGEST
    assert Path(tusserver_docs.PAGE).read_text(encoding="utf-8") == tusserver_docs.page()


def test_everything_is_described() -> None:
    assert list(crd.undescribed(SCHEMA)) == []


@pytest.mark.parametrize(("path", "node"), NODES, ids=[path for path, _ in NODES])
def test_everything_is_bounded(path: str, node: dict[str, Any]) -> None:
    """The cost of rules is estimated from these bounds, and a TusServer is read into memory whole."""
    if node.get("type") == "string":
        assert "maxLength" in node or "enum" in node
    if node.get("type") == "array":
        assert "maxItems" in node
    if "additionalProperties" in node:
        assert "maxProperties" in node
    if node.get("type") == "integer" and path.startswith(".spec"):
        assert {"minimum", "maximum"} <= set(node) or path.endswith("tolerationSeconds")


@pytest.mark.parametrize(("path", "node"), NODES, ids=[path for path, _ in NODES])
def test_the_schema_is_structural(path: str, node: dict[str, Any]) -> None:
    assert set(node) <= {"description", "default", "items", "properties", "required", "additionalProperties", *crd.KEPT}
    kinds = ["type" in node, bool(node.get("x-kubernetes-int-or-string"))]
    assert sum(kinds) == 1, path


def test_every_rule_has_a_sentence_for_people() -> None:
    rules = [rule for _, node in NODES for rule in node.get(RULES, [])]
    assert len(rules) > 50
    assert [rule for rule in rules if len(rule["message"]) < 8 or "matches" in rule["message"]] == []


def test_nothing_secret_is_written_into_a_spec() -> None:
    names = {path.rpartition(".")[2].lower() for path, _ in NODES if path.startswith(".spec")}
    secret = {name for name in names if any(word in name for word in ("password", "token", "secretaccesskey"))}
    assert {name for name in secret if not name.endswith(("ref", "key"))} == set()


def test_whoever_scales_finds_what_is_counted() -> None:
    assert VERSION["subresources"] == {
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    }
    assert "default" not in SCHEMA["properties"]["spec"]["properties"]["replicas"]


def test_defaults_of_parts_come_from_their_members() -> None:
    spec = SCHEMA["properties"]["spec"]["properties"]
    assert (spec["janitor"]["default"], spec["janitor"]["properties"]["replicas"]["default"]) == ({}, 1)
    assert spec["service"]["properties"]["type"]["default"] == "ClusterIP"
    assert "default" not in spec["networkPolicy"]


def test_a_tusserver_is_read_with_the_defaults_of_the_schema() -> None:
    body = {"metadata": {"name": "uploads", "namespace": "apps", "uid": "u", "generation": 3}, "spec": SMALLEST}
    server = TusServer.read(body)
    assert (server.name, server.generation, server.spec.janitor.replicas) == ("uploads", 3, 1)
    assert server.spec.deletion_policy == "Drain"
    assert server.spec.exposure is None


def test_what_an_older_crd_lets_through_is_told_in_one_sentence() -> None:
    spec = {**SMALLEST, "storage": {"s3": {"bucket": ""}}}
    with pytest.raises(InvalidServer, match=r"^spec\.storage\.s3\.bucket: "):
        TusServer.read({"metadata": {"name": "uploads", "namespace": "apps", "uid": "u"}, "spec": spec})


@pytest.mark.parametrize(
    ("text", "expected"), [("512Mi", 512 * 2**20), ("1G", 10**9), (7, 7), ("0.5Ki", 512), ("2500m", 2)]
)
def test_quantities(text: str | int, expected: int) -> None:
    assert amount(text) == expected


@pytest.mark.parametrize(("text", "expected"), [("1m30s", 90), ("250ms", 0.25), ("2h", 7200)])
def test_durations(text: str, expected: float) -> None:
    assert seconds(text) == expected
