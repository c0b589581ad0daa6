"""Writes operator/tusfleet_operator/crd.yaml from tusfleet_operator.resource: the schema that API servers keep.

`python -m scripts.crd` writes it; with `--check` it fails when the file is not what it would write.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from tusfleet_operator.resource import Spec, Status
from tusfleet_operator.resource.fields import RULES, Rule
from tusfleet_operator.resource.server import GROUP, KIND, LONGEST_NAME, PLURAL, VERSION

FILE = Path(__file__).resolve().parent.parent / "operator" / "tusfleet_operator" / "crd.yaml"

HEAD = "# Written by `make fmt` from operator/tusfleet_operator/resource/; edit the descriptions there.\n"

LARGEST = 200 * 1024
"""Most bytes of the file: `kubectl apply` keeps a copy of it in an annotation, and those may have 256 KiB."""

COLUMNS = (
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', "Whether gateways take uploads.", 0),
    ("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason', "Why, or why not.", 1),
    ("Replicas", "integer", ".status.replicas", "Gateways.", 0),
    ("Storage", "string", ".spec.storage.s3.bucket", "Bucket of the uploads.", 0),
    ("URL", "string", ".status.url", "Where uploads are created.", 0),
    ("Image", "string", ".status.image", "Image of the gateways.", 1),
    ("Age", "date", ".metadata.creationTimestamp", "Since when it is there.", 0),
)

NAME_RULES = (
    Rule(
        f"self.metadata.name.size() <= {LONGEST_NAME}",
        f"the name has at most {LONGEST_NAME} characters: those of pods and Services are made of it",
    ),
    Rule(
        "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "the name begins with a letter and has a-z, 0-9 and -: Services are named after it",
    ),
)

KEPT = (
    "type", "format", "enum", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "maxProperties",
    RULES, "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
)  # fmt: skip
"""Keywords that a structural schema takes as pydantic writes them."""


def crd() -> dict[str, Any]:
    """The CustomResourceDefinition."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["tus"],
            },
            "scope": "Namespaced",
            "versions": [_version()],
        },
    }


def _version() -> dict[str, Any]:
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [
            {"name": name, "type": kind, "jsonPath": path, "description": told, "priority": priority}
            for name, kind, path, told, priority in COLUMNS
        ],
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "description": "A fleet of gateways that take resumable uploads into a bucket.",
                "required": ["spec"],
                RULES: [rule.plain() for rule in NAME_RULES],
                "properties": {
                    "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}"},
                    "kind": {"type": "string", "description": KIND},
                    "metadata": {"type": "object"},
                    "spec": structural("spec", Spec),
                    "status": structural("status", Status),
                },
            }
        },
    }


def structural(name: str, model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a model as a CRD takes it: without references, titles and nulls."""
    schema = model.model_json_schema(by_alias=True)
    return _converted(name, schema, schema.get("$defs", {}))


def _converted(name: str, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    found = _resolved(schema, definitions)
    result: dict[str, Any] = {}
    if "description" in found:
        result["description"] = found["description"]
    result |= {key: found[key] for key in KEPT if key in found}
    if (rule := _matching(name, found)) is not None:
        result[RULES] = [rule.plain(), *result.get(RULES, [])]
    if "default" in found and found["default"] is not None:
        # Members have defaults of their own, which the API server sets in an object that is there.
        result["default"] = {} if isinstance(found["default"], dict) else found["default"]
    if "items" in found:
        result["items"] = _converted(name, found["items"], definitions)
    if "properties" in found:
        required = [field for field in found.get("required", []) if field in found["properties"]]
        result |= {"required": required} if required else {}
        result["properties"] = {
            field: _converted(field, member, definitions) for field, member in found["properties"].items()
        }
    elif isinstance(found.get("additionalProperties"), dict):
        result["additionalProperties"] = _converted(name, found["additionalProperties"], definitions)
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


def _matching(name: str, schema: Mapping[str, Any]) -> Rule | None:
    """A rule instead of a `pattern`: the API server would show the expression, and not what to write."""
    if "pattern" not in schema:
        return None
    value = "string(self)" if schema.get("x-kubernetes-int-or-string") else "self"
    return Rule(f"{value}.matches(r'{schema['pattern']}')", f"{name} {schema['x-message']}")


def undescribed(schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Paths of the fields that do not say what they mean."""
    for field, member in schema.get("properties", {}).items():
        inner = f"{path}.{field}"
        if not member.get("description") and inner != ".metadata":
            yield inner
        yield from undescribed(member, inner)
        yield from undescribed(member.get("items", {}), f"{inner}[]")


class _Dumper(yaml.SafeDumper):
    """Writes what stands in two places twice: anchors are hard to read in a long file."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002  # its interface
        return True


def dumped(document: object) -> str:
    """YAML as people write it."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def main(arguments: list[str]) -> int:
    found = crd()
    if silent := list(undescribed(found["spec"]["versions"][0]["schema"]["openAPIV3Schema"])):
        print(f"Fields without a description: {', '.join(silent)}", file=sys.stderr)
        return 1
    text = HEAD + dumped(found)
    if "--check" not in arguments:
        FILE.write_text(text, encoding="utf-8")
    elif not FILE.exists() or FILE.read_text(encoding="utf-8") != text:
        print(f"{FILE.name} is not what the resource says; `make fmt` writes it", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
