"""The schema of the values of the chart without an operator: those of a TusServer's spec, and a few of the chart.

Rules between fields (CEL in the CRD) are in the chart's `templates/_rules.tpl`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tusfleet_operator.resource import Spec

OF_OPERATOR_ALONE = ("deletionPolicy", "updatePolicy")
"""Fields that say what an operator does; a chart does as Helm is told."""

KEPT = ("type", "description", "enum", "const", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems",
        "maxItems", "maxProperties")  # fmt: skip

QUANTITY = {"type": ["string", "number"]}

OF_CHART: dict[str, Any] = {
    "global": {"type": "object"},
    "fullnameOverride": {
        "type": "string",
        "description": "Name of everything, instead of the release's.",
        "pattern": "^([a-z]([-a-z0-9]*[a-z0-9])?)?$",
        "maxLength": 38,
    },
    "dashboard": {
        "type": "object",
        "description": "A ConfigMap with the Grafana dashboard.",
        "additionalProperties": False,
        "properties": {
            "enabled": {"type": "boolean"},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    },
    "tests": {
        "type": "object",
        "description": "What `helm test` does.",
        "additionalProperties": False,
        "properties": {
            "tokenSecret": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"name": {"type": "string"}, "key": {"type": "string"}},
            }
        },
    },
}


def schema() -> dict[str, Any]:
    """The JSON schema, as Helm takes it."""
    model = Spec.model_json_schema(by_alias=True)
    found = _converted(model, model.get("$defs", {}))
    for name in OF_OPERATOR_ALONE:
        del found["properties"][name]
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$comment": "Written by `make fmt` from operator/tusfleet_operator/resource/ and scripts/chart_schema.py.",
        "title": "Values of the chart tusfleet",
        **found,
        "properties": {**found["properties"], **OF_CHART},
    }


def _converted(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    found = _resolved(schema, definitions)
    result = {key: found[key] for key in KEPT if key in found}
    if found.get("x-kubernetes-int-or-string"):
        # A number is never negative, and a text is as the CRD has it: `pattern` says nothing about numbers.
        result |= {**QUANTITY, "minimum": 0}
    if "items" in found:
        result["items"] = _converted(found["items"], definitions)
    if found.get("x-kubernetes-list-type") == "set":
        result["uniqueItems"] = True
    if "properties" in found:
        result["additionalProperties"] = False
        required = [field for field in found.get("required", []) if field in found["properties"]]
        result |= {"required": required} if required else {}
        result["properties"] = {name: _converted(member, definitions) for name, member in found["properties"].items()}
    elif isinstance(found.get("additionalProperties"), dict):
        result["additionalProperties"] = _converted(found["additionalProperties"], definitions)
    return result


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """What a reference, or the one choice that is not null, stands for; what stands beside it wins."""
    beside = {key: value for key, value in schema.items() if key not in {"$ref", "anyOf"}}
    if "$ref" in schema:
        return {**_resolved(definitions[schema["$ref"].rpartition("/")[2]], definitions), **beside}
    if "anyOf" in schema:
        (only,) = (choice for choice in schema["anyOf"] if choice != {"type": "null"})
        return {**_resolved(only, definitions), **beside}
    return beside
