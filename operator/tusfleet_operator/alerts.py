"""The alerts of one TusServer: what is measured, when it is worth a person, and where it is told what to do."""

from __future__ import annotations

from dataclasses import dataclass

SELECTOR = "SELECTOR"
"""Stands in expressions for the labels that select the pods of one TusServer."""


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
