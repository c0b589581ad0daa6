"""Requests to S3 as metrics."""

from __future__ import annotations

from tusfleet.observability.metrics import Metrics


class MetricsWatch:
    """A `Watch` that counts; operations and outcomes are few."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def request(self, operation: str, outcome: str, seconds: float) -> None:
        """Count one attempt and the time it took."""
        self._metrics.s3_seconds.labels(operation, outcome).observe(seconds)

    def retried(self, operation: str) -> None:
        """Count one attempt that follows another."""
        self._metrics.s3_retries.labels(operation).inc()
