"""Configuration files of what runs on a node beside Kubernetes' own programs: containerd, CNI, kubelet, CoreDNS."""

from __future__ import annotations

import json
from pathlib import Path

ADDRESS = "198.18.0.1"
"""The node's. All addresses are of the range that RFC 2544 keeps for tests: they are nobody's own."""

ADDRESS_BITS = 24

PODS = "198.18.128.0/17"
"""Addresses of pods; those of Services are `controlplane_programs.SERVICES`."""

NAME = "node-1"

DOMAIN = "cluster.local"

PAUSE = "localhost/pause:1"
"""The image of the process that keeps a pod's namespaces."""

KUBELET_PORT = 10250


def containerd(folder: Path, plugins: Path, runc: str) -> Path:
    """containerd's configuration, which keeps everything below `folder`."""
    runtime = "plugins.'io.containerd.cri.v1.runtime'"
    text = f"""
version = 3
root = '{folder}/containerd/root'
state = '{folder}/containerd/state'

[{runtime}]
# Or no container starts where this process may not lower its own badness.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true

[{runtime}.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'

[{runtime}.containerd.runtimes.runc.options]
BinaryName = '{runc}'
Root = '{folder}/runc'
SystemdCgroup = false

[{runtime}.cni]
bin_dirs = ['{plugins}']
conf_dir = '{folder}/cni/conf'

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = '{PAUSE}'

[plugins.'io.containerd.nri.v1.nri']
disable = true

[plugins.'io.containerd.internal.v1.opt']
path = '{folder}/containerd/opt'
"""
    return _written(folder / "containerd" / "config.toml", text)


def cni(folder: Path) -> Path:
    """A bridge to which every pod is connected, and ports of the node for pods that want some."""
    bridge = {
        "type": "bridge",
        "bridge": "pods0",
        "isGateway": True,
        "hairpinMode": True,
        "ipMasq": False,
        "ipam": {
            "type": "host-local",
            "dataDir": str(folder / "cni" / "data"),
            "ranges": [[{"subnet": PODS}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    portmap = {"type": "portmap", "backend": "nftables", "capabilities": {"portMappings": True}}
    listed = {"cniVersion": "1.0.0", "name": "testbed", "plugins": [bridge, portmap]}
    return _written(folder / "cni" / "conf" / "10-testbed.conflist", json.dumps(listed, indent=2))


def kubelet(folder: Path, authority: Path) -> Path:
    """The kubelet's configuration: cgroups made by itself, and no eviction as long as anything is left."""
    least = {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"}
    settings = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "port": KUBELET_PORT,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority)},
        },
        "containerRuntimeEndpoint": f"unix://{folder}/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "clusterDNS": [ADDRESS],
        "clusterDomain": DOMAIN,
        # Pods know no name servers but the cluster's.
        "resolvConf": "",
        "podLogsDir": str(folder / "pod-logs"),
        "volumePluginDir": str(folder / "volume-plugins"),
        "evictionHard": least,
        # Images come from nowhere else: one that was thrown away would be missing.
        "imageGCHighThresholdPercent": 100,
        "maxPods": 60,
    }
    return _written(folder / "kubelet.json", json.dumps(settings, indent=2))


def coredns(folder: Path, kubeconfig: Path, health: str) -> Path:
    """CoreDNS on the node's address, which answers for the cluster and for nothing else."""
    text = f""".:53 {{
    bind {ADDRESS}
    errors
    ready {health}
    kubernetes {DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig}
        ttl 1
    }}
}}
"""
    return _written(folder / "Corefile", text)


def _written(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file
