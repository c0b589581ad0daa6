"""Runs the clients of package registries; what one printed is shown only when it failed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

_PROGRESS_SECONDS = 30
"""A command that takes longer says so again and again, so that nobody takes a compiler for a hang."""


class Unavailable(RuntimeError):
    """A foreign program cannot be had on this machine; the message says why in one line."""


def run_client(
    *command: str,
    seconds: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run `command` to its end; gives what it printed.

    Raises Unavailable when the program is not installed, fails, or takes longer than `seconds`.
    """
    name = " ".join(command[:2])
    if shutil.which(command[0]) is None:
        raise Unavailable(f"{command[0]} is not on PATH")
    with subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Compilers start more processes: all of them end with it.
        start_new_session=True,
    ) as process:
        try:
            output = _output(process, name, seconds)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode != 0:
        raise Unavailable(f"{name} failed with {process.returncode}:\n{output}")
    return output


def _output(process: subprocess.Popen[str], name: str, seconds: float) -> str:
    start = time.monotonic()
    while True:
        try:
            return process.communicate(timeout=min(_PROGRESS_SECONDS, seconds))[0]
        except subprocess.TimeoutExpired as slow:
            passed = time.monotonic() - start
            if passed >= seconds:
                raise Unavailable(f"{name} took longer than {seconds:.0f} s") from slow
            print(f"  {name} is at work, {passed:.0f} s so far", file=sys.stderr, flush=True)
