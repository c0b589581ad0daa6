"""Runs the clients of package registries; what one printed is shown only when it failed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path


class Unavailable(RuntimeError):
    """A foreign program cannot be had on this machine; the message says why in one line."""


def run_client(
    *command: str,
    seconds: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run `command` to its end.

    Raises Unavailable when the program is not installed, fails, or takes longer than `seconds`.
    """
    name = " ".join(command[:2])
    if shutil.which(command[0]) is None:
        raise Unavailable(f"{command[0]} is not on PATH")
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as slow:
        raise Unavailable(f"{name} took longer than {seconds:.0f} s") from slow
    if done.returncode != 0:
        raise Unavailable(f"{name} failed with {done.returncode}:\n{done.stdout}")
