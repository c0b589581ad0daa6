"""Every metric of the operator, once: name, labels (bounded), help."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics

from tusfleet_operator.resource.status import CONDITIONS

NAMESPACE = "tusfleet_operator"

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds: from a look that changes nothing to one that makes everything through a slow API server."""

TRUTH = {"True": 1.0, "False": 0.0, "Unknown": -1.0}


class Metrics:
    """The metrics of one operator, in a registry of their own."""

    def __init__(self, version: str) -> None:
        # The time at which each series was made would double the page and tells nothing that is asked for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.reconciliations = Counter(
            "reconciliations",
            "Looks at a TusServer, by how they ended: done, again (the API server was in trouble), failed (a defect).",
            ("outcome",),
            **self._here,
        )
        self.seconds = Histogram(
            "reconciliation_seconds", "Time of one look at a TusServer.", buckets=BUCKETS, **self._here
        )
        self.depth = Gauge("queue_depth", "TusServers that wait to be looked at.", **self._here)
        self.oldest = Gauge("queue_oldest_seconds", "For how long the first of them has been waiting.", **self._here)
        self.calls = Counter(
            "api_calls", "Calls to the API server; status 0: no answer.", ("verb", "status"), **self._here
        )
        self.repairs = Counter(
            "repairs", "Children that somebody else had changed or deleted.", ("kind",), **self._here
        )
        self.events = Counter("watch_events", "Objects that watches told of.", ("kind",), **self._here)
        self.missed = Counter(
            "watch_missed", "Changes of which no watch told, found by a list.", ("kind",), **self._here
        )
        self.restarts = Counter(
            "watch_restarts", "How often watching ended with an error and began again.", **self._here
        )
        self.age = Gauge(
            "watch_age_seconds",
            "Time since a watch told of something, or a list found that it had missed nothing.",
            **self._here,
        )
        self.leading = Gauge("leader", "Whether this operator does the work.", **self._here)
        self.synced = Gauge("synced", "Whether it has seen everything there is once.", **self._here)
        self.condition = Gauge(
            "tusserver_condition",
            "Conditions of TusServers: 1 true, 0 false, -1 not known.",
            ("namespace", "tusserver", "type"),
            **self._here,
        )
        Info("build", "The version of the operator.", **self._here).info({"version": version})
        self._told: dict[tuple[str, str], set[str]] = {}

    @property
    def _here(self) -> dict[str, Any]:
        return {"namespace": NAMESPACE, "registry": self.registry}

    def told(self, namespace: str, name: str, status: Mapping[str, Any]) -> None:
        """Show the conditions of a TusServer."""
        found = {one["type"]: one["status"] for one in status.get("conditions") or [] if one["type"] in CONDITIONS}
        for gone in self._told.get((namespace, name), set()) - set(found):
            self.condition.remove(namespace, name, gone)
        for kind, truth in found.items():
            self.condition.labels(namespace, name, kind).set(TRUTH.get(truth, -1.0))
        self._told[namespace, name] = set(found)

    def forget(self, namespace: str, name: str) -> None:
        """A TusServer is gone, or somebody else looks after it."""
        for kind in self._told.pop((namespace, name), set()):
            self.condition.remove(namespace, name, kind)
