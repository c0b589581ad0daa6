"""Foreign servers as processes: ready when they answer, killed, frozen and restarted at will, ended for certain."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.servers import eventually
from tests.testbed import warden

READY_SECONDS = 60.0
"""The slowest is ready in a second; on a machine that is busy with other tests and builds, later."""

STOP_SECONDS = 15.0
"""After it, a server that was asked to end is killed."""

SHOWN_CHARACTERS = 8_000
"""Of each log, at most so much is shown."""

PASSED_ON = ("PATH", "LANG", "TMPDIR", "TZ")
"""Variables that a foreign server gets; its settings come from its own test and from nowhere else."""

PROC = Path("/proc")

_running: list[Program] = []


class Program:
    """One foreign server in a process group of its own, with a log file.

    Parameters:
        name: in messages and as the name of the log file.
        command: the program and its arguments.
        folder: where it works and its log is; also its HOME.
        ready: whether it serves; called until it says so.
        environment: variables besides the few that every program gets.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        *,
        ready: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.folder = folder
        self.log_file = folder / f"{name}.log"
        self._ready = ready
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process, which leads its group."""
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started, and neither stopped nor ended by itself."""
        return self._process is not None and self._process.poll() is None

    def start(self, *, wait: bool = True) -> None:
        """Start it; unless told otherwise, wait until it serves."""
        assert self._process is None, f"{self.name} runs already"
        passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env={**passed_on, "HOME": str(self.folder), **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        warden.watch(self._process.pid)
        _running.append(self)
        if wait:
            self.wait_ready()

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait until it serves; an AssertionError with its log when it ends instead, or does not in time."""

        try:
            eventually(lambda: not self.running or self._ready(), seconds)
        except AssertionError:
            raise AssertionError(f"{self.name} did not serve within {seconds:g} s:\n{self._end_of_log()}") from None
        assert self.running, f"{self.name} ended before it served:\n{self._end_of_log()}"

    def kill(self) -> None:
        """Kill it as a power cut would (SIGKILL), with all that it started."""
        process = self._process
        assert process is not None, f"{self.name} is not running"
        _signal_group(process.pid, signal.SIGKILL)
        process.wait()
        self._forget(process.pid)

    def restart(self) -> None:
        """Kill it and start it again, on the same port and data."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay, nobody answers."""
        _signal_group(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Thaw it (SIGCONT)."""
        _signal_group(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it, gently first (SIGTERM); nothing of its group is left. Does nothing when it is not running."""
        process = self._process
        if process is None:
            return
        _signal_group(process.pid, signal.SIGTERM)
        # A frozen process takes the signal when it runs again.
        _signal_group(process.pid, signal.SIGCONT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            print(f"{self.name} did not end within {STOP_SECONDS:g} s of SIGTERM and was killed", file=sys.stderr)
        finally:
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()
            self._forget(process.pid)

    def log(self, start: int = 0) -> str:
        """What it has written, from byte `start` on."""
        if not self.log_file.exists():
            return ""
        with self.log_file.open("rb") as file:
            file.seek(start)
            return file.read().decode(errors="replace")

    def log_size(self) -> int:
        """Bytes that it has written so far."""
        return self.log_file.stat().st_size if self.log_file.exists() else 0

    def _end_of_log(self) -> str:
        return self.log()[-SHOWN_CHARACTERS:]

    def _forget(self, pid: int) -> None:
        warden.unwatch(pid)
        self._process = None
        _running.remove(self)


@contextmanager
def running(*programs: Program) -> Iterator[None]:
    """Starts the programs together and waits until all of them serve; they have ended when the block has."""
    try:
        for program in programs:
            program.folder.mkdir(parents=True, exist_ok=True)
            program.start(wait=False)
        for program in programs:
            program.wait_ready()
        yield
    finally:
        _stop_all(programs)


def running_programs() -> tuple[Program, ...]:
    """Those that have been started by this process and not been ended."""
    return tuple(_running)


def accepts(port: int) -> bool:
    """Whether something listens on the port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def group_is_gone(pid: int, seconds: float = 5.0) -> bool:
    """Whether no process of the group runs, or none does within `seconds`."""
    deadline = time.monotonic() + seconds
    while _group_runs(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _group_runs(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    # Zombies that nobody has waited for yet do not run.
    return not PROC.is_dir() or any(_living_group(stat) == pid for stat in PROC.glob("[0-9]*/stat"))


def _living_group(stat: Path) -> int | None:
    """The group of a process that runs."""
    try:
        # The name before the last bracket may hold anything.
        state, _parent, group = stat.read_text(errors="replace").rpartition(")")[2].split()[:3]
    except OSError:
        return None
    return None if state in "XZ" else int(group)


def _stop_all(programs: Sequence[Program]) -> None:
    """Stop them in reverse; what goes wrong with one (or Ctrl-C) does not keep the others alive."""
    if not programs:
        return
    try:
        programs[-1].stop()
    finally:
        _stop_all(programs[:-1])


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        # It has ended. (For a group of only zombies, macOS says that it is not permitted.)
        return
