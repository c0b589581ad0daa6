"""What the charts render: clean for Helm 3 and Helm 4, valid for several versions of Kubernetes, restricted, pinned."""

from __future__ import annotations

import ast
import subprocess
from typing import Any

import kubernetes_validate
import pytest
import yaml

from scripts import crd
from scripts.rbac import rules
from tests.cluster.charts.helms import CASES, CHARTS, HELMS, MOST, Manifest, helm, of_kind, rendered
from tests.testbed.fixtures import need
from tests.testbed.programs import built_program
from tests.unit.operator.builders.golden import FOREIGN, KUBERNETES
from tusfleet_operator import names

DIGEST = f"sha256:{'0' * 64}"


def pods(manifests: list[Manifest]) -> list[Manifest]:
    """The specs of all pods."""
    found = [one["spec"]["template"]["spec"] for one in of_kind(manifests, "Deployment")]
    return found + [one["spec"] for one in of_kind(manifests, "Pod")]


@pytest.mark.parametrize("tool", HELMS)
@pytest.mark.parametrize("case", CASES)
def test_helm_lint_has_nothing_to_say(tool: str, case: str) -> None:
    chart, values = CASES[case]
    done = helm(tool, "lint", "--strict", str(CHARTS[chart]), values=values)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout + done.stderr


@pytest.mark.parametrize("tool", HELMS)
@pytest.mark.parametrize("case", CASES)
def test_every_version_of_kubernetes_takes_them(tool: str, case: str) -> None:
    for manifest in rendered(tool, *CASES[case]):
        if not manifest["apiVersion"].startswith(FOREIGN):
            for version in KUBERNETES:
                kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("case", CASES)
def test_both_helms_render_the_same(case: str) -> None:
    three, four = (rendered(tool, *CASES[case]) for tool in HELMS)
    assert sorted(three, key=str) == sorted(four, key=str)


@pytest.mark.parametrize("case", CASES)
def test_none_is_there_twice_and_all_say_where(case: str) -> None:
    found = rendered("helm4", *CASES[case])
    identities = [(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in found]
    assert len(set(identities)) == len(identities)
    everywhere = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
    assert all((one["metadata"].get("namespace") is None) == (one["kind"] in everywhere) for one in found)


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_the_operators(case: str) -> None:
    """Helm 4 applies on the server: of an object that both own, each would take fields from the other."""
    for manifest in rendered("helm4", *CASES[case]):
        assert manifest["kind"] not in {"TusServer", "Lease"}
        labels = manifest["metadata"].get("labels", {})
        assert labels.get(names.MANAGED_BY) != names.OPERATOR
        assert names.OWNER not in labels


@pytest.mark.parametrize("case", CASES)
def test_pods_are_restricted(case: str) -> None:
    found = pods(rendered("helm4", *CASES[case]))
    assert found
    for pod in found:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }
            assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize(
    ("chart", "values"),
    [
        ("tusfleet-operator", {"image": {"digest": DIGEST}, "gatewayImage": {"digest": DIGEST}}),
        ("tusfleet", {**CASES["plain-smallest"][1], "image": {"digest": DIGEST, "tag": "1.0.0"}}),
    ],
    ids=CHARTS,
)
def test_images_can_be_pinned(chart: str, values: dict[str, Any]) -> None:
    found = pods(rendered("helm4", chart, values))
    images = [container["image"] for pod in found for container in pod["containers"]]
    arguments = [text for pod in found for text in pod["containers"][0].get("args", []) if text.startswith("--image=")]
    assert all(text.endswith(f"@{DIGEST}") for text in images + arguments)
    assert len(arguments) == (1 if chart == "tusfleet-operator" else 0)


def test_the_definition_is_the_operators_and_stays() -> None:
    (found,) = of_kind(rendered("helm4", "tusfleet-operator", {}), "CustomResourceDefinition")
    assert found["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert found == yaml.safe_load(crd.FILE.read_text(encoding="utf-8"))
    without = rendered("helm4", "tusfleet-operator", {"crds": {"enabled": False}})
    assert of_kind(without, "CustomResourceDefinition") == []


def test_rights_are_those_of_the_one_list() -> None:
    everywhere = rendered("helm4", "tusfleet-operator", {})
    (cluster,), (own,) = of_kind(everywhere, "ClusterRole"), of_kind(everywhere, "Role")
    assert cluster["rules"] == rules(own_namespace=False)
    assert (own["rules"], own["metadata"]["namespace"]) == (rules(own_namespace=True), "apps")
    named = rendered("helm4", *CASES["operator-namespaced"])
    assert of_kind(named, "ClusterRole") == of_kind(named, "ClusterRoleBinding") == []
    roles = {role["metadata"]["namespace"]: role["rules"] for role in of_kind(named, "Role")}
    assert roles == {"red": cluster["rules"], "blue": cluster["rules"], "apps": own["rules"]}
    for binding in of_kind(named, "RoleBinding"):
        assert binding["subjects"][0]["namespace"] == "apps"


def test_an_operator_is_told_what_the_values_say() -> None:
    (deployment,) = of_kind(rendered("helm4", *CASES["operator-namespaced"]), "Deployment")
    arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    assert {"--watch-namespace=red", "--watch-namespace=blue"} <= set(arguments)
    assert deployment["spec"]["replicas"] == 1
    assert of_kind(rendered("helm4", *CASES["operator-namespaced"]), "PodDisruptionBudget") == []


@pytest.mark.parametrize("case", CASES)
def test_programs_of_helm_tests_are_programs(case: str) -> None:
    for pod in of_kind(rendered("helm4", *CASES[case]), "Pod"):
        for container in pod["spec"]["containers"]:
            ast.parse(container["args"][0])


def test_kubeconform_agrees_that_foreign_objects_are_well_formed() -> None:
    """The definitions of others judge them in test_releases.py; here only that nothing is rendered twice in one map."""
    need("kubeconform")
    text = helm("helm4", "template", "uploads", str(CHARTS["tusfleet-operator"]), values=MOST).stdout
    done = subprocess.run(
        [str(built_program("kubeconform")), "-strict", "-ignore-missing-schemas", "-schema-location", "/nowhere"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
