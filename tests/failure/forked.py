"""Servers that start in 50 ms: forks of one process that has loaded the program already.

What runs is `tusfleet serve` with its flags, in a process of its own. Loading it takes most of the time of a start, and
that is no part of what hundreds of deaths are to show.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import Server, serving

NURSERY = """
import json, os, signal, sys
import tusfleet.gateway.server
from tusfleet.cli.main import main

signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
for line in sys.stdin:
    task = json.loads(line)
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        continue
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    log = os.open(task["log"], os.O_WRONLY | os.O_APPEND)
    for number, target in ((os.open(os.devnull, os.O_RDONLY), 0), (log, 1), (log, 2)):
        os.dup2(number, target)
    main(task["arguments"])
"""
"""The parent of the forks."""


class Forked:
    """A fork, as far as it can be handled like a child of ours."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._handle = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """0 once it has ended; how is not known here."""
        return self.returncode if self.returncode is not None else self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended."""
        if self.returncode is None and self._ended(timeout) is None:
            raise subprocess.TimeoutExpired("a forked server", timeout or 0)
        return 0

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        signal.pidfd_send_signal(self._handle, number)

    def _ended(self, timeout: float | None) -> int | None:
        if select.select([self._handle], [], [], timeout)[0]:
            os.close(self._handle)
            self.returncode = 0
        return self.returncode


class ForkedServer(Server):
    """A server that is a fork of `nursery`."""

    nursery: subprocess.Popen[bytes]

    def launch(self, arguments: list[str]) -> Forked:
        assert self.nursery.stdin is not None
        assert self.nursery.stdout is not None
        self.log_file.touch()
        task = {"arguments": arguments, "log": str(self.log_file)}
        self.nursery.stdin.write(json.dumps(task).encode() + b"\n")
        self.nursery.stdin.flush()
        return Forked(int(self.nursery.stdout.readline()))


@contextmanager
def forked(folder: Path, *flags: str) -> Iterator[Server]:
    """A running server that can be restarted quickly; where there is no way to wait for a fork, at its usual pace."""
    if not hasattr(os, "pidfd_open"):
        with serving(folder, *flags) as server:
            yield server
        return
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-c", NURSERY]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as nursery:
        try:
            kind = type("_Server", (ForkedServer,), {"nursery": nursery})
            with serving(folder, *flags, kind=kind) as server:
                yield server
        finally:
            nursery.kill()
