"""`kubectl tus report`: one file with all that it takes to find out what is wrong. No Secret is read for it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tusfleet_operator import names
from tusfleet_operator.plugin import redaction
from tusfleet_operator.plugin.kubectl import Kubectl

CHILDREN = (
    "configmaps,serviceaccounts,services,deployments,horizontalpodautoscalers,poddisruptionbudgets,"
    "networkpolicies,ingresses"
)
OPTIONAL = ("httproutes.gateway.networking.k8s.io", "servicemonitors.monitoring.coreos.com")

LOG_LINES = 5000
"""Of each container."""


def write(kubectl: Kubectl, name: str, operator_namespace: str, place: Path) -> list[str]:
    """Write the report of one TusServer to `place`; gives the names of what is in it."""
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as file:
        for path, content in _contents(kubectl, name, operator_namespace):
            file.writestr(path, content)
        return file.namelist()


def _contents(kubectl: Kubectl, name: str, operator_namespace: str) -> Iterator[tuple[str, str]]:
    owned = f"{names.OWNER}={name}"
    yield "tusserver.json", _json(kubectl.json("get", "tusserver", name))
    yield "versions.txt", kubectl.attempt("version")
    yield "definition.json", _found(kubectl, "get", "customresourcedefinition", "tusservers.tusfleet.dev")
    yield "children.json", _found(kubectl, "get", CHILDREN, "--selector", owned)
    for kind in OPTIONAL:
        yield f"{kind}.json", _found(kubectl, "get", kind, "--selector", owned)
    yield "events.json", _found(kubectl, "get", "events")
    pods = kubectl.json("get", "pods", "--selector", names.pods_of(name))
    yield "replicasets.json", _found(kubectl, "get", "replicasets", "--selector", names.pods_of(name))
    yield "pods.json", _json(pods)
    for pod in pods["items"]:
        yield from _logs(kubectl, pod["metadata"]["name"])
    yield "operator/pods.json", _found(kubectl, "get", "pods", "--namespace", operator_namespace, *_OPERATORS)
    yield (
        "operator/log.txt",
        redaction.text(
            kubectl.attempt("logs", "--namespace", operator_namespace, *_OPERATORS, "--prefix", f"--tail={LOG_LINES}")
        ),
    )


_OPERATORS = ("--selector", f"{names.NAME}={names.OPERATOR}")


def _logs(kubectl: Kubectl, pod: str) -> Iterator[tuple[str, str]]:
    for which, options in (("log", ()), ("log before", ("--previous",))):
        text = kubectl.attempt("logs", pod, "--all-containers", f"--tail={LOG_LINES}", *options)
        yield f"pods/{pod} {which}.txt", redaction.text(text)


def _found(kubectl: Kubectl, *arguments: str) -> str:
    """Objects, or why there are none: a report of half of it is better than none."""
    text = kubectl.attempt(*arguments, "--output", "json")
    try:
        return _json(json.loads(text))
    except ValueError:
        return redaction.text(text)


def _json(body: Any) -> str:
    return json.dumps(redaction.body(body), indent=2, ensure_ascii=False) + "\n"
