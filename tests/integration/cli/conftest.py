"""The program as its users run it: a process of its own, with a state folder of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx
import pytest

from tests.servers import Server, serving

RUN_SECONDS = 90.0

# Offsets become visible soon, so that a test can tell when an upload is in its middle.
EAGER = ("--checkpoint-interval", "50ms")


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def url(self) -> str:
        """The one URL on standard output."""
        assert self.code == 0, self.err
        (line,) = self.out.splitlines()
        return line


class Client:
    """Runs `tusfleet` in `folder`, against the upload collection at `url`."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.states = folder / "state" / "tusfleet"
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("TUSFLEET_") and not name.lower().endswith("_proxy")
        }
        self._environment = {**kept, "XDG_STATE_HOME": str(folder / "state"), "TUSFLEET_URL": url, "COLUMNS": "120"}

    def run(
        self,
        *arguments: str,
        input: bytes = b"",
        environment: Mapping[str, str] | None = None,
        stdout: IO[bytes] | int = subprocess.PIPE,
    ) -> Result:
        """Run a command to its end."""
        ended = subprocess.run(
            self._command(arguments),
            input=input,
            stdout=stdout,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env={**self._environment, **(environment or {})},
            timeout=RUN_SECONDS,
            check=False,
        )
        return _result(ended.returncode, ended.stdout or b"", ended.stderr)

    @contextmanager
    def running(self, *arguments: str, stdin: IO[bytes] | int = subprocess.DEVNULL) -> Iterator[Running]:
        """A command that is running; it is killed at the end if it still does."""
        process = subprocess.Popen(
            self._command(arguments),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env=self._environment,
            start_new_session=True,
        )
        try:
            yield Running(process)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=RUN_SECONDS)

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "tusfleet.cli.main", *arguments]


class Running:
    """A command that is running."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def result(self) -> Result:
        """Wait for its end; it goes on if it was frozen."""
        self.signal(signal.SIGCONT)
        out, err = self._process.communicate(timeout=RUN_SECONDS)
        return _result(self._process.returncode, out, err)


def _result(code: int, out: bytes, err: bytes) -> Result:
    result = Result(code, out.decode(), err.decode())
    assert "Traceback" not in result.err, result.err
    return result


def received(server: Server) -> int:
    """Upload bytes that became durable since the server's last start."""
    text = httpx.get(f"{server.origin}/metrics", trust_env=False).text
    match = re.search(r"^tusfleet_bytes_received_total (\S+)$", text, re.MULTILINE)
    assert match is not None, text
    return int(float(match[1]))


def fetched(url: str) -> bytes:
    """The bytes of a finished upload."""
    response = httpx.get(url, trust_env=False)
    assert response.status_code == 200, response.text
    return response.content


def make_file(folder: Path, name: str, size: int) -> bytes:
    """Write a file of random bytes."""
    content = os.urandom(size)
    (folder / name).write_bytes(content)
    return content


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for the tests that do not harm it."""
    with serving(tmp_path_factory.mktemp("server"), *EAGER) as running:
        yield running


@pytest.fixture
def client(server: Server, tmp_path: Path) -> Client:
    """The program, set up for `server`."""
    return Client(tmp_path, server.url + "/")


@pytest.fixture
def client_of(tmp_path: Path) -> Callable[[str], Client]:
    """The program, set up for the collection at some URL."""
    return lambda url: Client(tmp_path, url)
