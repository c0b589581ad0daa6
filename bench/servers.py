"""Servers under measurement: started on a free port in a folder of their own, ended for certain."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

_START_SECONDS = 20.0
"""A server that does not listen by then is not measured."""

_END_SECONDS = 15.0
"""How long a server may take to end by itself."""

_LARGE_BYTES = 2**20
"""Files from this size on would fill the disk if they stayed until the end."""

_SAID_CHARACTERS = 1500
"""How much of a server's complaints is shown."""


class Kind(StrEnum):
    """What a server is to us."""

    OURS = "ours"
    PEER = "peer"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True)
class Server:
    """One server in one configuration."""

    name: str
    version: str
    kind: Kind
    command: tuple[str, ...]
    """Its command line; `{port}` stands for a port of 127.0.0.1 and `{folder}` for a folder for its data."""
    path: str = "/files"
    """The path that uploads are created at."""
    environment: Mapping[str, str] = field(default_factory=dict)
    downloads: bool = True
    """Whether it sends uploads back."""
    several: bool = False
    """Whether it is several processes of one server: of interest where more than a connection or two are busy."""
    note: str = ""
    """What a reader must know about the configuration."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that listens."""

    server: Server
    port: int
    pid: int
    folder: Path


class ServerFailed(RuntimeError):
    """A server did not start or died; the message has the end of what it said."""


@contextmanager
def running(server: Server, disk: Path, on_death: Callable[[str], None]) -> Iterator[Running]:
    """`server` with an empty folder below `disk`; afterwards it is ended and its large files are gone.

    The small files stay for the caller to remove when all is measured: for minutes after a deletion, ext4 walks
    over every deleted inode to find one for a new file (`recently_deleted` in its ialloc.c), which makes the
    creations of whoever is measured next ten times as dear.

    `on_death` is told when the server died though the block went well. Raises ServerFailed, with what the
    server said, when it does not start or when the block fails.
    """
    folder = Path(tempfile.mkdtemp(dir=disk))
    log = folder / "log"
    data = folder / "data"
    data.mkdir()
    port = free_port()
    try:
        with log.open("wb") as complaints:
            process = subprocess.Popen(
                [word.replace("{port}", str(port)).replace("{folder}", str(data)) for word in server.command],
                env={**os.environ, **server.environment},
                stdin=subprocess.DEVNULL,
                # tusd writes seven lines per upload there; what anybody has to complain about goes to stderr.
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                start_new_session=True,
            )
        try:
            wait_until_listening(process, port)
            yield Running(server, port, process.pid, data)
            if process.poll() is not None:
                on_death(f"died afterwards with {process.returncode}\n{_end_of(log)}")
        except (RuntimeError, OSError, LookupError) as failure:
            raise ServerFailed(f"{failure}\n{_end_of(log)}".strip()) from failure
        finally:
            end(process)
    finally:
        _remove_large_files(folder)


def _remove_large_files(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_size >= _LARGE_BYTES:
            path.unlink()


def _end_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace").strip()[-_SAID_CHARACTERS:]


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_until_listening(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until `process` takes connections on `port` of 127.0.0.1. Raises ServerFailed."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServerFailed(f"ended with {process.returncode} before it listened")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)  # between two tries, up to the deadline
    raise ServerFailed(f"did not listen within {_START_SECONDS:.0f} s")


def end(process: subprocess.Popen[bytes]) -> None:
    """End `process`, the leader of a group of its own, and everything in that group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)
    # Whatever is left of its group, whether or not the leader has ended.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
