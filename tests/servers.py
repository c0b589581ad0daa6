"""Real `tusfleet serve` processes for tests: on a free port, killed and restarted at will, ended for certain."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

START_SECONDS = 60.0
"""A start takes half a second; on a machine that is busy with other tests, more."""

STOP_SECONDS = 40.0
"""Longer than the grace that a server has by default."""


LANE = os.environ.get("TUSFLEET_TEST_LANE", "")
"""Which bodies take the lane (`gateway/http_lane.py`): `on` all that can, however small, `off` none, `random` as it
comes; without it those that take it by default."""

LANE_SIZES = {"": {}, "on": {"TUSFLEET_LANE_MIN_SIZE": "1"}, "off": {"TUSFLEET_LANE_MIN_SIZE": "none"}}
LANE_SIZES["random"] = LANE_SIZES["on"]

PROGRAM = "from tusfleet.cli.main import main; main()"
"""The program `tusfleet`."""

BY_CHANCE = """
import random
from tusfleet.gateway.http_protocol import TusfleetHttpProtocol as Edge
as_set = Edge._lane
Edge._lane = lambda edge, length: random.choice((None, as_set(edge, length)))
"""
"""Leaves the way of each body to chance."""


class Process(Protocol):
    """A process that has been started; `subprocess.Popen` is one."""

    pid: int

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int, /) -> None: ...


class Server:
    """One server process and its data folder; it may die and come back on the same port.

    Parameters:
        folder: where data and log go.
        flags: of `tusfleet serve`, beside those for address, data and log format.
        environment: variables besides those of this process.
    """

    command = "serve"
    """What of `tusfleet` it runs."""

    announcement = "listening on "
    """How the log line begins that tells its address."""

    program = PROGRAM
    """The Python text that is `tusfleet`."""

    patience = 30.0
    """Seconds without a byte before a client gives up on it."""

    def __init__(self, folder: Path, *flags: str, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log_file = folder / "server.log"
        self.flags = flags
        self.environment = {**os.environ, **LANE_SIZES[LANE], **(environment or {})}
        self.port = 0
        self.path = "/files"
        self._process: Process | None = None
        self._log_start = 0

    @property
    def process(self) -> Process:
        """The running process."""
        assert self._process is not None, "the server is not running"
        return self._process

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The creation URL."""
        return f"{self.origin}{self.path}"

    def start(self, *, wait: bool = True) -> None:
        """Start it, on the port it had before if it had one; unless told otherwise, wait until it listens."""
        arguments = [self.command, "--port", str(self.port), "--data-dir", str(self.data), "--log-format", "json"]
        self._log_start = self.log_file.stat().st_size if self.log_file.exists() else 0
        self._process = self.launch([*arguments, *self.flags])
        if not wait:
            return
        address = self._wait_for_address()
        host, _, path = address.removeprefix("http://").partition("/")
        self.port, self.path = int(host.rpartition(":")[2]), "/" + path

    def launch(self, arguments: list[str]) -> Process:
        """Make a process of `tusfleet` with these arguments, in a session of its own, that writes to the log file."""
        with self.log_file.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", BY_CHANCE + self.program if LANE == "random" else self.program, *arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _wait_for_address(self) -> str:
        def listening() -> str | None:
            for line in self.lines():
                if str(line.get("message", "")).startswith(self.announcement):
                    return str(line["message"]).removeprefix(self.announcement)
            if (status := self.process.poll()) is not None:
                raise AssertionError(f"the server ended with {status}:\n{self.log()}")
            return None

        return eventually(listening, START_SECONDS)

    @property
    def origins(self) -> list[str]:
        """Of every process that answers, each of which counts for itself."""
        return [self.origin]

    @property
    def files(self) -> Path | None:
        """The folder of the bytes; None when they lie elsewhere."""
        return self.data

    def stored(self, name: str) -> list[str]:
        """What lies in the store under a name that has `name` in it."""
        assert self.files is not None
        return [str(found) for found in self.files.rglob("*") if name in found.name]

    def log(self) -> str:
        """What it has written since its last start."""
        with self.log_file.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode(errors="replace")

    def lines(self) -> list[dict[str, Any]]:
        """Its log lines since its last start; text that is not a JSON object stands under `text`."""
        return [_parsed(line) for line in self.log().splitlines() if line]

    def kill(self) -> None:
        """Kill it as a power cut would (SIGKILL)."""
        self._signal_group(signal.SIGKILL)
        self.process.wait()
        self._process = None

    def restart(self) -> None:
        """Kill it and start it again on the same port and data."""
        self.kill()
        self.start()

    def terminate(self) -> int:
        """Ask it to end (SIGTERM) and give its exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(STOP_SECONDS)
        self._process = None
        return status

    def stop(self) -> None:
        """End it, gently first."""
        if self._process is None:
            return
        try:
            self.terminate()
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the server did not end within {STOP_SECONDS:g} s of SIGTERM") from None

    def _signal_group(self, number: int) -> None:
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            # It has ended, or has not come so far as to have a group of its own.
            if self.process.poll() is None:
                self.process.send_signal(number)


@contextmanager
def serving(
    folder: Path, *flags: str, environment: Mapping[str, str] | None = None, kind: type[Server] = Server
) -> Iterator[Server]:
    """A running server; its log is printed when the test fails."""
    folder.mkdir(parents=True, exist_ok=True)
    server = kind(folder, *flags, environment=environment)
    try:
        server.start()
        yield server
    except BaseException:
        print(f"--- log of the server ---\n{server.log()[-20_000:]}", file=sys.stderr)
        if server._process is not None:
            server.kill()
        raise
    server.stop()


def eventually(condition: Callable[[], T | None], seconds: float = 10.0, pause: float = 0.02) -> T:
    """What `condition` gives as soon as it is true; an AssertionError when it is not within `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        if value := condition():
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"this did not come true within {seconds:g} s: {condition}")
        time.sleep(pause)  # between two looks, up to the deadline


def _parsed(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        return {"text": line}
    return value if isinstance(value, dict) else {"text": line}
