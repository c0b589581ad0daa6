"""The memory promise of a gateway on S3, measured: `python -m bench.memory`, and the last table of `make bench`.

So many uploads stall in the middle, each with less than a part, which S3 takes only as a tail; beside them a fast one
goes on. All bytes of bodies have to fit into `buffer_memory`, and what a process needs besides into 100 MiB.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.guards import create, send, stalled_uploads
from bench.measure import connections, forget_peak, machine, peak_resident_bytes, resident_bytes
from bench.servers import Kind, Server, running
from bench.sink import sink
from tests.testbed.redis import standalone
from tests.testbed.s3 import versitygw

MIB = 2**20

SPARE = 100 * MIB
"""What a process may need beside its buffers, with Python and the SDK of S3."""

LEAST_SHARE = 0.8
"""Of its lone speed, which the fast one is to keep; where other work shares the machine, nobody can count on it."""

STALLED_BYTES = 3 * MIB
LENGTH = 8 * MIB
"""What each stalled upload has sent, and of how much."""

FAST_BYTES = 512 * MIB
"""So much that the start, when the others give way, is a small part of it."""

STORAGES = {"versitygw": "versitygw", "sink": "an S3 that throws the bytes away"}
"""What it is measured on, with words for each. A real one holds bytes back; but on one machine it writes those of the
stalled uploads to the disk and the page cache that the fast one gets too, and then its speed is that of the disk."""

_BUCKET = "bench"

_RESULTS = Path(__file__).parent / "MEMORY.md"

ROUNDS = 5
"""How often the fast one goes; its best time counts, since whatever disturbs it makes it slower."""

SECONDS = 300.0
"""How long a gateway may take to read what came, however busy the machine is."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What was seen.

    Parameters:
        count: of stalled uploads.
        memory: `buffer_memory`, in bytes.
        idle, peak: resident memory before, and the highest since, in bytes.
        slabs: of it in buffers.
        alone, beside: bytes a second of the fast one.
    """

    count: int
    memory: int
    idle: int
    peak: int
    slabs: int
    alone: float
    beside: float

    @property
    def share(self) -> float:
        """Of its lone speed, what the fast one kept."""
        return self.beside / self.alone

    @property
    def target(self) -> int:
        """Most resident memory, in bytes."""
        return self.memory + SPARE

    def table(self, storage: str = "S3") -> str:
        """What was seen beside what is promised; `storage` are words for the title."""
        highest, buffers = self.peak <= self.target, self.slabs <= self.memory
        rows = [
            ("idle RSS", f"{self.idle / MIB:.0f} MiB", ""),
            ("highest RSS", f"{self.peak / MIB:.0f} MiB", _verdict(f"{self.target // MIB} MiB", highest)),
            ("of it in buffers", f"{self.slabs / MIB:.0f} MiB", _verdict(f"{self.memory // MIB} MiB", buffers)),
            ("fast upload, alone", f"{self.alone / 1e6:.0f} MB/s", ""),
            ("fast upload, beside them", f"{self.beside / 1e6:.0f} MB/s", ""),
            ("beside / alone", f"{self.share:.2f}", _verdict(f"{LEAST_SHARE:.2f}", self.share >= LEAST_SHARE)),
        ]
        stalled = f"{self.count:,} stalled uploads of {STALLED_BYTES // MIB} MiB"
        lines = [
            f"## memory: {stalled} to {storage}, one fast one beside them",
            "",
            "| | seen | target |",
            "|---|---|---|",
        ]
        return "\n".join([*lines, *(f"| {name} | {seen} | {target} |" for name, seen, target in rows)])


def _verdict(target: str, met: bool) -> str:
    return f"{target}: {'met' if met else 'missed'}"


@contextmanager
def stalled_beside_a_fast_one(
    pid: int, port: int, path: str, count: int, memory: int
) -> Iterator[tuple[Memory, list[str]]]:
    """Measure a gateway; the stalled uploads, whose paths are given too, stand until the block ends.

    Raises:
        TimeoutError: the gateway does not read what came.
    """
    idle = resident_bytes(pid)
    _speed(port, path)  # what is loaded or opened once is no cost of the next one
    alone = max(_speed(port, path) for _ in range(ROUNDS))
    forget_peak(pid)
    with stalled_uploads(port, path, count, STALLED_BYTES, LENGTH, SECONDS) as paths:
        _until_read(port)
        slabs = shared_bytes(pid)
        beside = max(_speed(port, path) for _ in range(ROUNDS))
        yield Memory(count, memory, idle, peak_resident_bytes(pid), slabs, alone, beside), paths


def _speed(port: int, path: str) -> float:
    """Bytes a second of one client that sends as fast as it can, on a disk that has no other bytes to write."""
    os.sync()
    location = create(port, path, FAST_BYTES)
    began = time.monotonic()
    if send(port, location, FAST_BYTES) != FAST_BYTES:
        raise AssertionError("not all bytes are acknowledged")
    return FAST_BYTES / (time.monotonic() - began)


def _until_read(port: int) -> None:
    deadline = time.monotonic() + SECONDS
    while connections(port).unread_bytes:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{connections(port).unread_bytes} bytes are not read after {SECONDS:.0f} s")
        time.sleep(0.05)  # between two looks, up to the deadline


def shared_bytes(pid: int) -> int:
    """Resident memory of slabs: they are mapped, and nothing else of a gateway is."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("RssShmem:")[2].split()[0]) * 1024


