"""What is measured: each workload starts its server afresh, checks what it got, and returns one sample."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection

from bench.bulk import WARM_UP_BYTES, upload
from bench.latency import BESIDE, HEADS_PER_SECOND, OPEN, beside_bulk, open_uploads
from bench.load import Load
from bench.measure import (
    connections,
    cost,
    forget_peak,
    peak_resident_bytes,
    resident_bytes,
    settled_resident_bytes,
)
from bench.metric import GIB, MIB, Better, Metric, Run, Sample, Start, WrongResult
from bench.servers import Kind, Running, Server

_WARM_UP_SHARE = 8
_STALLED_BYTES = 64 * 1024
_SMALL_BYTES = 4096
_SMALL_CONNECTIONS = 16
_PATCH_BYTES = 8 * MIB
_KEEP_SECONDS = 15.0
"""How long a server may take to store what came before a connection was cut."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is sent; `--quick` takes less."""

    bulk: int = GIB
    small_milliseconds: int = 2000
    stalled: Sequence[int] = (1000, 2000)
    beside: int = 256 * MIB
    open: int = 10_000
    seconds: float = 3.0
    """How long HEADs are sent to a server that does nothing else."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One table of the report."""

    key: str
    title: str
    metrics: tuple[Metric, ...]
    run: Run
    takes: Callable[[Server], bool] = lambda server: server.kind is not Kind.LIMIT and not server.several


_BULK = (
    Metric("speed", "MB/s", Better.MORE),
    Metric("cpu", "CPU-s/GiB", Better.LESS, 2),
    Metric("peak", "peak RSS, MiB", Better.LESS),
    Metric("faults", "minor faults/GiB"),
    Metric("client", "client busy, %"),
)
_SMALL = (
    Metric("rate", "uploads/s", Better.MORE),
    Metric("cpu", "CPU ms each", Better.LESS, 3),
    Metric("p50", "p50, ms", digits=2),
    Metric("p99", "p99, ms", digits=2),
    Metric("client", "client busy, %"),
)
_STALLED = (
    Metric("memory", "KiB of RSS each", Better.LESS, 1),
    Metric("alone", "upload alone, MB/s"),
    Metric("beside", "beside them, MB/s", Better.MORE),
    Metric("share", "beside / alone", digits=2),
    Metric("kept", "KiB kept after the cut", Better.MORE),
)


def workloads(sizes: Sizes) -> list[Workload]:
    """All tables, in the order of the report."""
    bulk = _size(sizes.bulk)
    small = f"{_SMALL_BYTES // 1024} KiB uploads over {_SMALL_CONNECTIONS} connections"
    separate = _small(sizes.small_milliseconds, with_upload=False)
    together = _small(sizes.small_milliseconds, with_upload=True)
    return [
        Workload("P1", f"one upload of {bulk} to disk, in one PATCH", _BULK, _upload(sizes.bulk, sizes.bulk), _any),
        Workload(
            "P1-8MiB",
            f"one upload of {bulk} to disk, in PATCHes of {_size(_PATCH_BYTES)} on one connection",
            _BULK,
            _upload(sizes.bulk, _PATCH_BYTES),
        ),
        Workload("download", f"one download of {bulk}", _BULK, _download(sizes.bulk), _downloads),
        Workload("P3", f"{small}: POST, then PATCH", _SMALL, separate, _no_limit),
        Workload("P3-with", f"{small}: creation with upload", _SMALL, together, _no_limit),
        *(
            Workload(
                f"P5-{count}",
                f"{count:,} PATCH connections that stall after {_STALLED_BYTES // 1024} KiB,"
                f" and an upload of {_size(sizes.beside)} beside them",
                _STALLED,
                _stalled(count, sizes.beside),
            )
            for count in sizes.stalled
        ),
        Workload(
            "P7",
            f"HEAD, {HEADS_PER_SECOND} a second, on an idle server and beside two uploads of {bulk}",
            BESIDE,
            beside_bulk(sizes.bulk, sizes.seconds),
        ),
        Workload(
            "open",
            f"HEAD of one upload while {sizes.open:,} others are open",
            OPEN,
            open_uploads(sizes.open, sizes.seconds),
        ),
    ]


def _any(server: Server) -> bool:
    return not server.several


def _downloads(server: Server) -> bool:
    return server.downloads and not server.several


def _no_limit(server: Server) -> bool:
    return server.kind is not Kind.LIMIT


def _size(count: int) -> str:
    return f"{count // GIB} GiB" if count >= GIB else f"{count // MIB} MiB"


def _upload(size: int, patch: int) -> Run:
    def run(load: Load, start: Start) -> Sample:
        with start() as server:
            upload(load, server, WARM_UP_BYTES)
            os.sync()
            forget_peak(server.pid)
            before = cost(server.pid)
            done = load.run("bulk", port=server.port, path=server.server.path, bytes=size, patch=patch)
            used = cost(server.pid) - before
            peak = peak_resident_bytes(server.pid)
            _check_stored(server, done["location"], done["offset"], size)
            return _bulk_sample(size, done, used.cpu_seconds, used.minor_faults, peak)

    return run


