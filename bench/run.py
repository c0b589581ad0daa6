"""Runs the benchmark and writes RESULTS.md: `make bench ARGS="--quick --only P1"`."""

from __future__ import annotations

import argparse
import datetime
import resource
import signal
import sys
import tempfile
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import FrameType

from bench.load import Load
from bench.measure import file_system, machine
from bench.memory import tables as memory_tables
from bench.metric import MIB, WrongResult
from bench.peers import OURS, PEERS, available
from bench.report import Circumstances, Results, render
from bench.servers import Kind, Running, Server, ServerFailed, running
from bench.workloads import Sizes, Workload, workloads

_RESULTS = Path(__file__).parent / "RESULTS.md"
_QUICK = Sizes(bulk=256 * MIB, small_milliseconds=1000, stalled=(500,), beside=64 * MIB, open=2000, seconds=1.0)
_STALLED = (2000, 256 * MIB)
_STALLED_QUICK = (400, 64 * MIB)
"""Of the memory promise: stalled uploads, and `buffer_memory`."""

_IN_MEMORY = ("tmpfs", "ramfs")


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    signal.signal(signal.SIGTERM, _leave)
    _allow_many_files()
    kind = file_system(options.disk)
    if kind in _IN_MEMORY:
        print(f"{options.disk} is in memory ({kind}): name a folder on a disk with --disk.", file=sys.stderr)
        return 2
    servers, missing = available(options.servers)
    for name, reason in missing.items():
        print(f"Not measured: {name}: {reason}", file=sys.stderr)
    sizes = _QUICK if options.quick else Sizes()
    results = Results(servers, [workload for workload in workloads(sizes) if _wanted(workload, options.only)])
    circumstances = Circumstances(
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        command=f'make bench ARGS="{" ".join(arguments)}"' if arguments else "make bench",
        machine=machine() | {"file system": kind},
        rounds=options.rounds,
        missing=missing,
    )
    baseline = _baseline(servers, options.against)
    load = Load()
    with tempfile.TemporaryDirectory(prefix="tusfleet-bench-", dir=options.disk) as folder:
        for number in range(1, options.rounds + 1):
            _measure_all(results, load, Path(folder), f"round {number}/{options.rounds}")
            # After every round, so that what was measured survives an interruption.
            text = render(results, replace(circumstances, rounds=number), baseline)
            options.output.write_text(text, encoding="utf-8")
    if not options.only or "memory" in options.only:
        print("memory", file=sys.stderr, flush=True)
        seen = memory_tables(*(_STALLED_QUICK if options.quick else _STALLED))
        with options.output.open("a", encoding="utf-8") as output:
            output.write(f"\n{seen}\n")
    print(options.output.read_text(encoding="utf-8"))
    return 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="Compare upload servers; see bench/README.md.")
    everybody = [*OURS, *PEERS]
    add = parser.add_argument
    add("--rounds", type=_count, help="how often the servers take turns (default 5, with --quick 1)")
    add("--quick", action="store_true", help="a quarter of the bytes, one round: shows that all works")
    add("--only", type=_list, default=[], help="workloads by the beginning of their names: P1,P3,P5,download,memory")
    add("--servers", type=_list, default=everybody, help=f"some of {','.join(everybody)}")
    add("--against", default="tusd", help="the server that ratios refer to (default tusd, else the first peer)")
    add("--disk", type=Path, default=Path("/var/tmp"), help="folder whose disk is used (default /var/tmp)")
    add("--output", type=Path, default=_RESULTS, help="where the tables go (default bench/RESULTS.md)")
    options = parser.parse_args(arguments)
    if unknown := set(options.servers) - set(everybody):
        parser.error(f"no server is called {', '.join(sorted(unknown))}")
    options.rounds = options.rounds or (1 if options.quick else 5)
    return options


def _count(text: str) -> int:
    if (count := int(text)) < 1:
        raise ValueError
    return count


def _list(text: str) -> list[str]:
    return [item for item in text.split(",") if item]


def _wanted(workload: Workload, only: list[str]) -> bool:
    return not only or any(workload.key.startswith(name) for name in only)


def _measure_all(results: Results, load: Load, disk: Path, label: str) -> None:
    for workload in results.workloads:
        for server in filter(workload.takes, results.servers):
            print(f"{label}  {workload.key}  {server.name}", file=sys.stderr, flush=True)
            _measure(results, load, workload, server, disk)


def _measure(results: Results, load: Load, workload: Workload, server: Server, disk: Path) -> None:
    key = (workload.key, server.name)
    failures = results.failures.setdefault(key, [])

    def start() -> AbstractContextManager[Running]:
        return running(server, disk, failures.append)

    try:
        results.samples.setdefault(key, []).append(workload.run(load, start))
    except (ServerFailed, WrongResult) as failure:
        failures.append(str(failure))
        print(f"    {failure}", file=sys.stderr, flush=True)


def _baseline(servers: list[Server], wanted: str) -> Server | None:
    """The server that ratios refer to: the one that is asked for, else the first peer."""
    peers = [server for server in servers if server.kind is Kind.PEER]
    named = [server for server in servers if server.name.lstrip("@").replace("/", "-") == wanted]
    return next(iter(named + peers), None)


def _allow_many_files() -> None:
    """Thousands of connections, in this process' children too."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _leave(_signal: int, _frame: FrameType | None) -> None:
    # As an exception, so that every server is ended and every folder removed.
    sys.exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
