"""Python programs in virtual environments of their own, from requirements pinned by hash."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from tests.testbed.cache import cached
from tests.testbed.commands import Unavailable, run_client
from tests.testbed.versions import HERE, pinned_in

_SECONDS = 600
"""Longest that one command of uv may take; on a slow line it needs a minute."""

_PYTHON = "3.11"
"""The oldest Python that the pins must work on."""


def python_environment(name: str) -> Path:
    """The interpreter of the environment `name` of the table [python], made on first use.

    Raises Unavailable when it cannot be had.
    """
    packages = pinned_in("python")[name]

    def fill(folder: Path) -> None:
        uv = _uv()
        run_client(
            uv,
            "venv",
            "--quiet",
            "--relocatable",
            "--python",
            f">={_PYTHON}",
            str(folder),
            "--allow-existing",
            seconds=_SECONDS,
        )
        run_client(
            uv, "pip", "install", "--quiet", "--require-hashes", "-r", str(_lock_file(name)),
            seconds=_SECONDS,
            env={"VIRTUAL_ENV": str(folder)},
        )  # fmt: skip

    return cached(name, next(iter(packages.values())), fill) / "bin" / "python"


def write_lock(name: str) -> None:
    """Resolve the environment `name` anew and write its lock file."""
    wanted = "".join(f"{package}=={version}\n" for package, version in pinned_in("python")[name].items())
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "requirements.in"
        requirements.write_text(wanted, encoding="utf-8")
        run_client(
            _uv(), "pip", "compile", "--quiet", "--universal", "--python-version", _PYTHON, "--generate-hashes",
            "--no-emit-index-url", "--no-header", "--no-annotate", requirements.name,
            "--output-file", str(_lock_file(name)),
            seconds=_SECONDS,
            cwd=Path(folder),
        )  # fmt: skip


def _lock_file(name: str) -> Path:
    return HERE / "locks" / f"{name}.txt"


def _uv() -> str:
    done = subprocess.run(
        [HERE.parents[1] / "scripts" / "uv.sh"], capture_output=True, text=True, check=False, timeout=_SECONDS
    )
    if done.returncode != 0:
        raise Unavailable(f"uv cannot be had: {done.stderr.strip()}")
    return done.stdout.strip()
