"""The programs of a node with their flags."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.testbed import node_files
from tests.testbed.certificates import Authority, make_authority
from tests.testbed.commands import Unavailable
from tests.testbed.controlplane import ControlPlane
from tests.testbed.controlplane_programs import Site
from tests.testbed.kube_access import Access
from tests.testbed.netns import NetworkNamespace
from tests.testbed.node_files import ADDRESS, NAME, PODS
from tests.testbed.processes import Program
from tests.testbed.programs import built_program

KUBELET = f"system:node:{NAME}"
PROXY = "system:kube-proxy"

METRICS_PORT = 4443
DNS_HEALTH = "127.0.0.1:8181"


def site(folder: Path, network: NetworkNamespace) -> Site:
    """The control plane where pods reach it, which in turn reaches kubelets and serves figures of CPU and memory."""
    users = {KUBELET: ["system:nodes"], PROXY: []}
    return Site(ADDRESS, "0.0.0.0", users, lambda authority: _flags(authority, folder), network)


def _flags(authority: Authority, folder: Path) -> list[str]:
    calls = authority.issue("apiserver-calls", "/O=system:masters/CN=kube-apiserver-kubelet-client")
    front = make_authority(folder / "front-proxy", "front-proxy")
    relays = front.issue("relays", "/CN=front-proxy-client")
    return [
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-client-certificate={calls.certificate}",
        f"--kubelet-client-key={calls.key}",
        f"--requestheader-client-ca-file={front.certificate}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={relays.certificate}",
        f"--proxy-client-key-file={relays.key}",
        "--enable-aggregator-routing=true",
    ]


def containerd(folder: Path) -> Program:
    """The runtime, with its shim on its PATH."""
    binary = built_program("containerd")
    address = folder / "containerd.sock"
    node_files.cni(folder)
    configuration = node_files.containerd(folder, built_program("cni-plugins").parent, needed("runc"))
    return Program(
        "containerd",
        [str(binary), "--config", str(configuration), "--address", str(address)],
        folder,
        ready=lambda: _answers(address),
        environment={"PATH": f"{binary.parent}:{os.environ['PATH']}"},
    )


def kubelet(folder: Path, plane: ControlPlane) -> Program:
    """The kubelet, ready when the node is."""
    configuration = node_files.kubelet(folder, plane.authority.certificate)
    command = [
        str(built_program("kubelet")), f"--config={configuration}", f"--kubeconfig={plane.users[KUBELET].kubeconfig}",
        f"--root-dir={folder / 'kubelet'}", f"--cert-dir={folder / 'kubelet-certs'}",
        f"--hostname-override={NAME}", f"--node-ip={ADDRESS}",
    ]  # fmt: skip
    return Program("kubelet", command, folder, ready=lambda: _is_ready(plane))


def kube_proxy(folder: Path, access: Access) -> Program:
    """Services, by rules of nftables."""
    needed("nft")
    command = [
        str(built_program("kube-proxy")), f"--kubeconfig={access.kubeconfig}", f"--hostname-override={NAME}",
        "--proxy-mode=nftables", f"--cluster-cidr={PODS}",
        # These settings of the kernel are the machine's, not the namespace's.
        "--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0s",
        "--conntrack-tcp-timeout-close-wait=0s",
    ]  # fmt: skip
    return Program("kube-proxy", command, folder, ready=_says_ok("http://127.0.0.1:10256/livez"))


def coredns(folder: Path, access: Access) -> Program:
    """Names of Services."""
    configuration = node_files.coredns(folder, access.kubeconfig, DNS_HEALTH)
    command = [str(built_program("coredns")), "-conf", str(configuration)]
    return Program("coredns", command, folder, ready=_says_ok(f"http://{DNS_HEALTH}/ready"))


def metrics_server(folder: Path, access: Access) -> Program:
    """CPU and memory of pods, from the kubelet."""
    command = [
        str(built_program("metrics-server")), f"--kubeconfig={access.kubeconfig}",
        f"--authentication-kubeconfig={access.kubeconfig}", f"--authorization-kubeconfig={access.kubeconfig}",
        "--kubelet-insecure-tls", "--kubelet-preferred-address-types=InternalIP", "--kubelet-request-timeout=5s",
        # The shortest that it takes.
        "--metric-resolution=10s", f"--secure-port={METRICS_PORT}", f"--cert-dir={folder / 'metrics-certs'}",
    ]  # fmt: skip
    return Program("metrics-server", command, folder, ready=_says_ok(f"https://127.0.0.1:{METRICS_PORT}/livez"))


def needed(program: str) -> str:
    """Where a program of the machine is. Raises Unavailable."""
    found = shutil.which(program)
    if found is None:
        raise Unavailable(f"{program} is not on PATH")
    return found


def _answers(address: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(address)) == 0


def _is_ready(plane: ControlPlane) -> bool:
    node = plane.api.get("v1", "Node", NAME)
    conditions = node["status"].get("conditions", []) if node else []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _says_ok(url: str) -> Callable[[], bool]:
    def asked() -> bool:
        try:
            return httpx.get(url, verify=False, timeout=5, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    return asked
