"""The programs of a Kubernetes control plane with their flags, users and certificates."""

from __future__ import annotations

import functools
import json
import secrets
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.testbed.certificates import Authority, make_signing_key
from tests.testbed.kube_access import Access, write_access
from tests.testbed.netns import NetworkNamespace
from tests.testbed.processes import Program
from tests.testbed.programs import built_program

SERVICES = "198.19.0.0/16"
"""Addresses of Services, of the range that RFC 2544 keeps for tests: they are nobody's own."""

API_SERVICE = "198.19.0.1"
"""The first of them is the API server's."""

_AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
"""Every request is noted, without its bodies."""


@dataclass(frozen=True)
class Site:
    """Where a control plane stands, and who else knows it.

    Parameters:
        address: under which it is reached.
        bind: on which it listens.
        users: more users, with their groups.
        flags: more flags of the API server, given the authority.
        network: the namespace in which it stands; None for this machine's own.
    """

    address: str = "127.0.0.1"
    bind: str = "127.0.0.1"
    users: Mapping[str, Sequence[str]] = field(default_factory=dict)
    flags: Callable[[Authority], Sequence[str]] = lambda _: ["--endpoint-reconciler-type=none"]
    network: NetworkNamespace | None = None


ALONE = Site()
"""On this machine, for programs of this machine."""

ADMIN = "admin"
CONTROLLER_MANAGER = "system:kube-controller-manager"
SCHEDULER = "system:kube-scheduler"


class Setting:
    """The programs of one control plane with their files."""

    def __init__(self, folder: Path, site: Site, authority: Authority) -> None:
        self.folder, self.site, self.authority = folder, site, authority
        self._signing = make_signing_key(folder)

    def write_users(self, port: int) -> dict[str, Access]:
        """Give each user a token; the API server reads them at its start."""
        groups: dict[str, Sequence[str]] = {
            ADMIN: ["system:masters"],
            CONTROLLER_MANAGER: [],
            SCHEDULER: [],
            **self.site.users,
        }
        url = f"https://{self.site.address}:{port}"
        lines, users = [], {}
        for number, (user, members) in enumerate(groups.items()):
            token = secrets.token_hex(16)
            lines.append(f'{token},{user},{number},"{",".join(members)}"')
            file = self.folder / "access" / f"{user.replace(':', '-')}.kubeconfig"
            users[user] = write_access(file, url, self.authority.certificate, user, token, network=self.site.network)
        (self.folder / "tokens.csv").write_text("\n".join([*lines, ""]), encoding="utf-8")
        return users

    def etcd(self, client_port: int, peer_port: int) -> Program:
        """The store. What it holds may be lost with the machine, so that nothing waits for a disk."""
        client, peer = f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
        command = [
            str(built_program("etcd")), "--data-dir", str(self.folder / "etcd"), "--unsafe-no-fsync",
            # Alone, it is the leader as soon as it notices that no other is.
            "--heartbeat-interval=10", "--election-timeout=100", "--log-level=warn",
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
        ]  # fmt: skip
        return Program("etcd", command, self.folder, ready=functools.partial(_says_ok, f"{client}/health", True))

    def api_server(self, port: int, etcd: str, admin: Access) -> Program:
        """The API server; Pod Security and the other admission plugins are those it has by default."""
        names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
        addresses = {"127.0.0.1", self.site.address, API_SERVICE}
        served = self.authority.issue(
            "apiserver",
            "/CN=kube-apiserver",
            [*(f"DNS:{name}" for name in names), *(f"IP:{address}" for address in sorted(addresses))],
        )
        policy = self.folder / "audit-policy.json"
        policy.write_text(json.dumps(_AUDIT), encoding="utf-8")
        command = [
            str(built_program("kube-apiserver")), f"--etcd-servers={etcd}",
            f"--bind-address={self.site.bind}", f"--advertise-address={self.site.address}", f"--secure-port={port}",
            f"--tls-cert-file={served.certificate}", f"--tls-private-key-file={served.key}",
            f"--client-ca-file={self.authority.certificate}", f"--cert-dir={self.folder / 'certs'}",
            f"--service-cluster-ip-range={SERVICES}", "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self._signing.public}",
            f"--service-account-signing-key-file={self._signing.private}",
            "--authorization-mode=Node,RBAC", "--allow-privileged=true",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            f"--audit-policy-file={policy}", f"--audit-log-path={self.folder / 'audit.log'}",
            *self.site.flags(self.authority),
        ]  # fmt: skip
        ready = functools.partial(_says_ok, f"https://127.0.0.1:{port}/readyz", admin.tls())
        return Program("kube-apiserver", command, self.folder, ready=ready)

    def controller_manager(self, port: int, access: Access) -> Program:
        """Every controller that Kubernetes has; autoscalers look often, and take CPU figures of young pods."""
        command = [
            str(built_program("kube-controller-manager")), f"--kubeconfig={access.kubeconfig}",
            f"--service-account-private-key-file={self._signing.private}",
            f"--root-ca-file={self.authority.certificate}", "--leader-elect=false",
            # The roles of the controllers are bound to service accounts of their own.
            "--use-service-account-credentials=true",
            f"--bind-address={self.site.bind}", f"--secure-port={port}",
            "--horizontal-pod-autoscaler-sync-period=2s",
            "--horizontal-pod-autoscaler-cpu-initialization-period=10s",
            "--horizontal-pod-autoscaler-initial-readiness-delay=5s",
        ]  # fmt: skip
        ready = functools.partial(_says_ok, f"https://127.0.0.1:{port}/healthz", False)
        return Program("kube-controller-manager", command, self.folder, ready=ready)

    def scheduler(self, port: int, access: Access) -> Program:
        """Which finds no node at L2."""
        command = [
            str(built_program("kube-scheduler")), f"--kubeconfig={access.kubeconfig}", "--leader-elect=false",
            f"--bind-address={self.site.bind}", f"--secure-port={port}",
        ]  # fmt: skip
        ready = functools.partial(_says_ok, f"https://127.0.0.1:{port}/healthz", False)
        return Program("kube-scheduler", command, self.folder, ready=ready)


def _says_ok(url: str, verify: ssl.SSLContext | bool) -> bool:
    """Whether the health check answers; it is open to everybody."""
    try:
        return httpx.get(url, verify=verify, timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False
