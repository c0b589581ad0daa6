"""Two gateways against one, on the same Redis and the same storage (P8): `python -m bench.fleet`.

Half of the load generator's connections go to each gateway. Where fewer cores are free than the processes could use,
the ratio tells of the machine; the CPU time of an upload in each process tells of the software, and where it ends.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.fleet_report import Sample, Table, render
from bench.load import Load
from bench.measure import cost, machine
from bench.metric import MIB, WrongResult
from bench.servers import Kind, Running, Server, ServerFailed, running
from bench.sink import sink
from tests.testbed.redis import standalone

_RESULTS = Path(__file__).parent / "FLEET.md"
_CONNECTIONS = 16
_BULK_UPLOADS = 2
_WARM_UP_MILLISECONDS = 300
_BUCKET = "bench"

GATEWAYS = (1, 2)


@dataclass(frozen=True, slots=True)
class Fleet:
    """What is measured together.

    Parameters:
        gateways: that serve.
        beside: process ids by what they do, without the gateways.
    """

    gateways: list[Running]
    beside: dict[str, int]


Work = Callable[[Load, Fleet], Sample]


@contextmanager
def fleet(count: int, storage: str, folder: Path) -> Iterator[Fleet]:
    """So many gateways on a fresh Redis, and a folder that they share or an S3 that throws bytes away."""
    deaths: list[str] = []
    with ExitStack() as stack:
        redis = stack.enter_context(standalone(folder / "redis"))
        beside = {"Redis": redis.program.pid}
        words = ["--redis-url", redis.url]
        environment: dict[str, str] = {}
        if storage == "s3":
            s3 = stack.enter_context(sink(_BUCKET))
            beside["S3"] = s3.pid
            words += ["--s3-bucket", _BUCKET, "--s3-endpoint", s3.endpoint, "--s3-region", "us-east-1"]
            environment = dict(s3.credentials)
        else:
            words += ["--datastore", "filesystem", "--data-dir", str(folder / "data"), "--durability", "relaxed"]
        program = str(Path(sys.executable).with_name("tusfleet"))
        usual = (
            "gateway",
            "--host",
            "127.0.0.1",
            "--port",
            "{port}",
            "--metrics-port",
            "none",
            "--log-level",
            "warning",
        )
        server = Server("gateway", "", Kind.OURS, (program, *usual, *words), environment=environment)
        gateways = [stack.enter_context(running(server, folder, deaths.append)) for _ in range(count)]
        yield Fleet(gateways, beside)
    if deaths:
        raise ServerFailed(deaths[0])


def small(size: int, milliseconds: int) -> Work:
    """Uploads of one size, a POST and a PATCH each, as many as there is time for."""

    def run(load: Load, at: Fleet) -> Sample:
        values = {"bytes": size, "connections": _CONNECTIONS // len(at.gateways)}
        _at_all(load, at.gateways, "small", values | {"milliseconds": _WARM_UP_MILLISECONDS})
        before = _used(at)
        began = time.monotonic()
        done = _at_all(load, at.gateways, "small", values | {"milliseconds": milliseconds})
        used = {name: spent - before[name] for name, spent in _used(at).items()}
        seconds = max(one["seconds"] for one in done)
        uploads = sum(one["uploads"] for one in done)
        if any(one["right"] != one["asked"] for one in done):
            raise WrongResult("an upload has a wrong offset")
        return _sample(uploads / seconds, uploads, used, done, time.monotonic() - began)

    return run


def bulk(size: int) -> Work:
    """Two long uploads at the same time, in one PATCH each; the rate is MB/s, and CPU is of a GiB."""

    def run(load: Load, at: Fleet) -> Sample:
        _at_all(load, at.gateways, "bulk", {"bytes": 4 * MIB})
        os.sync()
        before = _used(at)
        began = time.monotonic()
        targets = [at.gateways[number % len(at.gateways)] for number in range(_BULK_UPLOADS)]
        done = _at_all(load, targets, "bulk", {"bytes": size})
        seconds = time.monotonic() - began
        used = {name: spent - before[name] for name, spent in _used(at).items()}
        if any(one["offset"] != size for one in done):
            raise WrongResult("an upload has a wrong offset")
        sent = size * _BULK_UPLOADS
        return _sample(sent / 1e6 / max(one["seconds"] for one in done), sent / 2**30, used, done, seconds)

    return run


def _sample(rate: float, units: float, used: dict[str, float], done: list[dict[str, Any]], seconds: float) -> Sample:
    used = {**used, "load generator": sum(float(one["client_cpu"]) for one in done)}
    return Sample(rate, {name: spent / units for name, spent in used.items()}, sum(used.values()) / seconds)


def _used(at: Fleet) -> dict[str, float]:
    gateways = sum(cost(gateway.pid).cpu_seconds for gateway in at.gateways)
    return {"gateways": gateways, **{name: cost(pid).cpu_seconds for name, pid in at.beside.items()}}


def _at_all(load: Load, targets: Sequence[Running], mode: str, values: dict[str, int]) -> list[dict[str, Any]]:
    """The same load at each of `targets` at the same time."""
    with ThreadPoolExecutor(len(targets)) as threads:
        runs = [threads.submit(load.run, mode, port=one.port, path=one.server.path, **values) for one in targets]
        return [run.result() for run in runs]


def measure(storage: str, rounds: int, milliseconds: int, size: int, disk: Path) -> list[Table]:
    """All tables; the two fleets take turns."""
    works = {
        "4 KiB uploads/s, POST and PATCH": ("ms", 1e3, small(4096, milliseconds)),
        "64 KiB uploads/s, POST and PATCH": ("ms", 1e3, small(65536, milliseconds)),
        f"MB/s of {_BULK_UPLOADS} uploads of {size // MIB} MiB at a time": ("s/GiB", 1.0, bulk(size)),
    }
    load = Load()
    samples: dict[str, dict[int, list[Sample]]] = {name: {count: [] for count in GATEWAYS} for name in works}
    with tempfile.TemporaryDirectory(prefix="tusfleet-fleet-", dir=disk) as folder:
        for number in range(rounds):
            for name, (_, _, work) in works.items():
                for count in GATEWAYS:
                    place = Path(folder) / f"{number}-{len(list(Path(folder).iterdir()))}"
                    place.mkdir()
                    with fleet(count, storage, place) as at:
                        samples[name][count].append(work(load, at))
    return [
        Table(
            name,
            unit,
            scale,
            {count: _middle(taken) for count, taken in samples[name].items()},
            # Files are written by threads; what goes to S3 passes through the event loop.
            one_core=unit == "ms" or storage == "s3",
        )
        for name, (unit, scale, _) in works.items()
    ]


def _middle(samples: list[Sample]) -> Sample:
    """Of each number the median."""
    names = samples[0].cpu
    return Sample(
        median(one.rate for one in samples),
        {name: median(one.cpu[name] for one in samples) for name in names},
        median(one.cores for one in samples),
    )


def main(arguments: list[str]) -> int:
    """Measure, write the tables and print them."""
    parser = argparse.ArgumentParser(prog="python -m bench.fleet", description=__doc__)
    add = parser.add_argument
    add("--datastore", choices=("filesystem", "s3"), action="append", help="which storage (default: both)")
    add("--rounds", type=int, default=3, help="how often the two fleets take turns (default 3)")
    add("--seconds", type=float, default=2.0, help="of small uploads (default 2)")
    add("--bulk", type=int, default=512, help="MiB of a long upload (default 512)")
    add("--disk", type=Path, default=Path("/var/tmp"), help="folder whose disk is used (default /var/tmp)")
    add("--output", type=Path, default=_RESULTS, help="where the tables go (default bench/FLEET.md)")
    options = parser.parse_args(arguments)
    load = os.getloadavg()[0]
    found = {
        storage: measure(storage, options.rounds, int(options.seconds * 1000), options.bulk * MIB, options.disk)
        for storage in options.datastore or ("filesystem", "s3")
    }
    cores = len(os.sched_getaffinity(0))
    text = render(found, machine() | {"load before": f"{load:.1f}"}, cores=cores, rounds=options.rounds)
    options.output.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
