"""The Grafana dashboards of the charts, from a list of panels: what is asked, in which unit, and where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 8, 8
"""Of a panel, of the 24 columns that Grafana has."""

GATEWAYS = 'namespace=~"$namespace",service=~"$service"'
OPERATOR = 'service=~"$operator"'

SOURCE = {"type": "prometheus", "uid": "${source}"}


@dataclass(frozen=True)
class Panel:
    """One graph.

    Parameters:
        queries: PromQL by what stands in the legend; SELECTOR stands for the labels that the dashboard's choices give.
        unit: as Grafana names it.
    """

    title: str
    unit: str
    queries: dict[str, str]


def _quantiles(metric: str, by: str = "") -> dict[str, str]:
    labels = f"le, {by}" if by else "le"
    legend = f"{{{{{by}}}}} " if by else ""
    return {
        f"{legend}{name}": f"histogram_quantile({quantile}, sum by ({labels}) (rate({metric}_bucket{{SELECTOR}}[5m])))"
        for name, quantile in (("median", 0.5), ("99 %", 0.99))
    }


UPLOADS = (
    Panel(
        "Bytes a second",
        "Bps",
        {
            "received": "sum(rate(tusfleet_bytes_received_total{SELECTOR}[5m]))",
            "sent": "sum(rate(tusfleet_bytes_sent_total{SELECTOR}[5m]))",
        },
    ),
    Panel("Uploads", "ops", {"{{event}}": "sum by (event) (rate(tusfleet_uploads_total{SELECTOR}[5m]))"}),
    Panel(
        "Open",
        "short",
        {
            "connections": "sum(tusfleet_connections_open{SELECTOR})",
            "uploads": "max(tusfleet_uploads_open{SELECTOR})",
            "gateways": 'count(tusfleet_connections_open{SELECTOR,app_kubernetes_io_component=~"gateway|"})',
        },
    ),
    Panel("Requests", "reqps", {"{{status}}": "sum by (status) (rate(tusfleet_http_requests_total{SELECTOR}[5m]))"}),
    Panel("Time of requests", "s", _quantiles("tusfleet_http_request_seconds", "method")),
    Panel("Ended early", "ops", {"{{reason}}": "sum by (reason) (rate(tusfleet_interrupted_total{SELECTOR}[5m]))"}),
    Panel("Time to make bytes durable", "s", _quantiles("tusfleet_write_seconds")),
    Panel("Time of commits", "s", _quantiles("tusfleet_commit_seconds")),
    Panel("Time of steps in Redis", "s", _quantiles("tusfleet_redis_seconds", "script")),
    Panel("Time of requests to S3", "s", _quantiles("tusfleet_s3_seconds", "operation")),
    Panel(
        "Requests to S3 that failed",
        "ops",
        {
            "{{operation}} {{outcome}}": "sum by (operation, outcome) "
            '(rate(tusfleet_s3_seconds_count{SELECTOR,outcome!="ok"}[5m]))',
            "{{operation}} again": "sum by (operation) (rate(tusfleet_s3_retries_total{SELECTOR}[5m]))",
        },
    ),
    Panel(
        "Leases",
        "ops",
        {
            "asked to let go": "sum(rate(tusfleet_lease_preemptions_total{SELECTOR}[5m]))",
            "lost": "sum(rate(tusfleet_leases_lost_total{SELECTOR}[5m]))",
            "commits refused": "sum(rate(tusfleet_fenced_commits_total{SELECTOR}[5m]))",
        },
    ),
    Panel(
        "Buffers",
        "bytes",
        {"{{pod}}": "sum by (pod) (tusfleet_buffer_bytes{SELECTOR})"},
    ),
    Panel(
        "Janitor",
        "ops",
        {"{{action}} {{outcome}}": "sum by (action, outcome) (rate(tusfleet_janitor_items_total{SELECTOR}[5m]))"},
    ),
    Panel(
        "Left to the janitor",
        "short",
        {
            "overdue": "max(tusfleet_janitor_overdue{SELECTOR})",
            "seconds of the oldest that finishes": "max(tusfleet_janitor_oldest_finishing_seconds{SELECTOR})",
        },
    ),
)
"""Of gateways and janitors."""

RECONCILING = (
    Panel(
        "TusServers that are ready",
        "short",
        {
            "{{namespace}}/{{tusserver}}": "max by (namespace, tusserver) "
            '(tusfleet_operator_tusserver_condition{SELECTOR,type="Ready"})'
        },
    ),
    Panel(
        "Looks at TusServers",
        "ops",
        {"{{outcome}}": "sum by (outcome) (rate(tusfleet_operator_reconciliations_total{SELECTOR}[5m]))"},
    ),
    Panel("Time of a look", "s", _quantiles("tusfleet_operator_reconciliation_seconds")),
    Panel(
        "Waiting",
        "s",
        {
            "oldest": "max(tusfleet_operator_queue_oldest_seconds{SELECTOR})",
            "age of what is known": "max(tusfleet_operator_watch_age_seconds{SELECTOR})",
        },
    ),
    Panel(
        "Calls to the API server",
        "ops",
        {"{{verb}} {{status}}": "sum by (verb, status) (rate(tusfleet_operator_api_calls_total{SELECTOR}[5m]))"},
    ),
    Panel(
        "Repairs",
        "ops",
        {"{{kind}}": "sum by (kind) (rate(tusfleet_operator_repairs_total{SELECTOR}[5m]))"},
    ),
)
"""Of the operator."""


def gateways() -> dict[str, Any]:
    """The dashboard of uploads."""
    choices = [
        _choice("namespace", "Namespace", "label_values(tusfleet_http_requests_total, namespace)"),
        _choice("service", "Service", 'label_values(tusfleet_http_requests_total{namespace=~"$namespace"}, service)'),
    ]
    return _dashboard("Tusfleet", "tusfleet", UPLOADS, GATEWAYS, choices)


def operator() -> dict[str, Any]:
    """The dashboard of the operator."""
    choices = [_choice("operator", "Operator", "label_values(tusfleet_operator_leader, service)")]
    return _dashboard("Tusfleet operator", "tusfleet-operator", RECONCILING, OPERATOR, choices)


def _dashboard(title: str, uid: str, panels: Sequence[Panel], selector: str, choices: list[Any]) -> dict[str, Any]:
    source = {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    return {
        "title": title,
        "uid": uid,
        "tags": ["tusfleet"],
        "schemaVersion": 39,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [source, *choices]},
        "panels": [_panel(number, panel, selector) for number, panel in enumerate(panels)],
    }


def _panel(number: int, panel: Panel, selector: str) -> dict[str, Any]:
    across = 24 // WIDTH
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": SOURCE,
        "gridPos": {"x": number % across * WIDTH, "y": number // across * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": SOURCE,
                "expr": query.replace("SELECTOR", selector),
                "legendFormat": legend,
            }
            for place, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def _choice(name: str, label: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "current": {"text": "All", "value": "$__all"},
    }
