"""Gateways of a fleet that start in 50 ms: forks of a process that has loaded the program, with points to die at."""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.failure.forked import MEASURING, Forked
from tests.servers import Process, Server, serving
from tests.testbed.gateways import Backend, Gateway, Janitor

ROOT = Path(__file__).resolve().parents[3]
"""Where the tests are imported from."""

LEASE_TTL = 1.0
"""Seconds: so soon the lease of a gateway that was killed is free, where the time of a takeover is not tested."""

SHORT = ("--lease-ttl", f"{LEASE_TTL:g}s")
"""Flags for tests that meet many deaths."""

QUICK = (*SHORT, "--redis-shards", "4")
"""The same for a new store: few shards are quick to look at."""


class Forking(Server):
    """A process that is a fork."""

    def launch(self, arguments: list[str]) -> Process:
        self.log_file.touch()
        environment = {
            name: value
            for name, value in self.environment.items()
            if os.environ.get(name) != value or name.startswith(MEASURING)
        }
        task = {"arguments": arguments, "log": str(self.log_file), "environment": environment}
        with _one_at_a_time:
            parent = launcher()
        assert parent.stdin is not None
        assert parent.stdout is not None
        with _one_at_a_time:
            parent.stdin.write(json.dumps(task).encode() + b"\n")
            parent.stdin.flush()
            answer = parent.stdout.readline()
        assert answer, "the parent of the gateways has ended; what it printed says why"
        return Forked(int(answer))


class ForkedGateway(Forking, Gateway):
    """A gateway that is a fork."""


class ImpatientGateway(ForkedGateway):
    """A gateway whose clients go to another one when it is silent for a while."""

    patience = 2.0


class ForkedJanitor(Forking, Janitor):
    """A janitor that is a fork."""


_one_at_a_time = threading.Lock()


@functools.cache
def launcher() -> subprocess.Popen[bytes]:
    """The parent of all forked gateways of this process."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(MEASURING)}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.failure.fleet.launcher"],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )

    def end() -> None:
        process.kill()
        process.communicate()

    atexit.register(end)
    return process


def need_forks() -> None:
    """Skips the test where there is no way to wait for a fork."""
    if not hasattr(os, "pidfd_open"):
        pytest.skip("forked gateways need pidfd_open (Linux)")


@contextmanager
def gateway(
    folder: Path, backend: Backend, *flags: str, kind: type[Server] = Gateway, **environment: str
) -> Iterator[Server]:
    """A running gateway, or another process of the fleet; variables come on top of those of the backend."""
    with serving(folder, *backend.flags, *flags, environment={**backend.environment, **environment}, kind=kind) as one:
        yield one


@contextmanager
def two_gateways(folder: Path, backend: Backend, *flags: str) -> Iterator[tuple[Server, Server]]:
    """Two running gateways of one fleet, both of them forks."""
    with (
        gateway(folder / "first", backend, *flags, kind=ForkedGateway) as first,
        gateway(folder / "second", backend, *flags, kind=ForkedGateway) as second,
    ):
        yield first, second
