"""A Prometheus in the cluster that does what ServiceMonitors and PrometheusRules there ask for.

It stands for the Prometheus operator, which turns them into the same configuration.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import httpx
import yaml

from tests.cluster.testbed.pods import deployment
from tests.servers import eventually
from tests.testbed.images import image
from tests.testbed.kube_api import Object
from tests.testbed.node import Cluster

PORT = 9090
MONITORING = "monitoring.coreos.com/v1"
NAME = "prometheus"

READY_SECONDS = 120.0

_READS = [
    {"apiGroups": [""], "resources": ["services", "pods"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]},
]


@dataclass(frozen=True)
class Prometheus:
    """One that runs.

    Parameters:
        url: without a path.
    """

    url: str

    def query(self, expression: str) -> list[Object]:
        """The series of an instant query; an AssertionError with what Prometheus says of a wrong one."""
        found: list[Object] = self._asked("query", query=expression)["result"]
        return found

    def number(self, expression: str) -> float:
        """The value of a query that gives one series or none, which counts as 0."""
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else 0.0

    def rules(self) -> list[Object]:
        """Every rule that is loaded, and how it fares."""
        return [rule for group in self._asked("rules")["groups"] for rule in group["rules"]]

    def _asked(self, what: str, **query: str) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{what}", params=query, timeout=10, trust_env=False)
        assert answer.is_success, f"{query}: {answer.text}"
        return answer.json()["data"]


def start(cluster: Cluster, home: str) -> Prometheus:
    """One in the namespace `home`, which scrapes and watches what all namespaces ask for now."""
    cluster.load(image("prometheus"))
    api = cluster.plane.api
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["/etc/prometheus/rules.yml"],
        "scrape_configs": [_scrape(monitor) for monitor in api.objects(MONITORING, "ServiceMonitor")],
    }
    rules = {
        "groups": [group for rule in api.objects(MONITORING, "PrometheusRule") for group in rule["spec"]["groups"]]
    }
    files = {"prometheus.yml": yaml.safe_dump(config), "rules.yml": yaml.safe_dump(rules)}
    rbac = "rbac.authorization.k8s.io"
    for manifest in (
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME}},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": NAME},
            "rules": _READS,
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"{home}-{NAME}"},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": NAME},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": home}],
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}, "data": files},
        _pods(),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": NAME},
            "spec": {"selector": {"app": NAME}, "ports": [{"port": PORT, "targetPort": PORT}]},
        },
    ):
        cluster_wide = str(manifest["kind"]).startswith("Cluster")
        api.apply(manifest, None if cluster_wide else home)
    cluster.plane.kubectl("rollout", "status", f"deployment/{NAME}", "-n", home, f"--timeout={READY_SECONDS:.0f}s")
    found = api.get("v1", "Service", NAME, home)
    assert found is not None
    prometheus = Prometheus(f"http://{found['spec']['clusterIP']}:{PORT}")
    eventually(lambda: _answers(prometheus), READY_SECONDS)
    return prometheus


def _answers(prometheus: Prometheus) -> bool:
    try:
        return httpx.get(f"{prometheus.url}/-/ready", timeout=2, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _pods() -> Object:
    probe = {"httpGet": {"path": "/-/ready", "port": PORT}, "periodSeconds": 1}
    limits = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}
    manifest = deployment(
        NAME,
        1,
        image=f"localhost/{NAME}:1",
        args=["--config.file=/etc/prometheus/prometheus.yml"],
        readinessProbe=probe,
        resources=limits,
    )
    pod = manifest["spec"]["template"]["spec"]
    pod |= {"automountServiceAccountToken": True, "serviceAccountName": NAME}
    pod["volumes"].append({"name": "config", "configMap": {"name": NAME}})
    pod["containers"][0]["volumeMounts"].append({"name": "config", "mountPath": "/etc/prometheus"})
    return manifest


def _scrape(monitor: Object) -> Object:
    """What the Prometheus operator makes of a ServiceMonitor, as far as ours go."""
    spec, about = monitor["spec"], monitor["metadata"]
    (endpoint,) = spec["endpoints"]
    labels = spec["selector"]["matchLabels"]
    relabel = [
        {"source_labels": [_service_label(name)], "regex": re.escape(value), "action": "keep"}
        for name, value in labels.items()
    ]
    relabel += [
        {"source_labels": ["__meta_kubernetes_endpointslice_port_name"], "regex": endpoint["port"], "action": "keep"},
        {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
        {"source_labels": ["__meta_kubernetes_service_name"], "target_label": "service"},
        {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
        {"source_labels": [_service_label(spec["jobLabel"])], "target_label": "job"},
    ]
    relabel += [
        {"source_labels": [f"__meta_kubernetes_pod_label_{_plain(name)}"], "target_label": _plain(name)}
        for name in spec.get("podTargetLabels", ())
    ]
    return {
        "job_name": f"{about['namespace']}/{about['name']}",
        "metrics_path": endpoint["path"],
        "honor_labels": endpoint.get("honorLabels", False),
        "kubernetes_sd_configs": [
            {"role": "endpointslice", "namespaces": {"names": spec["namespaceSelector"]["matchNames"]}}
        ],
        "relabel_configs": relabel,
    }


def _service_label(name: str) -> str:
    return f"__meta_kubernetes_service_label_{_plain(name)}"


def _plain(name: str) -> str:
    return re.sub(r"\W", "_", name)