def measure(storage: str, count: int, memory: int) -> Memory:
    """Measure a gateway of its own, on a Redis and an S3 server of its own; `storage` is one of `STORAGES`."""
    program = str(Path(sys.executable).with_name("tusfleet"))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tusfleet-memory-")))
        redis = stack.enter_context(standalone(folder / "redis"))
        if storage == "versitygw":
            real = stack.enter_context(versitygw(folder))
            bucket, endpoint, credentials = real.bucket().name, real.endpoint, dict(real.credentials)
        else:
            empty = stack.enter_context(sink(_BUCKET))
            bucket, endpoint, credentials = _BUCKET, empty.endpoint, empty.credentials
        words = (
            *("gateway", "--host", "127.0.0.1", "--port", "{port}", "--metrics-port", "none"),
            *("--log-level", "warning", "--redis-url", redis.url, "--s3-bucket", bucket),
            *("--s3-endpoint", endpoint, "--s3-region", "us-east-1"),
            *("--buffer-memory", str(memory), "--body-idle-timeout", "30m"),
        )
        server = Server("gateway", "", Kind.OURS, (program, *words), environment=credentials)
        gateway = stack.enter_context(running(server, folder, print))
        seen, _ = stack.enter_context(stalled_beside_a_fast_one(gateway.pid, gateway.port, server.path, count, memory))
        return seen


def tables(count: int, memory: int) -> str:
    """What was seen on every storage."""
    return "\n\n".join(measure(storage, count, memory).table(words) for storage, words in STORAGES.items())


def main(arguments: list[str]) -> int:
    """Measure, write the tables and print them."""
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="stalled uploads (default 2000)")
    parser.add_argument("--mib", type=int, default=256, help="buffer_memory in MiB (default 256)")
    parser.add_argument("--output", type=Path, default=_RESULTS, help="where the tables go (default bench/MEMORY.md)")
    options = parser.parse_args(arguments)
    about = machine() | {"load before": f"{os.getloadavg()[0]:.1f}"}
    lines = [
        "# Memory beside slow clients",
        "",
        f"Written by `python -m bench.memory`: one gateway with `buffer_memory` {options.mib} MiB. Speeds are the "
        f"best of {ROUNDS} uploads of {FAST_BYTES // MIB} MiB.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in about.items()),
        "",
        tables(options.count, options.mib * MIB),
    ]
    text = "\n".join(lines) + "\n"
    options.output.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
