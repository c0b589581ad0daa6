"""Golden manifests: what each builder makes of the cases, as files that people read.

`python -m tests.unit.operator.builders.golden` writes them anew; what git then shows is what changes in clusters. A
change in the template of a Deployment's pods means that an upgrade of the operator replaces the pods of every
TusServer: say so in CHANGELOG.md.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import kubernetes_validate

from scripts.crd import dumped
from tests.unit.operator.builders.cases import OBSERVED, SPECS, case
from tusfleet_operator.builders import Manifest

FOLDER = Path(__file__).with_name("golden")

KUBERNETES = ("1.29", "1.32", "1.36")
"""Versions whose schemas every manifest must fit, strictly: no unknown field."""

CASES: dict[str, tuple[str, ...]] = {
    "service_account": ("smallest", "aws"),
    "settings": ("smallest", "production", "aws", "sentinel", "dev"),
    "network_policy": ("production", "dev"),
    "redis": ("dev",),
    "service": ("smallest", "aws", "dev"),
    "metrics_service": ("smallest",),
    "gateway": ("smallest", "production", "sentinel", "template", "orphan"),
    "janitor": ("smallest", "production", "sentinel", "template"),
    "disruption_budget": ("smallest", "production"),
    "autoscaler": ("production",),
    "http_route": ("production",),
    "ingress": ("dev",),
    "service_monitor": ("production",),
    "prometheus_rule": ("production",),
}
"""Of which cases each child has a golden file."""

FOREIGN = ("gateway.networking.k8s.io/", "monitoring.coreos.com/")
"""API groups that are not of Kubernetes itself: their CRDs judge them in tests/cluster."""


def built(child: str, name: str) -> list[Manifest]:
    """What a builder makes of a case."""
    found: list[Manifest] = importlib.import_module(f"tusfleet_operator.builders.{child}").build(case(name), OBSERVED)
    return found


def text(child: str, name: str) -> str:
    """The file as it is to be."""
    return "---\n".join(dumped(manifest) for manifest in built(child, name))


def file(child: str, name: str) -> Path:
    """Where it is."""
    return FOLDER / child / f"{name}.yaml"


def assert_golden(child: str, name: str) -> None:
    """The builder makes what the file says, and every version of Kubernetes takes it."""
    assert file(child, name).read_text(encoding="utf-8") == text(child, name)
    assert_valid(built(child, name))


def assert_valid(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        if not manifest["apiVersion"].startswith(FOREIGN):
            for version in KUBERNETES:
                kubernetes_validate.validate(manifest, version, strict=True)


def main() -> None:
    assert set(SPECS) >= {name for names in CASES.values() for name in names}
    wanted = {file(child, name): text(child, name) for child, names in CASES.items() for name in names}
    for path in set(FOLDER.rglob("*.yaml")) - set(wanted):
        path.unlink()
    for path, content in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
