"""Helm 3 and Helm 4, and what they make of the charts of this project."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from scripts.charts import OPERATOR, PLAIN
from tests.testbed.fixtures import need
from tests.testbed.processes import PASSED_ON
from tests.testbed.programs import built_program

Manifest = dict[str, Any]

HELMS = ("helm3", "helm4")
CHARTS = {"tusfleet-operator": OPERATOR, "tusfleet": PLAIN}

MOST: dict[str, Any] = {
    "monitoring": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True, "alertLabels": {"team": "red"}},
        "dashboard": {"enabled": True},
    },
    "tests": {"uploadUrl": "http://uploads.apps.svc/files", "tokenSecret": {"name": "tokens"}},
    "image": {"pullSecrets": ["registry"]},
    "podLabels": {"team": "red"},
    "podAnnotations": {"team": "red"},
    "nodeSelector": {"disk": "none"},
    "tolerations": [{"key": "operators", "operator": "Exists"}],
    "priorityClassName": "operators",
    "serviceAccount": {"annotations": {"a": "b"}},
}
"""Values of the operator's chart that make everything it can make."""

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "operator": ("tusfleet-operator", {}),
    "operator-most": ("tusfleet-operator", MOST),
    "operator-namespaced": ("tusfleet-operator", {**MOST, "watchNamespaces": ["red", "blue"], "replicas": 1}),
    **{
        f"plain-{path.stem}": ("tusfleet", yaml.safe_load(path.read_text(encoding="utf-8")))
        for path in sorted((PLAIN / "ci").glob("*.yaml"))
    },
}
"""Chart and values, by name."""


def helm(tool: str, *arguments: str, values: Mapping[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    """Run Helm without a cluster; `values` go in as a file. A machine that cannot have it skips the test."""
    need(tool)
    with tempfile.TemporaryDirectory() as home:
        passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        file = Path(home) / "values.json"
        file.write_text(json.dumps(values or {}), encoding="utf-8")
        return subprocess.run(
            [str(built_program(tool)), *arguments, "--values", str(file)],
            env={**passed_on, "HOME": home},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


def rendered(tool: str, chart: str, values: Mapping[str, Any], *arguments: str) -> list[Manifest]:
    """The objects of a release named uploads in the namespace apps."""
    return list(yaml.safe_load_all(_text(tool, chart, json.dumps(values, sort_keys=True), arguments)))


@cache
def _text(tool: str, chart: str, values: str, arguments: tuple[str, ...]) -> str:
    """What Helm prints; several tests look at the same."""
    command = ("template", "uploads", str(CHARTS[chart]), "--namespace", "apps", *arguments)
    done = helm(tool, *command, values=json.loads(values))
    assert done.returncode == 0, done.stderr
    return done.stdout


def refusal(tool: str, chart: str, values: Mapping[str, Any]) -> str:
    """What Helm says to values that it does not take."""
    done = helm(tool, "template", "uploads", str(CHARTS[chart]), values=values)
    assert done.returncode != 0, done.stdout
    return done.stderr


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    """The objects of a kind."""
    return [manifest for manifest in manifests if manifest["kind"] == kind]
