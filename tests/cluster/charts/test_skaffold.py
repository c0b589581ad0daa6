"""What skaffold.yaml forwards is made by what it installs, under that port."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.charts.helms import HELMS, Manifest, helm, of_kind
from tests.unit.operator.builders.cases import IMAGE
from tusfleet_operator import builders
from tusfleet_operator.builders import Observed
from tusfleet_operator.resource.server import TusServer

ROOT = Path(__file__).resolve().parents[3]

CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "skaffold.yaml").read_text(encoding="utf-8"))

Made = set[tuple[str, str, int]]
"""Namespaces and names of Services, and their ports."""


def installed(tool: str, release: dict[str, Any]) -> Made:
    """What Helm makes of a release."""
    images = [f"--set-string={path}=built" for path in release["setValueTemplates"]]
    files = [f"--values={ROOT / file}" for file in release.get("valuesFiles", [])]
    place = (release["name"], str(ROOT / release["chartPath"]), "--namespace", release["namespace"])
    done = helm(tool, "template", *place, *files, *images)
    assert done.returncode == 0, done.stderr
    return ports(list(yaml.safe_load_all(done.stdout)), release["namespace"])


def applied() -> Made:
    """What the hook applies, and what the operator makes of the TusServers in it."""
    (hook,) = CONFIG["deploy"]["helm"]["hooks"]["after"]
    command = hook["host"]["command"]
    namespace = command[command.index("--namespace") + 1]
    file = ROOT / command[command.index("--filename") + 1]
    manifests: list[Manifest] = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    made = ports(manifests, namespace)
    for found in of_kind(manifests, "TusServer"):
        metadata = {**found["metadata"], "namespace": namespace, "uid": "1", "generation": 1}
        made |= ports(builders.build(TusServer.read({**found, "metadata": metadata}), Observed(IMAGE)), namespace)
    return made


def ports(manifests: list[Manifest], namespace: str) -> Made:
    return {
        (found["metadata"].get("namespace", namespace), found["metadata"]["name"], port["port"])
        for found in of_kind([one for one in manifests if one], "Service")
        for port in found["spec"]["ports"]
    }


@pytest.mark.parametrize("tool", HELMS)
def test_what_is_forwarded_is_a_port_of_a_service_that_is_made(tool: str) -> None:
    made = applied().union(*(installed(tool, release) for release in CONFIG["deploy"]["helm"]["releases"]))
    forwarded = {(each["namespace"], each["resourceName"], each["port"]) for each in CONFIG["portForward"]}
    assert {each["resourceType"] for each in CONFIG["portForward"]} == {"service"}
    assert len(forwarded) == len(CONFIG["portForward"]) == 2
    assert forwarded <= made


@pytest.mark.parametrize("tool", HELMS)
def test_the_profile_forwards_what_the_plain_chart_makes_alone(tool: str) -> None:
    (plain,) = (release for release in CONFIG["deploy"]["helm"]["releases"] if release["name"] == "plain")
    (profile,) = CONFIG["profiles"]
    removed = {patch["path"] for patch in profile["patches"] if patch["op"] == "remove"}
    left = [each for at, each in enumerate(CONFIG["portForward"]) if f"/portForward/{at}" not in removed]
    assert left
    assert {(each["namespace"], each["resourceName"], each["port"]) for each in left} <= installed(tool, plain)
