"""Servers that start in 50 ms: forks of one process that has loaded the program already.

What runs is `tusfleet serve` with its flags, in a process of its own. Loading it takes most of the time of a start, and
that is no part of what hundreds of deaths are to show.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import servers
from tests.servers import Process, Server

NURSERY = """
import ctypes, json, os, signal, sys
import coverage
import tusfleet.gateway.server
from tusfleet.cli.main import main

PR_SET_PDEATHSIG = 1
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
for line in sys.stdin:
    task = json.loads(line)
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        continue
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    log = os.open(task["log"], os.O_WRONLY | os.O_APPEND)
    for number, target in ((os.open(os.devnull, os.O_RDONLY), 0), (log, 1), (log, 2)):
        os.dup2(number, target)
    os.environ.update(task["environment"])
    coverage.process_startup()
    main(task["arguments"])
"""
"""The parent of the forks. It ends when its standard input does, however the tests ended, and the forks end with it."""

MEASURING = "COVERAGE_"
"""Variables that begin with it have a process measured; that is for the forks, each on its own."""


class Forked:
    """A fork, as far as it can be handled like a child of ours."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._ended = False
        self._handle = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """0 once it has ended; how is not known here."""
        return 0 if self._has_ended(0) else None

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended."""
        if not self._has_ended(timeout):
            raise subprocess.TimeoutExpired("a forked server", timeout or 0)
        return 0

    def send_signal(self, sig: int, /) -> None:
        """Send it a signal."""
        signal.pidfd_send_signal(self._handle, sig)

    def _has_ended(self, timeout: float | None) -> bool:
        if not self._ended and select.select([self._handle], [], [], timeout)[0]:
            os.close(self._handle)
            self._ended = True
        return self._ended


class ForkedServer(Server):
    """A server that is a fork."""

    def launch(self, arguments: list[str]) -> Process:
        self.log_file.touch()
        environment = {name: value for name, value in self.environment.items() if name.startswith(MEASURING)}
        task = {"arguments": arguments, "log": str(self.log_file), "environment": environment}
        parent = nursery()
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write(json.dumps(task).encode() + b"\n")
        parent.stdin.flush()
        answer = parent.stdout.readline()
        assert answer, "the parent of the servers has ended; what it printed says why"
        return Forked(int(answer))


@functools.cache
def nursery() -> subprocess.Popen[bytes]:
    """The parent of all forks of this process."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(MEASURING)}
    process = subprocess.Popen(
        [sys.executable, "-c", NURSERY],
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


@contextmanager
def serving(folder: Path, *flags: str) -> Iterator[Server]:
    """A running server that starts quickly; where there is no way to wait for a fork, at its usual pace."""
    kind = ForkedServer if hasattr(os, "pidfd_open") else Server
    with servers.serving(folder, *flags, kind=kind) as server:
        yield server
