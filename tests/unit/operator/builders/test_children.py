"""What holds for all children together."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.operator.builders import golden
from tests.unit.operator.builders.cases import OBSERVED, SPECS, case
from tusfleet_operator import builders, names
from tusfleet_operator.references import references
from tusfleet_operator.resource.server import LONGEST_NAME

ALL = [pytest.param(name, id=name) for name in SPECS]


def children(name: str) -> list[dict[str, Any]]:
    return builders.build(case(name), OBSERVED)


def test_every_builder_has_golden_files() -> None:
    modules = {builder.__name__.rpartition(".")[2] for builder in builders.BUILDERS}
    assert modules == set(golden.CASES)
    on_disk = {path.relative_to(golden.FOLDER) for path in golden.FOLDER.rglob("*.yaml")}
    expected = {golden.file(child, name) for child, found in golden.CASES.items() for name in found}
    assert on_disk == {path.relative_to(golden.FOLDER) for path in expected}


@pytest.mark.parametrize("name", ALL)
def test_every_version_of_kubernetes_takes_them(name: str) -> None:
    golden.assert_valid(children(name))


@pytest.mark.parametrize("name", ALL)
def test_none_is_there_twice(name: str) -> None:
    found = [(child["apiVersion"], child["kind"], child["metadata"]["name"]) for child in children(name)]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("name", ALL)
def test_all_are_watched_and_tell_whose_they_are(name: str) -> None:
    for child in children(name):
        labels = child["metadata"]["labels"]
        assert (labels[names.MANAGED_BY], labels[names.OWNER]) == (names.OPERATOR, "uploads")
        assert child["metadata"]["namespace"] == "apps"


@pytest.mark.parametrize("name", ALL)
def test_all_go_with_their_owner_unless_they_are_to_stay(name: str) -> None:
    for child in children(name):
        owners = child["metadata"].get("ownerReferences", [])
        assert [owner["controller"] for owner in owners] == ([] if name == "orphan" else [True])
        # That would need the right to change finalizers of a TusServer.
        assert all("blockOwnerDeletion" not in owner for owner in owners)


@pytest.mark.parametrize("name", ALL)
def test_names_fit_for_the_longest_name_of_a_tusserver(name: str) -> None:
    longest = {"v1/Service": 63, "v1/ConfigMap": 253}
    for child in children(name):
        most = longest.get(f"{child['apiVersion']}/{child['kind']}", 63 - len("-0123456789-abcde"))
        assert len(child["metadata"]["name"]) - len("uploads") + LONGEST_NAME <= most


@pytest.mark.parametrize("name", ALL)
def test_builders_say_nothing_they_do_not_mean(name: str) -> None:
    """What is None would be owned, and would remove what others have put there."""

    def members(value: object) -> list[object]:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return [value, *(found for member in inner for found in members(member))]

    assert not any(found is None for child in children(name) for found in members(child))


@pytest.mark.parametrize("name", ALL)
def test_everything_that_is_read_from_secrets_is_known_beforehand(name: str) -> None:
    """What pods refer to is what `references` lists: its absence is told, its rotation replaces pods."""
    known = {(found.kind, found.name, found.key) for found in references(case(name).spec)}
    seen: set[tuple[str, str, str]] = set()
    for child in children(name):
        if child["kind"] != "Deployment" or child["metadata"]["name"].endswith("-redis"):
            continue
        pod = child["spec"]["template"]["spec"]
        for variable in pod["containers"][0].get("env", []):
            for kind, source in (("Secret", "secretKeyRef"), ("ConfigMap", "configMapKeyRef")):
                if reference := variable.get("valueFrom", {}).get(source):
                    seen.add((kind, reference["name"], reference["key"]))
        for volume in pod["volumes"]:
            for kind, source in (("Secret", "secret"), ("ConfigMap", "configMap")):
                found = volume.get(source, {})
                named = found.get("secretName", found.get("name"))
                seen |= {(kind, named, item["key"]) for item in found.get("items", [])}
    assert seen == known


def test_the_operator_does_not_make_what_it_cannot_watch() -> None:
    kinds = {child["kind"] for name in SPECS for child in children(name)}
    assert kinds == {
        "ConfigMap", "Deployment", "HTTPRoute", "HorizontalPodAutoscaler", "Ingress", "NetworkPolicy",
        "PodDisruptionBudget", "PrometheusRule", "Service", "ServiceAccount", "ServiceMonitor",
    }  # fmt: skip
