"""The benchmark: what it says about numbers, and that what it measures with can be believed."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

import pytest

from bench.load import Load, LoadFailed
from bench.measure import Cost, connections, cost, resident_bytes, tree
from bench.peers import limits, tusfleet
from bench.report import Circumstances, Results, render
from bench.run import main
from bench.servers import Kind, Server, ServerFailed, running
from bench.workloads import Sizes, Workload, workloads

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="costs are read from /proc, which only Linux has")

MIB = 2**20
OURS = Server("tusfleet", "1", Kind.OURS, ())
PEER = Server("tusd", "2", Kind.PEER, (), note="quiet")
OTHER = Server("rustus", "3", Kind.PEER, ())


def first_workload() -> Workload:
    return workloads(Sizes())[0]


def told(results: Results, missing: dict[str, str] | None = None) -> str:
    here = Circumstances("2026-01-02", "make bench", {"CPU": "one"}, 3, missing or {})
    return render(results, here, PEER)


def sample(speed: float, cpu: float) -> dict[str, float]:
    return {"speed": speed, "cpu": cpu, "peak": 10.0, "faults": 5.0, "client": 7.0}


def test_report_tells_medians_spread_and_ratios() -> None:
    workload = first_workload()
    results = Results([OURS, PEER], [workload])
    results.samples[workload.key, "tusfleet"] = [sample(900, 0.5), sample(1000, 0.4), sample(2000, 0.6)]
    results.samples[workload.key, "tusd"] = [sample(500, 1.0)]
    assert "| tusfleet | 1,000 (900..2,000) 2.00x | 0.50 (0.40..0.60) 0.50x |" in told(results)


def test_report_says_who_wins_what() -> None:
    workload = first_workload()
    results = Results([OURS, PEER, OTHER], [workload])
    results.samples[workload.key, "tusfleet"] = [sample(600, 0.5)]
    results.samples[workload.key, "tusd"] = [sample(500, 1.0)]
    results.samples[workload.key, "rustus"] = [sample(800, 2.0)]
    text = told(results)
    assert "- MB/s: best peer rustus 800; tusfleet 600, 0.75 of that: behind." in text
    assert "- CPU-s/GiB: best peer tusd 1.00; tusfleet 0.50, 0.50 of that: ahead." in text
    assert "- peak RSS, MiB: best peer tusd 10; tusfleet 10, the same." in text


def test_report_names_failures_and_peers_that_could_not_be_had() -> None:
    workload = first_workload()
    results = Results([OURS, PEER], [workload])
    results.failures[workload.key, "tusd"] = ["died with 1\nTypeError: gone"]
    text = told(results, {"rustus": "cargo is not on PATH"})
    assert "- tusd failed 1 times, first: died with 1 / TypeError: gone" in text
    assert "| not measured: rustus | cargo is not on PATH |" in text


def test_server_that_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--servers", "tusd,nginx"])
    assert "no server is called nginx" in capsys.readouterr().err


@linux_only
def test_cost_counts_this_process() -> None:
    before = cost(os.getpid())
    spent = Cost(0.0, 0)
    while spent.cpu_seconds < 0.01:
        spent = cost(os.getpid()) - before
    assert os.getpid() in tree(os.getpid())
    assert resident_bytes(os.getpid()) > MIB


@linux_only
def test_load_generator_uploads_and_downloads_every_byte(tmp_path: Path) -> None:
    load = Load()
    with running(limits()[1], tmp_path, pytest.fail) as server:
        sent = load.run("bulk", port=server.port, path="/files", bytes=3 * MIB + 5, patch=MIB)
        assert sent["offset"] == 3 * MIB + 5
        got = load.run("download", port=server.port, path=sent["location"], check=1)
        assert got["bytes"] == 3 * MIB + 5
        assert (server.folder / "one").stat().st_size == 3 * MIB + 5
        assert connections(server.port).standing == 0


@linux_only
def test_heads_are_sent_at_a_steady_rate_until_told_to_end(tmp_path: Path) -> None:
    load = Load()
    with running(tusfleet("relaxed"), tmp_path, pytest.fail) as server:
        location = load.run("bulk", port=server.port, path="/files", bytes=MIB)["location"]
        with load.during("heads", port=server.port, path=location, per_second=100) as seen:
            assert seen == {}
            time.sleep(0.5)  # what is measured is that so many come in a time
        assert 10 <= seen["heads"] <= 60
        assert 0 < seen["p50"] <= seen["p99"] <= seen["longest"]
        with (
            pytest.raises(LoadFailed, match="HEAD got status 404"),
            load.during("heads", port=server.port, path="/files/nothing"),
        ):
            pass  # the first is sent whatever the time


@linux_only
def test_uploads_are_only_created_when_asked_for(tmp_path: Path) -> None:
    load = Load()
    with running(tusfleet("relaxed"), tmp_path, pytest.fail) as server:
        done = load.run("small", port=server.port, path="/files", only_create=1, connections=4, most=50)
        assert 50 <= done["uploads"] < 54
        assert done["right"] == done["asked"] == 4
        assert [path for path in server.folder.rglob("files/*") if path.is_file()] == []


@linux_only
def test_load_generator_notices_a_download_that_differs(tmp_path: Path) -> None:
    load = Load()
    with running(limits()[1], tmp_path, pytest.fail) as server:
        sent = load.run("bulk", port=server.port, path="/files", bytes=MIB)
        with (server.folder / "one").open("r+b") as file:
            file.seek(MIB // 2)
            file.write(b"?")
        with pytest.raises(LoadFailed, match="differs from what was sent"):
            load.run("download", port=server.port, path=sent["location"], check=1)


@linux_only
def test_server_that_ends_at_once_is_reported_with_what_it_said(tmp_path: Path) -> None:
    broken = Server("broken", "0", Kind.PEER, (sys.executable, "-c", "raise SystemExit('no such option')"))
    with pytest.raises(ServerFailed, match=r"(?s)before it listened.*no such option"), running(broken, tmp_path, print):
        pytest.fail("it does not run")


@linux_only
def test_server_that_dies_later_is_reported_beside_its_numbers(tmp_path: Path) -> None:
    deaths: list[str] = []
    code = "import socket\nwith socket.create_server(('127.0.0.1', {port})) as s: s.accept(); s.accept()\n1 / 0"
    mortal = Server("mortal", "0", Kind.PEER, (sys.executable, "-c", code))
    with running(mortal, tmp_path, deaths.append) as server, socket.create_connection(("127.0.0.1", server.port)):
        os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)
    assert len(deaths) == 1
    assert "ZeroDivisionError" in deaths[0]
