from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from tusfleet.observability.shares import HALF_BYTES, SharedRegistry, Shares

SERVER_WIDE = frozenset({"open"})


class Process:
    """What one of several processes counts."""

    def __init__(self, number: int, shares: Shares) -> None:
        registry = CollectorRegistry()
        self.requests = Counter("requests", "Requests.", ("status",), registry=registry)
        self.seconds = Histogram("seconds", "Seconds.", buckets=(1.0, 2.0), registry=registry)
        self.connections = Gauge("connections", "Connections.", registry=registry)
        self.open = Gauge("open", "Uploads.", registry=registry)
        self.all = SharedRegistry(number, shares, registry, SERVER_WIDE)

    def page(self) -> dict[tuple[str, str], float]:
        """Values of the page by name and the value of the label, if any."""
        text = self.all.page().decode()
        return {
            (sample.name, next(iter(sample.labels.values()), "")): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if not sample.name.endswith("_created")
        }


def test_values_of_all_processes_are_added_up() -> None:
    shares = Shares(3)
    first, second, third = (Process(number, shares) for number in range(3))
    first.requests.labels("200").inc(2)
    second.requests.labels("200").inc(3)
    second.requests.labels("404").inc()
    first.seconds.observe(0.5)
    second.seconds.observe(1.5)
    third.seconds.observe(5)
    for process in (first, second, third):
        process.connections.set(4)
        process.open.set(7)
        process.all.share()
    for process in (first, second, third):
        page = process.page()
        assert page["requests_total", "200"] == 5
        assert page["requests_total", "404"] == 1
        assert [page["seconds_bucket", bound] for bound in ("1.0", "2.0", "+Inf")] == [1, 2, 3]
        assert page["seconds_sum", ""] == 7
        assert page["connections", ""] == 12
        assert page["open", ""] == 7, "each tells of the whole server"


def test_what_a_dead_process_has_counted_stays_and_its_gauges_go() -> None:
    shares = Shares(2)
    first, second = Process(0, shares), Process(1, shares)
    second.requests.labels("200").inc(3)
    second.connections.set(9)
    second.all.share()
    successor = Process(1, shares)
    assert first.page()["requests_total", "200"] == 3
    successor.requests.labels("200").inc()
    successor.all.share()
    assert first.page()["requests_total", "200"] == 4
    assert first.page()["connections", ""] == 0
    assert Process(1, shares).page()["requests_total", "200"] == 4


def test_a_share_that_was_cut_short_counts_as_none_and_the_next_one_is_read() -> None:
    shares = Shares(2)
    first, second = Process(0, shares), Process(1, shares)
    second.requests.labels("200").inc(3)
    second.all.share()
    at = shares._at(1, shares._memory[1])
    shares._memory[at + 20] ^= 1
    assert ("requests_total", "200") not in first.page()
    second.all.share()
    assert first.page()["requests_total", "200"] == 3


def test_a_share_that_is_too_large_leaves_the_one_before(caplog: pytest.LogCaptureFixture) -> None:
    shares = Shares(2)
    first, second = Process(0, shares), Process(1, shares)
    second.requests.labels("200").inc(3)
    second.all.share()
    second.requests.labels("x" * HALF_BYTES).inc()
    second.all.share()
    assert first.page()["requests_total", "200"] == 3
    assert ("requests_total", "x" * HALF_BYTES) in second.page()
    assert "out of date" in caplog.text
