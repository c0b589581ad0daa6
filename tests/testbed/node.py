"""A node that runs pods (L3): control plane, containerd, kubelet, kube-proxy, CoreDNS and metrics-server.

    with cluster(folder) as found:                       # ready in 10 s, in a network namespace of its own
        found.load(image("redis"))                       # images come from nowhere else
        found.plane.api.apply(manifest, "default")
        found.plane.kubectl("rollout", "status", "deployment/redis")
        with found.network.entered():                    # addresses of pods and Services are reached from in there
            httpx.get("http://198.19.1.2/")

Only root on Linux can have one, and a machine has one at a time: whoever comes second waits. Everything that it makes
is below its folder or taken down at the end, also when its owner is killed (`takedown.py`). NetworkPolicies have no
effect.
"""

from __future__ import annotations

import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.testbed import node_programs, warden
from tests.testbed.cache import cache_root, locked
from tests.testbed.commands import Unavailable, run_client
from tests.testbed.controlplane import ControlPlane, control_plane
from tests.testbed.controlplane_programs import ADMIN
from tests.testbed.images import Image, image
from tests.testbed.kube_api import Object
from tests.testbed.netns import NetworkNamespace, make_namespace
from tests.testbed.node_files import ADDRESS, ADDRESS_BITS
from tests.testbed.node_programs import METRICS_PORT, PROXY
from tests.testbed.processes import Program, running
from tests.testbed.programs import built_program
from tests.testbed.takedown import last_command, pod_cgroups, take_down, write_will

PROGRAMS = (
    "etcd", "kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy",
    "containerd", "cni-plugins", "coredns", "metrics-server",
)  # fmt: skip
"""What is built for it."""

MACHINE_PROGRAMS = ("runc", "nft", "ip", "buildah", "debootstrap", "gcc", "openssl")
"""What the machine has to have."""

IMPORT_SECONDS = 120.0
"""Longest that an image may take into the node; the largest needs 4 s."""

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Cluster:
    """A control plane with one node.

    Parameters:
        folder: of all its files.
        plane: the control plane, and every program by its name.
        network: the namespace in which all of it runs; nothing of it is reached from elsewhere.
    """

    folder: Path
    plane: ControlPlane
    network: NetworkNamespace
    _loaded: set[Path] = field(default_factory=set)

    def load(self, *images: Image) -> None:
        """Have these images on the node, under their names."""
        # An archive with other content has another name.
        for one in images:
            if one.archive not in self._loaded:
                self._ctr("images", "import", str(one.archive))
                self._loaded.add(one.archive)

    def name(self, image: str, other: str) -> None:
        """Give an image that the node has another name besides."""
        self._ctr("images", "tag", "--force", image, other)

    def images(self) -> set[str]:
        """Names of the images that the node has."""
        listed = self._ctr("images", "list", "--quiet").splitlines()
        # It warns, in sentences, of cgroups of the first version.
        return {line for line in listed if " " not in line}

    def _ctr(self, *arguments: str) -> str:
        ctr = str(built_program("containerd").with_name("ctr"))
        address = f"{self.folder}/containerd.sock"
        return run_client(ctr, "--address", address, "--namespace", "k8s.io", *arguments, seconds=IMPORT_SECONDS)


def why_not() -> str | None:
    """Why this machine cannot have a node; None when it can."""
    if sys.platform != "linux":
        return "a node needs Linux"
    if os.geteuid() != 0:
        return "only root can run a node"
    if missing := [name for name in MACHINE_PROGRAMS if shutil.which(name) is None]:
        return f"{', '.join(missing)} not on PATH (`make test-cluster` installs what is missing)"
    return None


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """A Ready node; `folder` has a short path, since it holds sockets. Raises Unavailable where none can be had."""
    if reason := why_not():
        raise Unavailable(reason)
    with ExitStack() as stack:
        stack.enter_context(locked(cache_root() / "node.lock"))
        if pod_cgroups():
            raise Unavailable("this machine runs pods already, and a second kubelet would end them")
        for name in PROGRAMS:
            built_program(name)
        pause = image("pause")
        network = stack.enter_context(_taken_down(folder))
        with network.entered():
            plane = stack.enter_context(
                control_plane(folder / "plane", controllers=True, site=node_programs.site(folder, network))
            )
            _start(stack, plane, node_programs.containerd(folder))
            found = Cluster(folder, plane, network)
            found.load(pause)
            admin = plane.users[ADMIN]
            for manifest in _metrics_api():
                plane.api.apply(manifest)
            _start(
                stack,
                plane,
                node_programs.kube_proxy(folder, plane.users[PROXY]),
                node_programs.coredns(folder, admin),
                node_programs.metrics_server(folder, admin),
                node_programs.kubelet(folder, plane),
            )
        yield found


@contextmanager
def _taken_down(folder: Path) -> Iterator[NetworkNamespace]:
    """Gives the namespace; what is left of the node at the end is removed, whoever is there to do it."""
    folder.mkdir(parents=True, exist_ok=True)
    will = write_will(folder, f"tusfleet-{uuid.uuid4().hex[:8]}")
    warden.leave(str(folder), str(_ROOT), last_command(folder))
    try:
        yield make_namespace(will.namespace, ADDRESS, ADDRESS_BITS)
    finally:
        take_down(will)
        warden.take_back(str(folder))


def _start(stack: ExitStack, plane: ControlPlane, *programs: Program) -> None:
    stack.enter_context(running(*programs))
    plane.programs.update({program.name: program for program in programs})


def _metrics_api() -> list[Object]:
    """What leads from the API server to metrics-server, which runs beside the node's pods and not in one."""
    name, home = "metrics-server", "kube-system"
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": home},
            "spec": {"ports": [{"name": "https", "port": 443, "targetPort": METRICS_PORT}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": name, "namespace": home, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "ports": [{"name": "https", "port": METRICS_PORT}],
            "endpoints": [{"addresses": [ADDRESS]}],
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": "v1beta1.metrics.k8s.io"},
            "spec": {
                "group": "metrics.k8s.io",
                "version": "v1beta1",
                "service": {"name": name, "namespace": home},
                "insecureSkipTLSVerify": True,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
            },
        },
    ]
