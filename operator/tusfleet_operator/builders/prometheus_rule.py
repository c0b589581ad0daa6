"""The PrometheusRule: the alerts of one TusServer."""

from __future__ import annotations

from tusfleet_operator import names
from tusfleet_operator.alerts import ALERTS, Alert
from tusfleet_operator.builders import metrics_service
from tusfleet_operator.builders._common import Manifest, Observed, metadata
from tusfleet_operator.builders.service_monitor import API_GROUP
from tusfleet_operator.resource.server import TusServer


def build(server: TusServer, observed: Observed) -> list[Manifest]:  # noqa: ARG001  # as every builder
    """The PrometheusRule; nothing without `monitoring.prometheusRule`."""
    if (given := server.spec.monitoring.prometheus_rule) is None:
        return []
    selector = f'namespace="{server.namespace}",service="{metrics_service.name(server)}"'
    about = {"namespace": server.namespace, "tusserver": server.name}
    rules = [_rule(alert, selector, {**given.alert_labels, **about}) for alert in ALERTS]
    return [
        {
            "apiVersion": f"{API_GROUP}/v1",
            "kind": "PrometheusRule",
            "metadata": metadata(server, server.name, names.METRICS, given.labels),
            "spec": {"groups": [{"name": f"{names.APPLICATION}/{server.namespace}/{server.name}", "rules": rules}]},
        }
    ]


def _rule(alert: Alert, selector: str, labels: dict[str, str]) -> Manifest:
    return {
        "alert": alert.name,
        "expr": alert.expression.replace("SELECTOR", selector),
        "for": alert.lasts,
        "labels": {**labels, "severity": alert.severity},
        "annotations": {"summary": alert.summary, "description": alert.description, "runbook": alert.runbook},
    }
