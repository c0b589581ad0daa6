"""How soon a server answers: beside bulk, and with many uploads open."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

from bench.bulk import WARM_UP_BYTES, upload
from bench.load import Load
from bench.measure import resident_bytes
from bench.metric import Better, Metric, Run, Sample, Start, WrongResult
from bench.servers import Running

HEADS_PER_SECOND = 50
OPEN_HEADS_PER_SECOND = 200

BESIDE = (
    Metric("idle50", "p50 idle, ms", digits=2),
    Metric("idle99", "p99 idle, ms", digits=2),
    Metric("p50", "p50 beside bulk, ms", Better.LESS, 2),
    Metric("p99", "p99 beside bulk, ms", Better.LESS, 2),
    Metric("times", "p99 beside / idle", Better.LESS, 1),
    Metric("speed", "MB/s of both", Better.MORE),
)
OPEN = (
    Metric("rate", "POST/s", Better.MORE),
    Metric("memory", "KiB of RSS each", Better.LESS, 2),
    Metric("before", "p50 of HEAD before, ms", digits=3),
    Metric("p50", "p50 of HEAD, ms", Better.LESS, 3),
    Metric("times", "with them / without", Better.LESS, 2),
)

_BULK_UPLOADS = 2
_CONNECTIONS = 16
_FOR_EVER_MILLISECONDS = 10**9


def beside_bulk(size: int, seconds: float) -> Run:
    """HEADs at a steady rate on an idle server, for `seconds`, and while two uploads of `size` bytes run."""

    def run(load: Load, start: Start) -> Sample:
        with start() as server:
            location = upload(load, server, WARM_UP_BYTES)
            os.sync()
            idle = _heads(load, server, location, HEADS_PER_SECOND, seconds)
            with (
                load.during("heads", port=server.port, path=location, per_second=HEADS_PER_SECOND) as beside,
                ThreadPoolExecutor(_BULK_UPLOADS) as threads,
            ):
                began = time.monotonic()
                list(threads.map(lambda _: upload(load, server, size), range(_BULK_UPLOADS)))
                took = time.monotonic() - began
        return {
            "idle50": idle["p50"] * 1e3,
            "idle99": idle["p99"] * 1e3,
            "p50": beside["p50"] * 1e3,
            "p99": beside["p99"] * 1e3,
            "times": beside["p99"] / idle["p99"],
            "speed": size * _BULK_UPLOADS / 1e6 / took,
        }

    return run


def open_uploads(count: int, seconds: float) -> Run:
    """HEADs of one upload, each time for `seconds`, before and after `count` others were created."""

    def run(load: Load, start: Start) -> Sample:
        with start() as server:
            location = upload(load, server, WARM_UP_BYTES)
            create: dict[str, int | str] = {
                "port": server.port,
                "path": server.server.path,
                "only_create": 1,
                "connections": _CONNECTIONS,
                "milliseconds": _FOR_EVER_MILLISECONDS,
            }
            # The first ones make what stays: pools, caches, the pages of a heap.
            load.run("small", **create, most=200)
            before = _heads(load, server, location, OPEN_HEADS_PER_SECOND, seconds)
            size = resident_bytes(server.pid)
            done = load.run("small", **create, most=count)
            if done["right"] != done["asked"]:
                raise WrongResult("an upload that was only created has another offset than 0")
            after = _heads(load, server, location, OPEN_HEADS_PER_SECOND, seconds)
            grown = resident_bytes(server.pid) - size
        return {
            "rate": done["uploads"] / done["seconds"],
            "memory": grown / 1024 / done["uploads"],
            "before": before["p50"] * 1e3,
            "p50": after["p50"] * 1e3,
            "times": after["p50"] / before["p50"],
        }

    return run


def _heads(load: Load, server: Running, location: str, per_second: int, seconds: float) -> dict[str, float]:
    with load.during("heads", port=server.port, path=location, per_second=per_second) as seen:
        time.sleep(seconds)  # how long is measured; nothing is waited for
    return seen
