"""Several janitors on one fleet: one does the work, another goes on when it dies, and two at once do no harm."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.failure.aftermath import complaints, files, partials
from tests.failure.client import KIB, Wire, create, head, metrics
from tests.servers import Server, eventually, serving
from tests.testbed.gateways import Backend, Gateway, Janitor, on_disk
from tests.testbed.redis_node import RedisNode
from tests.testbed.redis_topologies import RedisTopology
from tusfleet.janitor.sweeper import AT_ONCE

LEASE_SECONDS = 1.0

TAKEOVER_SECONDS = LEASE_SECONDS + 1.0
"""The lease has to run out, and the other one looks every half second; without what a busy machine adds."""

SPARE_SECONDS = 15.0
"""What a busy machine may add to anything."""

PAUSE_SECONDS = 60
"""Longest wait of janitors that are to begin at the same moment."""

FLAGS = ("--lease-ttl", f"{LEASE_SECONDS:g}s", "--sweep-interval", "50ms", "--tombstone-ttl", "1h")

LEADING = "tusfleet_janitor_leading"


@pytest.fixture
def backend(redis_alone: RedisNode, tmp_path: Path) -> Backend:
    """Records in a Redis of this test, bytes in a folder."""
    return on_disk(RedisTopology("standalone", redis_alone.url, [redis_alone]), tmp_path / "data")


@pytest.fixture
def gateway(backend: Backend, tmp_path: Path) -> Iterator[Server]:
    """A gateway whose uploads expire soon."""
    with serving(tmp_path / "gateway", *backend.flags, *FLAGS, "--expire-after", "300ms", kind=Gateway) as gateway:
        yield gateway


@contextmanager
def janitors(folder: Path, backend: Backend, count: int = 2) -> Iterator[list[Server]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(serving(folder / f"janitor-{number}", *backend.flags, *FLAGS, kind=Janitor))
            for number in range(count)
        ]


def leaders(among: list[Server]) -> list[Server]:
    return [one for one in among if metrics(one)[LEADING] == 1]


def the_leader(among: list[Server]) -> Server:
    def one_leads() -> Server | None:
        found = leaders(among)
        assert len(found) <= 1, "two janitors lead, though both live"
        return found[0] if found else None

    return eventually(one_leads, SPARE_SECONDS)


def freeze(server: Server) -> None:
    server.process.send_signal(signal.SIGSTOP)


def thaw(server: Server) -> None:
    server.process.send_signal(signal.SIGCONT)


def backlog(gateway: Server, count: int) -> list[str]:
    return [create(gateway, 2 * KIB, body=b"x" * KIB) for _ in range(count)]


def all_overdue(gateway: Server, paths: list[str]) -> None:
    """Wait until the time of all of them is over; nobody has to have come to them for that."""
    eventually(lambda: all(head(gateway, path).status == 410 for path in paths))


def test_another_janitor_goes_on_when_the_one_that_leads_is_killed(
    tmp_path: Path, backend: Backend, gateway: Server
) -> None:
    with janitors(tmp_path, backend) as both:
        for _ in range(2):
            leader = the_leader(both)
            backlog(gateway, 1)
            eventually(lambda: not partials(tmp_path / "data"))
            leader.kill()
            (other,) = [one for one in both if one is not leader]
            eventually(partial(leaders, [other]), TAKEOVER_SECONDS + SPARE_SECONDS)
            backlog(gateway, 3)
            eventually(lambda: not partials(tmp_path / "data"))
            leader.start()
        assert [complaints(one) for one in both] == [[], []]


def test_a_frozen_leader_is_replaced_and_harms_nothing_when_it_wakes(
    tmp_path: Path, backend: Backend, gateway: Server
) -> None:
    paths = backlog(gateway, 300)
    all_overdue(gateway, paths)
    with janitors(tmp_path, backend, 1) as (first,):
        # In the middle of its work, with leases of several uploads.
        eventually(lambda: len(partials(tmp_path / "data")) < 280, pause=0.001)
        freeze(first)
        unfinished = len(partials(tmp_path / "data"))
        with janitors(tmp_path / "others", backend, 1) as (second,):
            eventually(lambda: leaders([second]), TAKEOVER_SECONDS + SPARE_SECONDS)
            eventually(lambda: not partials(tmp_path / "data"), SPARE_SECONDS)
            assert {head(gateway, path).status for path in paths} == {410}
            late = backlog(gateway, 5)
            thaw(first)
            eventually(lambda: not leaders([first]))
            assert leaders([first, second]) == [second]
            eventually(lambda: not partials(tmp_path / "data"))
            assert {head(gateway, path).status for path in paths + late} == {410}
            # None expired twice; those that the first had in its hands it may have committed without counting them.
            assert unfinished > 0
            counted = sum(metrics(one)['tusfleet_uploads_total{event="expired"}'] for one in (first, second))
            assert len(paths + late) - AT_ONCE <= counted <= len(paths + late)
            assert [complaints(one) for one in (first, second)] == [[], []]


def test_two_that_both_believe_to_lead_do_everything_once(
    tmp_path: Path, backend: Backend, gateway: Server, redis_alone: RedisNode
) -> None:
    all_overdue(gateway, backlog(gateway, 200))
    finished = create(gateway, KIB, body=b"f" * KIB)
    redis_alone.ask("ACL", "SETUSER", "second", "on", ">password", "~*", "&*", "+@all")
    patient = ("--redis-timeout", f"{PAUSE_SECONDS}s", "--redis-patience", f"{PAUSE_SECONDS}s")
    # Both come as far as their first change, and are let go at the same moment.
    redis_alone.ask("CLIENT", "PAUSE", PAUSE_SECONDS * 1000, "WRITE")
    address = f"redis://second:password@{redis_alone.address}/0"
    other = on_disk(RedisTopology("standalone", address, [redis_alone]), tmp_path / "data")
    both = [run_once(one, *patient) for one in (backend, other)]
    eventually(lambda: paused(redis_alone) == {"default", "second"}, PAUSE_SECONDS)
    redis_alone.ask("CLIENT", "UNPAUSE")
    reports = [outcome(one) for one in both]
    assert [status for status, _ in reports] == [0, 0]
    assert sum(report["expired"]["done"] for _, report in reports) == 200
    assert sum(report["expired"]["bytes"] for _, report in reports) == 200 * KIB
    assert all(report["expired"]["done"] > 0 for _, report in reports), "one was over before the other began"
    assert partials(tmp_path / "data") == set()
    assert head(gateway, finished).status == 200


def paused(node: RedisNode) -> set[str]:
    """The users whose commands wait for the end of a pause."""
    return {client["user"] for client in node.ask("CLIENT LIST") if "b" in client["flags"]}


def test_a_redis_that_is_away_is_told_of_once_and_the_work_goes_on_by_itself(
    tmp_path: Path, backend: Backend, gateway: Server, redis_alone: RedisNode
) -> None:
    with janitors(tmp_path, backend) as both:
        the_leader(both)
        backlog(gateway, 1)
        eventually(lambda: not partials(tmp_path / "data"))
        redis_alone.kill()
        eventually(lambda: all("Nobody can be chosen" in one.log() for one in both), SPARE_SECONDS)
        redis_alone.start()
        the_leader(both)
        backlog(gateway, 1)
        eventually(lambda: not partials(tmp_path / "data"), SPARE_SECONDS)
        for one in both:
            assert complaints(one) == []
            about_it = [line for line in one.lines() if line.get("level") == "warning"]
            assert len(about_it) <= 3, about_it


def test_a_dry_run_tells_what_would_be_done_and_changes_nothing(
    tmp_path: Path, backend: Backend, gateway: Server, redis_alone: RedisNode
) -> None:
    data = tmp_path / "data"
    paths = backlog(gateway, 3)
    finished = create(gateway, KIB, body=b"f" * KIB)
    all_overdue(gateway, paths)
    stray = data / "partial" / sha256(b"stray").hexdigest()[:2] / "stray"
    stray.write_bytes(b"12345")
    os.utime(stray, (1, 1))
    gateway.stop()
    before = redis_alone.contents(), files(data), partials(data)
    status, report = outcome(run_once(backend, "--dry-run"))
    assert (redis_alone.contents(), files(data), partials(data)) == before
    assert status == 0
    assert report["dry_run"] is True
    assert report["expired"] == {"done": 3, "left": 0, "failed": 0, "bytes": 3 * KIB}
    assert report["removed"] == {"done": 1, "left": 0, "failed": 0, "bytes": 5}
    assert {one["upload"] for one in report["uploads"]} == {*(path.rpartition("/")[2] for path in paths), "stray"}
    status, report = outcome(run_once(backend))
    assert (status, report["expired"]["done"], report["removed"]["done"]) == (0, 3, 1)
    assert partials(data) == set()
    assert files(data) == {finished.rpartition("/")[2]}


def test_a_dry_run_makes_no_store(tmp_path: Path, backend: Backend, redis_alone: RedisNode) -> None:
    process = run_once(backend, "--dry-run")
    out, err = process.communicate(timeout=SPARE_SECONDS)
    assert (process.returncode, out) == (1, "")
    assert "There is no store" in err
    assert redis_alone.contents() == {}
    assert not (tmp_path / "data").exists()


def test_a_dry_run_leaves_alone_what_is_being_written(backend: Backend, gateway: Server) -> None:
    path = create(gateway, 10)
    with Wire(gateway) as wire:
        wire.patch(path, 0, 10)
        wire.send(b"x")
        # Its time is over while its request goes on.
        eventually(lambda: outcome(run_once(backend, "--dry-run"))[1]["expired"]["left"] == 1, SPARE_SECONDS, pause=0.1)
        wire.send(b"x" * 9)
        assert wire.read("PATCH").status == 204


def test_of_several_workers_another_one_sweeps_when_one_is_killed(tmp_path: Path) -> None:
    flags = ("--workers", "2", "--expire-after", "200ms", "--sweep-interval", "50ms")
    begun = "This process does the work of the sweeper from now on"
    with serving(tmp_path, *flags) as server:
        first, second = sorted(workers(server))
        assert server.log().count(begun) == 1  # by the first one, which was alone then
        for worker in (first, second):
            os.kill(worker, signal.SIGKILL)
            create(server, 2 * KIB, body=b"x" * KIB)
            eventually(lambda: not partials(server.data), SPARE_SECONDS)
            eventually(lambda: metrics(server)[LEADING] == 1)
        assert server.log().count(begun) >= 2


def workers(server: Server) -> list[int]:
    """The processes that the server has forked."""
    pid = server.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def run_once(backend: Backend, *flags: str) -> subprocess.Popen[str]:
    """Begin one pass of a janitor."""
    arguments = ["janitor", "--once", "--report", "json", *flags, *backend.flags, *FLAGS]
    return subprocess.Popen(
        [sys.executable, "-c", "from tusfleet.cli.main import main; main()", *arguments],
        env={**os.environ, **backend.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(process: subprocess.Popen[str]) -> tuple[int, Any]:
    """Its exit status and its report."""
    out, err = process.communicate(timeout=60)
    assert out, err
    return process.returncode, json.loads(out)
