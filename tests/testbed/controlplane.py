"""A Kubernetes control plane on 127.0.0.1: the real API server on etcd (L1), with controllers and scheduler (L2).

    with control_plane(folder) as plane:                      # L1: ready in 3 s
        plane.install("gateway-api", "prometheus-operator")   # resource definitions of others
        home = plane.namespace()                              # a namespace that nobody else uses
        plane.api.apply(manifest, home)                       # as the administrator
        access = plane.service_account(home, "operator")      # a token and kubeconfig of a service account
        plane.kubectl("get", "all", "-n", home)

Tests take the fixtures of `kube_fixtures.py`. At L1 nothing acts on objects: Deployments make no pods, owners that go
leave their children, a namespace never ends. At L2 pods exist as objects and stay Pending, since there is no node.
"""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import eventually
from tests.testbed.certificates import Authority, make_authority
from tests.testbed.controlplane_programs import ADMIN, ALONE, CONTROLLER_MANAGER, SCHEDULER, Setting, Site
from tests.testbed.go_modules import module_files
from tests.testbed.kube_access import Access, write_access
from tests.testbed.kube_api import KubeApi, Object
from tests.testbed.kube_tools import kubectl
from tests.testbed.ports import reserved_port
from tests.testbed.processes import Program, running

TOKEN_SECONDS = 24 * 3600
"""Life of a service account's token; an API server may shorten it."""

SETTLE_SECONDS = 30.0
"""Longest wait for what a control plane does at its start; it needs a second."""

_numbers = itertools.count(1)


@dataclass
class ControlPlane:
    """A running control plane.

    Parameters:
        folder: of all its files.
        admin: who may do everything.
        authority: signed the API server's certificate; certificates of clients that it signs are taken too.
        programs: etcd, kube-apiserver and the others by name, to be killed, frozen or restarted.
    """

    folder: Path
    admin: Access
    authority: Authority
    programs: dict[str, Program]
    users: dict[str, Access]
    api: KubeApi = field(init=False)

    def __post_init__(self) -> None:
        self.api = KubeApi(self.admin)

    @property
    def controlled(self) -> bool:
        """Whether controllers act on objects (L2)."""
        return "kube-controller-manager" in self.programs

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """What kubectl prints for the administrator; an AssertionError with what it said when it fails."""
        return kubectl(self.admin, *arguments, stdin=stdin)

    def namespace(self, prefix: str = "test", labels: Mapping[str, str] | None = None) -> str:
        """A new namespace with a service account `default`, as pods need it."""
        name = f"{prefix}-{next(_numbers)}-{uuid.uuid4().hex[:8]}"
        self.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels or {}}})
        if self.controlled:
            eventually(lambda: self.api.get("v1", "ServiceAccount", "default", name), SETTLE_SECONDS)
        else:
            self._make_service_account(name, "default")
        return name

    def service_account(self, namespace: str, name: str) -> Access:
        """A token of the service account, which is made when there is none; it may do what RBAC gives it."""
        if self.api.get("v1", "ServiceAccount", name, namespace) is None:
            self._make_service_account(namespace, name)
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
        answer = self.api.http.post(
            self.api.path("v1", "ServiceAccount", namespace, name, "token"),
            json={**request, "spec": {"expirationSeconds": TOKEN_SECONDS}},
        )
        token = answer.raise_for_status().json()["status"]["token"]
        user = f"system:serviceaccount:{namespace}:{name}"
        file = self.folder / "access" / f"{namespace}-{name}.kubeconfig"
        admin = self.admin
        return write_access(file, admin.server, admin.authority, user, token, namespace, admin.network)

    def install(self, *names: str) -> None:
        """Have these definitions of others (tables [go-files.NAME]), ready for use. Raises Unavailable."""
        for name in names:
            files = [argument for file in module_files(name) for argument in ("-f", str(file))]
            # They are too large for the annotation in which a client-side apply keeps a copy.
            self.kubectl("apply", "--server-side", *files)
            self.kubectl("wait", "--for=condition=Established", "--timeout=60s", *files)

    def uninstall(self, *names: str) -> None:
        """Remove these definitions, with every object of their kinds."""
        for name in names:
            self.kubectl("delete", *(argument for file in module_files(name) for argument in ("-f", str(file))))

    def audit(self, user: str = "") -> list[Object]:
        """Every request so far as the API server noted it (audit.k8s.io/v1 Event), of one user or of all."""
        found = []
        # At 100 MB the server goes on with another file, and gives the first one a name with the time in it.
        for file in (*sorted(self.folder.glob("audit-*.log")), self.folder / "audit.log"):
            with file.open(encoding="utf-8") as lines:
                # A line without the name is not his, and reading all of a long run as JSON would take a minute.
                found += [json.loads(line) for line in lines if user in line]
        return [event for event in found if not user or event["user"]["username"] == user]

    def _make_service_account(self, namespace: str, name: str) -> None:
        self.api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}, namespace)


@contextmanager
def control_plane(folder: Path, *, controllers: bool = False, site: Site = ALONE) -> Iterator[ControlPlane]:
    """etcd and the API server; with `controllers`, also the controller manager and the scheduler.

    Raises Unavailable when one of them cannot be had.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        setting = Setting(folder, site, make_authority(folder / "authority", "testbed"))
        etcd = setting.etcd(*(stack.enter_context(reserved_port()) for _ in range(2)))
        port = stack.enter_context(reserved_port())
        users = setting.write_users(port)
        server = setting.api_server(port, etcd.command[etcd.command.index("--listen-client-urls") + 1], users[ADMIN])
        plane = ControlPlane(
            folder, users[ADMIN], setting.authority, {program.name: program for program in (etcd, server)}, users
        )
        stack.callback(plane.api.close)
        stack.enter_context(running(etcd))
        stack.enter_context(running(server))
        eventually(lambda: plane.api.get("v1", "Namespace", "default"), SETTLE_SECONDS)
        if controllers:
            more = [
                setting.controller_manager(stack.enter_context(reserved_port()), users[CONTROLLER_MANAGER]),
                setting.scheduler(stack.enter_context(reserved_port()), users[SCHEDULER]),
            ]
            stack.enter_context(running(*more))
            plane.programs |= {program.name: program for program in more}
            eventually(lambda: plane.api.get("v1", "ServiceAccount", "default", "default"), SETTLE_SECONDS)
        yield plane
