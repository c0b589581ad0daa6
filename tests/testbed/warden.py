"""Ends what the tests started when the tests themselves were killed (SIGKILL, a cancelled CI job, a crash)."""

from __future__ import annotations

import atexit
import functools
import json
import subprocess
import sys

PROGRAM = """
import json, os, select, signal, subprocess, sys

signal.signal(signal.SIGINT, signal.SIG_IGN)
groups, commands = {}, {}
for line in sys.stdin:
    if line[0] == "!":
        key, folder, *command = json.loads(line[1:])
        commands[key] = (folder, command)
        continue
    if line[0] == "?":
        commands.pop(json.loads(line[1:]), None)
        continue
    pid = int(line[1:])
    if line[0] == "+":
        try:
            groups[pid] = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None
        except ProcessLookupError:
            pass
    elif (handle := groups.pop(pid, None)) is not None:
        os.close(handle)
for pid, handle in groups.items():
    # One that has ended by itself may have left its number to a stranger.
    if handle is None or not select.select([handle], [], [], 0)[0]:
        try:
            os.killpg(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
for folder, command in commands.values():
    subprocess.run(command, cwd=folder, check=False)
"""
"""Hears of each process group at its start and its end; when its input ends, so do the groups that are left.

Then it runs the commands that it was left with, for what no signal ends.

A signal at the death of the parent (PR_SET_PDEATHSIG) would come when the *thread* ends that started the program.
"""


def watch(pid: int) -> None:
    """Have the process group `pid` killed when this process dies."""
    _tell(f"+{pid}\n")


def unwatch(pid: int) -> None:
    """The process group `pid` has ended."""
    _tell(f"-{pid}\n")


def leave(key: str, folder: str, command: list[str]) -> None:
    """Have `command` run in `folder` when this process dies, after all groups; until `take_back(key)`."""
    _tell(f"!{json.dumps([key, folder, *command])}\n")


def take_back(key: str) -> None:
    """What `leave(key)` was for is done."""
    _tell(f"?{json.dumps(key)}\n")


def _tell(line: str) -> None:
    pipe = _warden().stdin
    assert pipe is not None
    # One write of a short line is one piece in the pipe, whichever threads write at once.
    pipe.write(line.encode())
    pipe.flush()


@functools.cache
def _warden() -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-I", "-c", PROGRAM], stdin=subprocess.PIPE, start_new_session=True)
    # The end of its input is what it waits for.
    atexit.register(process.communicate)
    return process
