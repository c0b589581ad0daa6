"""The load generator in C: compiled on first use, one process and one line of JSON per measurement."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.testbed.cache import cached
from tests.testbed.commands import run_client

_SOURCES = Path(__file__).parent / "load"
_COMPILE_SECONDS = 120
_LONGEST_SECONDS = 600
"""No single measurement takes longer; the generator itself gives up after 120 s of silence."""


class LoadFailed(RuntimeError):
    """The load generator met a reply that it did not expect; the message is its own."""


class Load:
    """Runs the generator against 127.0.0.1."""

    def __init__(self) -> None:
        self._program = _compiled()

    def run(self, mode: str, **values: int | str) -> dict[str, Any]:
        """One measurement. Raises LoadFailed."""
        done = subprocess.run(
            self._command(mode, values), capture_output=True, text=True, check=False, timeout=_LONGEST_SECONDS
        )
        if done.returncode != 0:
            raise LoadFailed(f"load {mode}: {done.stderr.strip() or done.returncode}")
        return _parsed(done.stdout)

    @contextmanager
    def holding(self, mode: str, **values: int | str) -> Iterator[dict[str, Any]]:
        """A measurement that stands until the block ends. Raises LoadFailed."""
        with self._started(mode, values) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            try:
                line = process.stdout.readline()
                if not line:
                    raise LoadFailed(f"load {mode}: {process.stderr.read().strip()}")
                yield _parsed(line)
            finally:
                process.communicate(timeout=_LONGEST_SECONDS)

    @contextmanager
    def during(self, mode: str, **values: int | str) -> Iterator[dict[str, Any]]:
        """A measurement that goes on until the block ends; then what it saw is in the result. Raises LoadFailed."""
        seen: dict[str, Any] = {}
        with self._started(mode, values) as process:
            try:
                yield seen
            finally:
                said, complaint = process.communicate(timeout=_LONGEST_SECONDS)
        if process.returncode != 0:
            raise LoadFailed(f"load {mode}: {complaint.strip() or process.returncode}")
        seen.update(_parsed(said))

    def _started(self, mode: str, values: dict[str, int | str]) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(self._command(mode, values), stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def _command(self, mode: str, values: dict[str, int | str]) -> list[str]:
        return [str(self._program), mode, *(f"{name}={value}" for name, value in values.items())]


def _parsed(line: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(line)
    return result


def _compiled() -> Path:
    sources = sorted(_SOURCES.glob("*.[ch]"))
    version = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]

    def fill(folder: Path) -> None:
        files = [str(path) for path in sources if path.suffix == ".c"]
        run_client("gcc", "-O2", "-Wall", "-Wextra", "-o", str(folder / "load"), *files, seconds=_COMPILE_SECONDS)

    return cached("bench-load", version, fill) / "load"