def _download(size: int) -> Run:
    def run(load: Load, start: Start) -> Sample:
        with start() as server:
            location = upload(load, server, size)
            # What is still being written would take the disk and the cores from the download.
            os.sync()
            forget_peak(server.pid)
            before = cost(server.pid)
            done = load.run("download", port=server.port, path=location)
            used = cost(server.pid) - before
            peak = peak_resident_bytes(server.pid)
            if done["bytes"] != size:
                raise WrongResult(f"{done['bytes']} of {size} bytes came back")
            sample = _bulk_sample(size, done, used.cpu_seconds, used.minor_faults, peak)
        # Once more, to compare every byte; apart from the measurement, since comparing costs the client more.
        with start() as server:
            location = upload(load, server, size)
            load.run("download", port=server.port, path=location, check=1)
        return sample

    return run


def _small(milliseconds: int, *, with_upload: bool) -> Run:
    def run(load: Load, start: Start) -> Sample:
        with start() as server:
            values: dict[str, int | str] = {
                "port": server.port,
                "path": server.server.path,
                "bytes": _SMALL_BYTES,
                "connections": _SMALL_CONNECTIONS,
                "with_upload": int(with_upload),
            }
            load.run("small", **values, milliseconds=milliseconds // _WARM_UP_SHARE)
            os.sync()
            before = cost(server.pid)
            done = load.run("small", **values, milliseconds=milliseconds)
            used = cost(server.pid) - before
        if done["right"] != done["asked"]:
            raise WrongResult(f"{done['asked'] - done['right']} of {done['asked']} uploads have a wrong offset")
        return {
            "rate": done["uploads"] / done["seconds"],
            "cpu": used.cpu_seconds * 1e3 / done["uploads"],
            "p50": done["p50"] * 1e3,
            "p99": done["p99"] * 1e3,
            "client": done["client_cpu"] / done["seconds"] * 100,
        }

    return run


def _stalled(count: int, beside: int) -> Run:
    def run(load: Load, start: Start) -> Sample:
        with start() as server:
            upload(load, server, WARM_UP_BYTES)
            os.sync()
            alone = _speed(load, server, beside)
        # A fresh process: memory that it kept from the fast upload would hide what the connections take.
        with start() as server:
            load.run("small", port=server.port, path=server.server.path, milliseconds=200, connections=1)
            before = resident_bytes(server.pid)
            with load.holding(
                "stalled", port=server.port, path=server.server.path, connections=count, bytes=_STALLED_BYTES
            ) as held:
                grown = settled_resident_bytes(server.pid, server.port) - before
                if (standing := connections(server.port).standing) < count:
                    raise WrongResult(f"only {standing} of {count} connections still stand")
                os.sync()
                fast = _speed(load, server, beside)
            kept = _kept(server, held["location"])
        return {
            "memory": grown / 1024 / count,
            "alone": alone,
            "beside": fast,
            "share": fast / alone,
            "kept": kept / 1024,
        }

    return run


def _speed(load: Load, server: Running, size: int) -> float:
    done = load.run("bulk", port=server.port, path=server.server.path, bytes=size)
    _check_stored(server, done["location"], done["offset"], size)
    return size / 1e6 / float(done["seconds"])


def _bulk_sample(size: int, done: dict[str, float], cpu: float, faults: int, peak: int) -> Sample:
    return {
        "speed": size / 1e6 / done["seconds"],
        "cpu": cpu / (size / GIB),
        "peak": peak / MIB,
        "faults": faults / (size / GIB),
        "client": done["client_cpu"] / done["seconds"] * 100,
    }


def _check_stored(server: Running, location: str, offset: int, size: int) -> None:
    """What the server tells by HEAD, and what is in its folder."""
    if offset != size:
        raise WrongResult(f"HEAD of {location} tells {offset} after {size} bytes")
    files = [path.stat().st_size for path in server.folder.rglob("*") if path.is_file()]
    # One of the limits throws the bytes away.
    if size not in files and not (server.server.kind is Kind.LIMIT and not files):
        raise WrongResult(f"no file of {size} bytes in its folder")


def _kept(server: Running, location: str) -> int:
    """The offset of an upload whose connection was cut, once the server has made up its mind."""
    deadline = time.monotonic() + _KEEP_SECONDS
    offset = 0
    while time.monotonic() < deadline and offset < _STALLED_BYTES:
        # A server that is busy with a thousand cut connections may not answer at once.
        with suppress(OSError), closing(HTTPConnection("127.0.0.1", server.port, timeout=_KEEP_SECONDS)) as client:
            client.request("HEAD", location, headers={"Tus-Resumable": "1.0.0"})
            offset = int(client.getresponse().headers.get("Upload-Offset", "0"))
        time.sleep(0.05)  # between two looks, up to the deadline
    return offset
