"""Writes docs/tusserver.md from the CRD, so that the page cannot say anything else than API servers keep.

`python -m scripts.tusserver_docs` writes it; with `--check` it fails when the page is not what it would write.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scripts.crd import crd
from tusfleet_operator.resource.fields import RULES

PAGE = Path(__file__).resolve().parent.parent / "docs" / "tusserver.md"

HEAD = """\
# TusServer

<!-- Written by `make fmt` from operator/tusfleet_operator/resource/; edit the descriptions there. -->

One `TusServer` is a fleet of gateways that take uploads into one bucket. The smallest one names the bucket and a Redis:

```yaml
apiVersion: tusfleet.dev/v1alpha1
kind: TusServer
metadata:
  name: uploads
spec:
  storage:
    s3:
      bucket: uploads
      endpoint: http://minio:9000
      credentialsSecretRef:
        name: minio
  redis:
    url: redis://redis:6379/0
```

The Secret `minio` has the keys `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`. `kubectl get tusserver` prints where
uploads are created, and `kubectl wait --for=condition=Ready tusserver/uploads` returns when gateways take them.
`kubectl scale` and a HorizontalPodAutoscaler of your own work on a TusServer that has `replicas`.

Fields of the kinds *quantity* (`512Mi`, `20Gi`) and *duration* (`30s`, `24h`) are written as everywhere in Kubernetes:
`1G` is 10^9 bytes, and there are no days. What breaks a rule is refused by the API server, with the sentence that
stands below.

An annotation of the TusServer changes what the operator does:

| annotation | |
|---|---|
| `tusfleet.dev/paused: "true"` | nothing is changed any more, and nothing repaired, until it is removed |
| `tusfleet.dev/restarted-at: TIME` | pods are replaced, one after the other, whenever its value changes |
"""


USUAL = re.compile(" is (a quantity|a duration|the name of an object|a key of the Secret)")
"""Rules that are told once for all, or that nobody breaks who names what is there."""


def page() -> str:
    """The whole page: one section for each object, in the order of the schema."""
    schema = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    parts = [*_sections("spec", schema["properties"]["spec"]), *_sections("status", schema["properties"]["status"])]
    return "\n".join([HEAD, *parts])


def _sections(path: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield section(path, schema)
    for field, member in schema["properties"].items():
        inner, name = member, f"{path}.{field}"
        if "items" in member:
            inner, name = member["items"], f"{name}[]"
        if "properties" in inner:
            yield from _sections(name, inner)


def section(path: str, schema: Mapping[str, Any]) -> str:
    """The section of one object: what it is, a table of its fields, the rules that it keeps."""
    required = schema.get("required", [])
    rows = [_row(field, member, field in required) for field, member in schema["properties"].items()]
    table = "\n".join(["| field | kind | default | |", "|---|---|---|---|", *rows])
    parts = [f"## `{path}`", schema.get("description", ""), table]
    if rules := schema.get(RULES):
        parts.append("\n".join(f"- {rule['message']}" for rule in rules))
    return "\n\n".join(filter(None, parts)) + "\n"


def _row(field: str, member: Mapping[str, Any], required: bool) -> str:
    told, _, default = member.get("description", "").replace("|", "\\|").partition(" Default: ")
    messages = {rule["message"] for rule in _rules_of_value(member)}
    told += "".join(f" {_sentence(message, field)}" for message in sorted(messages) if not USUAL.search(message))
    default = _default(member) or default.removesuffix(".").removeprefix("none")
    return f"| `{field}`{' (required)' if required else ''} | {_kind(member)} | {default} | {told} |"


def _rules_of_value(member: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Rules of a value that has no section of its own."""
    found: list[Mapping[str, Any]] = [] if "properties" in member else list(member.get(RULES, []))
    return found + (_rules_of_value(member["items"]) if "items" in member else [])


def _sentence(message: str, field: str) -> str:
    words = message.removeprefix(f"{field} ").replace("|", "\\|")
    return f"{words[0].upper()}{words[1:]}."


def _kind(member: Mapping[str, Any]) -> str:
    if "items" in member:
        return f"list of at most {member['maxItems']}: {_kind(member['items'])}"
    if member.get("x-kubernetes-int-or-string"):
        return "quantity"
    if "enum" in member:
        return ", ".join(f"`{choice}`" for choice in member["enum"])
    if any("is a duration" in rule["message"] for rule in member.get(RULES, [])):
        return "duration"
    if "minimum" in member and "maximum" in member:
        return f"{member['minimum']} to {member['maximum']}"
    if "additionalProperties" in member:
        most = f" of at most {member['maxProperties']}" if "maxProperties" in member else ""
        return f"map{most}"
    return str({"string": "text", "boolean": "true or false"}.get(member["type"], member["type"]))


def _default(member: Mapping[str, Any]) -> str:
    default = member.get("default")
    if default is None or default in ({}, [], ""):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def main(arguments: list[str]) -> int:
    text = page()
    if "--check" not in arguments:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        print(f"{PAGE.name} is not what the CRD says; `make fmt` writes it", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
