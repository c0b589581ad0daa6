"""What a server costs, from /proc: CPU time, resident memory and page faults of a process and all of its children."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_CPU_CLOCK_OF_A_PROCESS = 2
"""CPUCLOCK_SCHED of the kernel: with it a process id becomes a clock id that counts in nanoseconds."""

_ESTABLISHED = "01"


@dataclass(frozen=True, slots=True)
class Cost:
    """What a tree of processes has used since it began."""

    cpu_seconds: float
    minor_faults: int

    def __sub__(self, earlier: Cost) -> Cost:
        return Cost(self.cpu_seconds - earlier.cpu_seconds, self.minor_faults - earlier.minor_faults)


def tree(pid: int) -> list[int]:
    """`pid` and every process below it that is alive."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found.extend(int(child) for child in task.read_text().split())
    return found


def cost(pid: int) -> Cost:
    """What the tree under `pid` has used; children that have ended are not in it."""
    members = tree(pid)
    # The times in /proc/PID/stat are cut to 10 ms, too coarse for a GiB that costs 300.
    cpu = sum(time.clock_gettime((~member << 3) | _CPU_CLOCK_OF_A_PROCESS) for member in members)
    return Cost(cpu, sum(_minor_faults(member) for member in members))


def resident_bytes(pid: int) -> int:
    """Resident memory of the tree under `pid`."""
    return sum(_status(member, "VmRSS") for member in tree(pid))


def peak_resident_bytes(pid: int) -> int:
    """Highest resident memory of each process under `pid` since `forget_peak`, added up."""
    return sum(_status(member, "VmHWM") for member in tree(pid))


def forget_peak(pid: int) -> None:
    """Let the peaks begin anew."""
    for member in tree(pid):
        Path(f"/proc/{member}/clear_refs").write_text("5")


@dataclass(frozen=True, slots=True)
class Connections:
    """The connections of a server, as the kernel sees them from the server's side."""

    standing: int
    unread_bytes: int
    """What came and the server has not read from its sockets."""


def connections(port: int) -> Connections:
    """The established connections of the server on `port` of 127.0.0.1."""
    ours = f"0100007F:{port:04X}"
    rows = [line.split() for line in _lines("/proc/net/tcp")[1:]]
    queues = [queue for _, local, _, state, queue, *_ in rows if local == ours and state == _ESTABLISHED]
    return Connections(len(queues), sum(int(queue.split(":")[1], 16) for queue in queues))


def settled_resident_bytes(pid: int, port: int, *, still_seconds: float = 1.0, longest_seconds: float = 30.0) -> int:
    """Resident memory once the server has read all that came and has not grown for `still_seconds`.

    Raises TimeoutError when that does not happen within `longest_seconds`.
    """
    deadline = time.monotonic() + longest_seconds
    highest, since = 0, time.monotonic()
    while time.monotonic() < deadline:
        now = resident_bytes(pid)
        if now > highest or connections(port).unread_bytes:
            highest, since = max(now, highest), time.monotonic()
        elif time.monotonic() - since >= still_seconds:
            return now
        time.sleep(0.05)  # between two looks, up to the deadline; what is measured is the server alone
    raise TimeoutError(f"not settled after {longest_seconds:.0f} s: {connections(port).unread_bytes} bytes unread")


def machine() -> dict[str, str]:
    """What the numbers were taken on; nothing that names the machine or its owner."""
    cpu = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown"
    )
    memory = next(int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal"))
    system = os.uname()
    return {
        "CPU": f"{cpu}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{memory / 2**20:.0f} GiB",
        "kernel": f"{system.sysname} {system.release} {system.machine}",
    }


def file_system(folder: Path) -> str:
    """The type of the file system that holds `folder`, such as ext4."""
    mounts = [
        (fields[4], line.split(" - ")[1].split()[0])
        for line in _lines("/proc/self/mountinfo")
        for fields in [line.split()]
    ]
    place = str(folder.resolve())
    holding = [(point, kind) for point, kind in mounts if place == point or place.startswith(point.rstrip("/") + "/")]
    return max(holding, key=lambda mount: len(mount[0]))[1]


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines()


def _status(pid: int, field: str) -> int:
    for line in _lines(f"/proc/{pid}/status"):
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(f"process {pid} has ended")


def _minor_faults(pid: int) -> int:
    # The name of the program may hold spaces and brackets; fields are counted from behind it.
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(after_name[7])
