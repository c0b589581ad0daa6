"""Programs built from released Go modules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from tests.testbed.cache import cache_root, cached, locked
from tests.testbed.commands import run_client
from tests.testbed.versions import pinned_in

BUILD_SECONDS = 1800
"""Longest that one build may take, with all of its modules to fetch; MinIO needs 220 s of CPU, the others less."""

SMALL = "-s -w"
"""Flags of the linker: without tables for debuggers, a program has two thirds of the size."""


def go_program(name: str) -> Path:
    """The program `name` of the table [go], built on first use. Raises Unavailable when it cannot be had.

    Those that come `beside` it, from the same module, are in the same folder.
    """
    pin = pinned_in("go")[name]
    packages = [pin["package"], *pin.get("beside", [])]
    flags = " ".join([SMALL, *(f"-X {stamp}" for stamp in pin.get("stamps", []))])

    def fill(folder: Path) -> None:
        # The checksum database of Go verifies what `go install` builds; the module's own go.sum pins the rest.
        with build_turn():
            run_client(
                "go", "install", "-trimpath", f"-ldflags={flags}", *(f"{one}@{pin['version']}" for one in packages),
                seconds=BUILD_SECONDS,
                env={"GOBIN": str(folder), "CGO_ENABLED": "0"},
            )  # fmt: skip

    # Go names a program after the last word of its package.
    return cached(name, pin["version"], fill) / PurePosixPath(pin["package"]).name


@contextmanager
def build_turn() -> Iterator[None]:
    """One build at a time: each of them takes every core, and tests may run beside it."""
    with locked(cache_root() / "go-build.lock"):
        yield
