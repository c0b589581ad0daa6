"""Mistakes of every kind in every field: refused in words that name the field, or told by a condition.

What can be wrong is generated from the definition of TusServers, so that a new field is tried too. Of what is wrong,
or secret, nothing gets into the operator's log.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from scripts import crd
from tests.cluster.operator.operators import OperatorProcess
from tests.cluster.operator.sites import Site
from tests.cluster.operator.test_resource import MISTAKES, NEVER, changed, manifest
from tests.testbed.kube_api import ApiError
from tests.unit.operator.builders.cases import SMALLEST

Schema = Mapping[str, Any]

PASSWORD = "correct-horse-battery-staple"

LENGTH = 10_000
"""Characters of what is too long; annotations may have more."""


@dataclass(frozen=True)
class Field:
    """One field of the spec.

    Parameters:
        path: its names; `[]` stands for a member of a list, and `{}` for any key.
    """

    path: tuple[str, ...]
    schema: Schema

    @property
    def kind(self) -> str:
        return "quantity" if self.schema.get("x-kubernetes-int-or-string") else str(self.schema.get("type", ""))

    def within(self, value: Any) -> dict[str, Any]:
        """The smallest spec with this value in this field."""
        for name in reversed(self.path):
            value = [value] if name == "[]" else {"key" if name == "{}" else name: value}
        found: dict[str, Any] = _merged(SMALLEST, value)
        return found

    def __str__(self) -> str:
        """As the API server writes it."""
        found = ".".join(("spec", *self.path))
        return found.replace(".[]", "[0]").replace(".{}", ".key")


def _merged(base: Any, change: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(change, dict):
        return copy.deepcopy(change)
    return {**base, **{key: _merged(base.get(key), value) for key, value in change.items()}}


def _fields(schema: Schema, path: tuple[str, ...] = ()) -> Iterator[Field]:
    yield Field(path, schema)
    for name, member in schema.get("properties", {}).items():
        yield from _fields(member, (*path, name))
    if "items" in schema:
        yield from _fields(schema["items"], (*path, "[]"))
    if isinstance(schema.get("additionalProperties"), Mapping):
        yield from _fields(schema["additionalProperties"], (*path, "{}"))


def fields() -> list[Field]:
    """Every field of the spec but the spec itself."""
    definition = yaml.safe_load(crd.FILE.read_text(encoding="utf-8"))
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return list(_fields(schema))[1:]


def _texts(field: Field) -> bool:
    return field.kind in {"string", "quantity"} and "enum" not in field.schema


def _fixed(field: Field) -> bool:
    return (
        field.kind == "object"
        and not field.schema.get("x-kubernetes-preserve-unknown-fields")
        and ("additionalProperties" not in field.schema)
    )


WRONG: dict[str, tuple[Callable[[Field], bool], Callable[[Field], Any], str]] = {
    "too long": (_texts, lambda field: "x" * max(LENGTH, field.schema["maxLength"] + 1), "Too long"),
    "too many": (
        lambda field: field.kind == "array",
        lambda field: ["x"] * (field.schema["maxItems"] + 1),
        "Too many",
    ),
    "negative": (lambda field: field.kind == "integer", lambda _: -1, "should be greater than or equal to"),
    "a fraction": (lambda field: field.kind == "integer", lambda _: 1.5, "must be of type integer"),
    "another word": (lambda field: "enum" in field.schema, lambda _: "sometimes", "supported values"),
    "a word for yes": (lambda field: field.kind == "boolean", lambda _: "yes", "must be of type boolean"),
    "a number": (lambda field: field.kind == "string", lambda _: 7, "must be of type string"),
    "a list": (lambda field: field.kind in {"object", "string", "integer"}, lambda _: [], "must be of type"),
    "another field": (_fixed, lambda _: {"unknown": PASSWORD}, "unknown field"),
}
"""By kind of mistake: which fields can have it, how it looks, and what is told."""


@pytest.mark.parametrize("mistake", WRONG)
def test_it_is_refused_in_every_field_by_its_name(site: Site, mistake: str) -> None:
    fits, made, told = WRONG[mistake]
    tried = [field for field in fields() if fits(field)]
    assert len(tried) > 5
    wrong = []
    for field in tried:
        answer = _refusal(site, field.within(made(field)))
        if told not in answer or str(field) not in answer.replace("[key]", ".key"):
            wrong.append(f"{field}: {answer[:300] or 'it was taken'}")
    assert wrong == []
    print(f"{mistake}: refused in {len(tried)} fields")


def _refusal(site: Site, spec: dict[str, Any]) -> str:
    try:
        site.api.create(manifest(spec, "mistaken"), site.home)
    except ApiError as error:
        return str(error) if error.code in {400, 422} else f"an error of another kind: {error.code}"
    return ""


TOLD: dict[str, tuple[dict[str, Any], str]] = {
    "a label": (changed(template={"labels": {"team": "not a label!"}}), "a valid label must"),
    "an annotation": (changed(service={"annotations": {"not a key!": PASSWORD}}), "name part must consist of"),
    "less than is asked for": (
        changed(template={"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}),
        "must be less than or equal to cpu limit",
    ),
    "a volume": (changed(template={"volumeMounts": [{"name": "nowhere", "mountPath": "/x"}]}), 'Not found: "nowhere"'),
    "a port": (changed(service={"type": "NodePort", "nodePort": 80}), "The range of valid ports is"),
    "a network": (
        changed(networkPolicy={"ingressFrom": [{"ipBlock": {"cidr": "10.0.0.0/99"}}]}),
        "must be a valid CIDR value",
    ),
    "a misspelled affinity": (
        changed(template={"affinity": {"nodeAfinity": {}}}),
        ".affinity.nodeAfinity: field not declared in schema",
    ),
    "a long affinity": (changed(template={"affinity": {"nodeAffinity": "x" * LENGTH}}), "expected map, got"),
}
"""What only the API server knows of the children to be wrong."""


@pytest.mark.parametrize("mistake", TOLD)
def test_what_the_definition_cannot_know_is_told_by_a_condition(
    site: Site, operator: OperatorProcess, mistake: str
) -> None:
    spec, told = TOLD[mistake]
    site.make(spec)
    message = site.until("Degraded", "Refused")
    assert message.startswith("The API server refuses ")
    assert told in message
    # It is mended without anybody's help but that of who made the mistake.
    site.change({"spec": {"template": None, "service": None, "networkPolicy": None}})
    site.until("Degraded", "AsWanted")


def test_no_mistake_leaves_a_traceback_or_a_secret_in_the_log(site: Site, own_operator: OperatorProcess) -> None:
    server = site.make(name="healthy")
    site.make_secrets(server, PASSWORD)
    for number, (spec, _) in enumerate(MISTAKES):
        with pytest.raises(ApiError):
            site.api.create(manifest(spec, f"refused-{number}"), site.home)
    for change, _ in NEVER[:2]:
        with pytest.raises(ApiError):
            site.change({"spec": change}, "healthy")
    for number, (spec, _) in enumerate(TOLD.values()):
        site.make(spec, f"told-{number}", secrets=False)
        site.until("Degraded", "Refused", f"told-{number}")
    nowhere = {"urlSecretRef": {"name": "nowhere", "key": "url"}}
    site.make({**SMALLEST, "redis": nowhere}, "missing", secrets=False)
    assert "Secret" in site.until("Degraded", "SecretMissing", "missing")
    site.deployment("healthy-gateway")
    own_operator.idle()
    assert own_operator.complaints() == []
    assert own_operator.metric("tusfleet_operator_reconciliations_total", outcome="failed") == 0
    log = own_operator.log()
    assert "This operator leads" in log
    assert PASSWORD not in log
    assert max(map(len, log.splitlines())) < LENGTH
    # Nor is any of it told of them.
    told = [site.server(f"told-{number}")["status"] for number in range(len(TOLD))]
    events = site.api.objects("v1", "Event", site.home)
    assert len(events) >= len(TOLD)
    assert PASSWORD not in json.dumps([told, site.server("healthy")["status"], events])
