"""Every metric, once: name, labels (bounded), help."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

NAMESPACE = "tusfleet"

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds: from a HEAD on a warm store to the upload of a big file in one request."""

METHODS = frozenset({"OPTIONS", "HEAD", "GET", "POST", "PATCH", "DELETE"})
"""Methods that are labels; every other counts as "other", so that clients cannot make labels."""


SERVER_WIDE = frozenset({f"{NAMESPACE}_uploads_open", f"{NAMESPACE}_bytes_reserved"})
"""Gauges that every worker reads from the info store: they tell of the whole server, and are not added up."""


class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self) -> None:
        # The time at which each series was made would double the page and tells nothing that is asked for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "http_requests", "Requests answered.", ("method", "status"), registry=self.registry, namespace=NAMESPACE
        )
        # Looking series up by their labels takes longer than counting.
        self._answers: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self.request_seconds = Histogram(
            "http_request_seconds",
            "Time from the head of a request to the end of its answer.",
            ("method",),
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
            namespace=NAMESPACE,
        )
        self.commit_seconds = Histogram(
            "commit_seconds",
            "Time to make a checkpoint of an upload part of its record.",
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
            namespace=NAMESPACE,
        )
        self.write_seconds = Histogram(
            "write_seconds",
            "Time to write one batch of bytes to the data store; bulk that a thread moves is not in it.",
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
            namespace=NAMESPACE,
        )
        self.bytes_received = Counter(
            "bytes_received", "Upload bytes that became durable.", registry=self.registry, namespace=NAMESPACE
        )
        self.body_bytes = Counter(
            "body_bytes",
            "Bytes of request bodies, by their way: the event loop, or past it.",
            ("way",),
            registry=self.registry,
            namespace=NAMESPACE,
        )
        self.bytes_sent = Counter("bytes_sent", "Bytes of downloads.", registry=self.registry, namespace=NAMESPACE)
        self.uploads = Counter(
            "uploads", "What happened to uploads.", ("event",), registry=self.registry, namespace=NAMESPACE
        )
        self.uploads_open = Gauge(
            "uploads_open", "Uploads that are not finished yet.", registry=self.registry, namespace=NAMESPACE
        )
        self.bytes_reserved = Gauge(
            "bytes_reserved", "Bytes set aside for all uploads.", registry=self.registry, namespace=NAMESPACE
        )
        self.connections = Gauge("connections_open", "Open connections.", registry=self.registry, namespace=NAMESPACE)
        self.interrupted = Counter(
            "interrupted", "Bodies that were ended early.", ("reason",), registry=self.registry, namespace=NAMESPACE
        )
        self.fenced = Counter(
            "fenced_commits", "Commits refused because the lease was lost.", registry=self.registry, namespace=NAMESPACE
        )
        self.redis_seconds = Histogram(
            "redis_seconds",
            "Time of one step in Redis, with its repetitions.",
            ("script",),
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
            namespace=NAMESPACE,
        )
        self.lease_wait_seconds = Histogram(
            "lease_wait_seconds",
            "Time a request waited for another one to let go of its upload.",
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
            namespace=NAMESPACE,
        )
        self.preemptions = Counter(
            "lease_preemptions", "Leases whose holder was asked to let go.", registry=self.registry, namespace=NAMESPACE
        )
        self.leases_lost = Counter(
            "leases_lost", "Leases that ended before they were given back.", registry=self.registry, namespace=NAMESPACE
        )
        self.s3_seconds = Histogram(
            "s3_seconds",
            "Time of one request to S3.",
            ("operation", "outcome"),
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
            namespace=NAMESPACE,
        )
        self.s3_retries = Counter(
            "s3_retries",
            "Requests to S3 that followed one that failed.",
            ("operation",),
            registry=self.registry,
            namespace=NAMESPACE,
        )
        self.buffer_bytes = Gauge(
            "buffer_bytes",
            "Bytes of part buffers in use, of those that buffer_memory allows.",
            registry=self.registry,
            namespace=NAMESPACE,
        )
        self.buffer_waits = Gauge(
            "buffer_waits", "Uploads that wait for a part buffer.", registry=self.registry, namespace=NAMESPACE
        )
        self.janitor_items = Counter(
            "janitor_items",
            "Uploads the janitor came to, by what was to be done and how it went.",
            ("action", "outcome"),
            registry=self.registry,
            namespace=NAMESPACE,
        )
        self.janitor_pass_seconds = Histogram(
            "janitor_pass_seconds",
            "Time of one pass of the janitor over what the stores hold.",
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
            namespace=NAMESPACE,
        )
        self.janitor_overdue = Gauge(
            "janitor_overdue",
            "Uploads whose time is over and that the last pass left; it stops counting at about 10,000.",
            registry=self.registry,
            namespace=NAMESPACE,
        )
        self.janitor_finishing_seconds = Gauge(
            "janitor_oldest_finishing_seconds",
            "Time since the janitor met the upload that has had all of its bytes, unfinished, for longest.",
            registry=self.registry,
            namespace=NAMESPACE,
        )
        self.janitor_leading = Gauge(
            "janitor_leading",
            "Whether this process does the janitor's work.",
            registry=self.registry,
            namespace=NAMESPACE,
        )
        self.offsets_lost = Counter(
            "offsets_lost",
            "Uploads whose acknowledged bytes were missing; more than 0 is a defect.",
            registry=self.registry,
            namespace=NAMESPACE,
        )

    def body(self, way: str, size: int) -> None:
        """Count the bytes of one body that came one way."""
        self.body_bytes.labels(way).inc(size)

    def answered(self, method: str, status: int, seconds: float) -> None:
        """Count one answer and the time it took."""
        label = method if method in METHODS else "other"
        series = self._answers.get((label, status))
        if series is None:
            series = self.requests.labels(label, str(status)), self.request_seconds.labels(label)
            self._answers[label, status] = series
        series[0].inc()
        series[1].observe(seconds)
