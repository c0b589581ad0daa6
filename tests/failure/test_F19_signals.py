"""F19: error texts as metric labels, no histogram of latencies, no readiness."""

from __future__ import annotations

import re
from random import Random

import pytest

from tests.failure.aftermath import complaints
from tests.failure.client import KIB, MIB, Wire, ask, create, get, metrics, patch
from tests.raw_http import message
from tests.servers import Server, eventually

SERIES = re.compile(r"(?P<name>[a-z_]+)(\{(?P<labels>.*)\})? (?P<value>\S+)")
LABEL = re.compile(r'([a-z_]+)="([^"]*)"')

METHODS = {"OPTIONS", "HEAD", "GET", "POST", "PATCH", "DELETE", "other"}
EVENTS = {"created", "finished", "terminated", "expired", "failed"}
WAYS = {"loop", "lane"}
REASONS = {"cut", "stalled", "drain", "taken over"}


def labels(server: Server) -> dict[str, set[str]]:
    """Every value of every label on the page of metrics."""
    found: dict[str, set[str]] = {}
    for line in ask(server, "GET", "/metrics").body.decode().splitlines():
        if line.startswith("#"):
            continue
        series = SERIES.fullmatch(line)
        assert series is not None, line
        for name, value in LABEL.findall(series["labels"] or ""):
            found.setdefault(name, set()).add(value)
    return found


def test_F19_no_client_makes_labels(server: Server) -> None:
    numbers = Random(19)
    usual(server)
    before = labels(server)
    for number in range(200):
        strange(server, numbers, number)
    after = labels(server)
    assert set(after) <= {"method", "status", "event", "reason", "way", "le"}
    assert after["method"] <= METHODS
    assert after["event"] <= EVENTS
    assert after.get("reason", set()) <= REASONS
    assert after.get("way", set()) <= WAYS
    assert all(re.fullmatch("[2345][0-9]{2}", status) for status in after["status"])
    assert after["le"] == before["le"]
    # Whatever 200 strange clients did, it made a handful of series at most.
    assert len(metrics(server)) < 400
    assert not (found := complaints(server)), found


def usual(server: Server) -> None:
    """One request of each kind."""
    path = create(server, KIB)
    assert patch(server, path, 0, bytes(KIB)).status == 204
    assert len(get(server, path)) == KIB
    assert ask(server, "DELETE", path).status == 204


def strange(server: Server, numbers: Random, number: int) -> None:
    """A request that is like no other."""
    word = "".join(numbers.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=numbers.randint(3, 12)))
    method = numbers.choice(("GET", "PATCH", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PROPFIND", "TRACE", word))
    path = numbers.choice(
        (f"/files/{word}", f"/{word}/{number}", f"/api/v1/uploads/{word}", f"/files?{word}", "/metrics")
    )
    fields = [
        f"X-Request-Id: {word}-{number}",
        f"Tus-Resumable: {numbers.choice(('1.0.0', '1.0.0', '1.0.0', word))}",
        f"{numbers.choice(('Upload-Offset', 'Upload-Length', 'Upload-Metadata', 'Upload-Concat'))}: {word} {number}",
        f"X-HTTP-Method-Override: {word}" if number % 5 == 0 else f"Origin: https://{word}.example",
        f"Content-Type: {word}/{number}",
        "Connection: close",
    ]
    with Wire(server) as wire:
        wire.offer(message(method, path, wire.authority, *fields))
        answer = wire.read(method)
        assert 200 <= answer.status < 500 or answer.status == 501, (method, path, answer)


def test_F19_latencies_are_a_histogram(server: Server) -> None:
    usual(server)
    figures = metrics(server)
    for method in ("POST", "PATCH", "GET", "DELETE"):
        name = f'tusfleet_http_request_seconds_bucket{{le="+Inf",method="{method}"}}'
        assert figures[name] >= 1
        assert 0 < figures[f'tusfleet_http_request_seconds_sum{{method="{method}"}}'] < 60
    assert figures['tusfleet_write_seconds_bucket{le="+Inf"}'] >= 1
    buckets = [name for name in figures if name.startswith("tusfleet_http_request_seconds_bucket") and "PATCH" in name]
    assert len(buckets) >= 10
    assert figures["tusfleet_offsets_lost_total"] == 0


def test_F19_a_download_that_is_cut_counts_with_the_bytes_that_were_sent(server: Server) -> None:
    size = 64 * MIB
    path = create(server, size, body=bytes(size))
    with Wire(server) as wire:
        wire.request("GET", path, {})
        assert wire.head().status == 200
    ended = 'tusfleet_http_requests_total{method="GET",status="200"}'
    eventually(lambda: metrics(server).get(ended))
    sent = metrics(server)["tusfleet_bytes_sent_total"]
    assert 0 < sent < size
    assert len(get(server, path)) == size
    assert metrics(server)["tusfleet_bytes_sent_total"] == sent + size


@pytest.mark.parametrize("folder", ["partial", "files"])
def test_F19_readiness_is_red_while_the_data_folder_cannot_be_used(server: Server, folder: str) -> None:
    assert ask(server, "GET", "/readyz").status == 200
    place, away = server.data / folder, server.data / f"{folder}-unmounted"
    place.rename(away)
    answer = eventually(lambda: found if (found := ask(server, "GET", "/readyz")).status != 200 else None)
    assert answer.status == 503
    assert "status" in answer.json()
    assert str(server.data) not in answer.body.decode(), "paths of the machine are nobody's business"
    # The process itself is well: nobody needs to restart it.
    assert ask(server, "GET", "/healthz").status == 200
    away.rename(place)
    eventually(lambda: ask(server, "GET", "/readyz").status == 200)
    usual(server)
