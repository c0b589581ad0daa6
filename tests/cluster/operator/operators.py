"""Real operator processes, as the service account that the chart gives them: with the rights of the one list."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from scripts.rbac import rules
from tests.servers import eventually
from tests.testbed.controlplane import ControlPlane
from tests.testbed.kube_access import Access
from tests.testbed.ports import reserved_port
from tests.testbed.processes import Program

IMAGE = "registry.example/tusfleet:1.0.0"
ACCOUNT = "operator"
RBAC = "rbac.authorization.k8s.io/v1"

SETTLE_SECONDS = 30.0
"""The operator acts within milliseconds; on a machine that builds beside the tests, later."""


class OperatorProcess(Program):
    """`tusfleet-operator run`.

    Parameters:
        access: whose credentials it has; a kubeconfig.
        home: its own namespace.
    """

    def __init__(self, access: Access, home: str, port: int, folder: Path, *flags: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port
        command = [
            sys.executable, "-m", "tusfleet_operator.main", "run", "--namespace", home, "--image", IMAGE,
            "--identity", "operator-0", "--port", str(port), "--resync", "5", "--discovery", "1",
            "--log-format", "text", *flags,
        ]  # fmt: skip
        # What the coverage of subprocesses needs comes from the environment, of which a program gets little otherwise.
        measured = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
        environment = {**measured, "KUBECONFIG": str(access.kubeconfig)}
        super().__init__(f"operator-{port}", command, folder, ready=self.leads, environment=environment)

    def leads(self) -> bool:
        """Whether it does the work."""
        return self.metric("tusfleet_operator_leader") == 1

    def page(self, path: str) -> httpx.Response | None:
        """What it answers; None without an answer."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=5, trust_env=False)
        except httpx.TransportError:
            return None

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the series of this name that have these labels; 0 without any."""
        answer = self.page("/metrics")
        text = "" if answer is None else answer.text
        found = re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", text, re.MULTILINE)
        wanted = {f'{key}="{value}"' for key, value in labels.items()}
        return sum(float(value) for given, value in found if wanted <= set(given.split(",")))

    def idle(self) -> None:
        """Wait until nothing is waiting to be looked at, and nothing was for a moment."""
        seen = -1.0

        def nothing_happens() -> bool:
            nonlocal seen
            looks = self.metric("tusfleet_operator_reconciliations_total")
            same, seen = looks == seen, looks
            return same and self.metric("tusfleet_operator_queue_depth") == 0

        eventually(nothing_happens, SETTLE_SECONDS)

    def complaints(self) -> list[str]:
        """Lines of its log that tell of a defect."""
        return [line for line in self.log().splitlines() if "Traceback" in line or "A defect" in line]


def permit(plane: ControlPlane, home: str, without: Sequence[tuple[str, str]] = ()) -> Access:
    """The operator's service account, with the rights of the list in its namespace; `without`: resource and verb."""
    access = plane.service_account(home, ACCOUNT)
    given: list[dict[str, Any]] = []
    for rule in [*rules(own_namespace=False), *rules(own_namespace=True)]:
        verbs = [verb for verb in rule["verbs"] if (rule["resources"][0], verb) not in without]
        given += [{**rule, "verbs": verbs}] if verbs else []
    _grant(plane, home, home, given)
    return access


def permit_everywhere(plane: ControlPlane, home: str) -> Access:
    """The same for all namespaces."""
    access = plane.service_account(home, ACCOUNT)
    _grant(plane, home, None, rules(own_namespace=False))
    _grant(plane, home, home, rules(own_namespace=True))
    return access


def _grant(plane: ControlPlane, home: str, where: str | None, given: list[dict[str, Any]]) -> None:
    prefix, name = ("Cluster", f"{home}-{ACCOUNT}") if where is None else ("", ACCOUNT)
    role = {"apiVersion": RBAC, "kind": f"{prefix}Role", "metadata": {"name": name}, "rules": given}
    plane.api.apply(role, where)
    plane.api.apply(
        {
            "apiVersion": RBAC,
            "kind": f"{prefix}RoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": RBAC.partition("/")[0], "kind": f"{prefix}Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": home}],
        },
        where,
    )


@contextmanager
def an_operator(access: Access, home: str, folder: Path, *flags: str, wait: bool = True) -> Iterator[OperatorProcess]:
    """An operator that runs during the block; its log tells of no defect at the end."""
    with reserved_port() as port:
        process = OperatorProcess(access, home, port, folder / f"operator-{port}", *flags)
        try:
            process.start(wait=wait)
            yield process
        finally:
            process.stop()
        assert process.complaints() == [], process.log()
