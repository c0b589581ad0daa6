"""The alerts of a TusServer and of the operator: what is measured, when it is worth a person, and what to do then."""

from __future__ import annotations

from dataclasses import dataclass

SELECTOR = "SELECTOR"
"""Stands in expressions for the labels that select the pods of one TusServer, or those of the operator."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert.

    Parameters:
        expression: PromQL; `SELECTOR` stands for the labels of the pods.
        lasts: how long it must be so, as Prometheus writes durations.
        severity: critical wakes somebody up, warning waits for the morning.
        page: of docs/runbooks.
    """

    name: str
    expression: str
    lasts: str
    severity: str
    summary: str
    description: str
    page: str

    @property
    def runbook(self) -> str:
        return f"docs/runbooks/{self.page}.md"


ALERTS = (
    Alert(
        "TusfleetOffsetsLost",
        "sum(increase(tusfleet_offsets_lost_total{SELECTOR}[1h])) > 0",
        "0m",
        "critical",
        "Acknowledged bytes are missing",
        "{{ $value }} uploads had acknowledged bytes that are not there. That is a defect, or the storage lost them.",
        "offsets-lost",
    ),
    Alert(
        "TusfleetUploadsFailing",
        'sum(rate(tusfleet_uploads_total{SELECTOR,event="failed"}[15m]))'
        ' / sum(rate(tusfleet_uploads_total{SELECTOR,event=~"failed|finished"}[15m])) > 0.05',
        "10m",
        "warning",
        "Uploads fail",
        "{{ $value | humanizePercentage }} of the uploads that end fail: their parts are gone, or do not go together.",
        "uploads-failing",
    ),
    Alert(
        "TusfleetRefusing",
        'sum(rate(tusfleet_http_requests_total{SELECTOR,status=~"5.."}[5m]))'
        " / sum(rate(tusfleet_http_requests_total{SELECTOR}[5m])) > 0.1",
        "5m",
        "critical",
        "Redis or the storage cannot be reached",
        "{{ $value | humanizePercentage }} of the requests are answered with 5xx: a store does not answer, or is full.",
        "stores-unreachable",
    ),
    Alert(
        "TusfleetFinishingSlow",
        "max(tusfleet_janitor_oldest_finishing_seconds{SELECTOR}) > 600",
        "5m",
        "warning",
        "An upload with all of its bytes does not become an object",
        "For {{ $value | humanizeDuration }} an upload has had all of its bytes, and its object could not be made.",
        "finishing-slow",
    ),
    Alert(
        "TusfleetFencedCommits",
        "sum(increase(tusfleet_fenced_commits_total{SELECTOR}[15m])) > 5",
        "0m",
        "warning",
        "Gateways lose leases while they write",
        "{{ $value }} commits were refused because a lease was lost: gateways stand still, or Redis is slow to reach.",
        "fenced-commits",
    ),
    Alert(
        "TusfleetExpiryBehind",
        "min_over_time(max(tusfleet_janitor_overdue{SELECTOR})[2h:5m]) > 0"
        " and deriv(max(tusfleet_janitor_overdue{SELECTOR})[2h:5m]) > 0",
        "30m",
        "warning",
        "Expired uploads pile up",
        "{{ $value }} uploads are overdue, and more from hour to hour: the janitor does not keep up, or fails.",
        "expiry-behind",
    ),
    Alert(
        "TusfleetNoJanitor",
        "sum(tusfleet_janitor_leading{SELECTOR}) < 1 or absent(tusfleet_janitor_leading{SELECTOR})",
        "5m",
        "warning",
        "No janitor works",
        "Nothing expires, and nothing that a dead gateway left behind is finished or cleaned up.",
        "no-janitor",
    ),
)
"""Those of one TusServer."""

OF_OPERATOR = (
    Alert(
        "TusfleetOperatorAway",
        "sum(tusfleet_operator_leader{SELECTOR}) < 1 or absent(tusfleet_operator_leader{SELECTOR})",
        "5m",
        "warning",
        "No operator works",
        "Uploads go on, and nothing is repaired, changed or told in the status of any TusServer.",
        "operator-away",
    ),
    Alert(
        "TusfleetOperatorBehind",
        "max(tusfleet_operator_queue_oldest_seconds{SELECTOR}) > 120",
        "5m",
        "warning",
        "TusServers wait for the operator",
        "For {{ $value | humanizeDuration }} a TusServer has been waiting: the API server is slow to answer.",
        "operator-behind",
    ),
    Alert(
        "TusfleetOperatorFailing",
        'sum(increase(tusfleet_operator_reconciliations_total{SELECTOR,outcome="failed"}[15m])) > 0',
        "0m",
        "warning",
        "The operator has a defect",
        "{{ $value }} looks at TusServers ended with an error that nobody had thought of.",
        "operator-failing",
    ),
    Alert(
        "TusfleetOperatorBlind",
        "max(tusfleet_operator_watch_age_seconds{SELECTOR}) > 1200",
        "5m",
        "warning",
        "The operator does not see the cluster",
        "For {{ $value | humanizeDuration }} neither a watch nor a list has told an operator anything.",
        "operator-blind",
    ),
    Alert(
        "TusfleetOperatorLate",
        "sum(increase(tusfleet_operator_watch_restarts_total{SELECTOR}[15m])) > 5",
        "5m",
        "warning",
        "The operator sees changes late",
        "In 15 minutes watching has ended with an error {{ $value }} times; lists show later what it would have told.",
        "operator-late",
    ),
    Alert(
        "TusfleetServerNotReady",
        'max by (namespace, tusserver) (tusfleet_operator_tusserver_condition{SELECTOR,type="Ready"}) == 0',
        "10m",
        "critical",
        "A TusServer takes no uploads",
        "{{ $labels.tusserver }} in {{ $labels.namespace }} is not ready; `kubectl describe tusserver` says why.",
        "tusserver-not-ready",
    ),
)
"""Those of the operator; the chart has them."""
