"""Programs built from released Go modules."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from tests.testbed.cache import cached
from tests.testbed.commands import run_client
from tests.testbed.versions import pinned_in

_BUILD_SECONDS = 1800
"""Longest that one build may take, with all of its modules to fetch; MinIO needs 220 s of CPU, the others less."""


def go_program(name: str) -> Path:
    """The program `name` of the table [go], built on first use. Raises Unavailable when it cannot be had."""
    pin = pinned_in("go")[name]

    def fill(folder: Path) -> None:
        # The checksum database of Go verifies what `go install` builds; the module's own go.sum pins the rest.
        run_client(
            "go", "install", "-trimpath", "-ldflags=-s -w", f"{pin['package']}@{pin['version']}",
            seconds=_BUILD_SECONDS,
            env={"GOBIN": str(folder), "CGO_ENABLED": "0"},
        )  # fmt: skip

    # Go names a program after the last word of its package.
    return cached(name, pin["version"], fill) / PurePosixPath(pin["package"]).name
