"""Programs built from released crates."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.testbed.cache import cached
from tests.testbed.commands import run_client
from tests.testbed.versions import pinned_in

_BUILD_SECONDS = 1800
"""Longest that one build may take; rustus needs three to six minutes on two cores."""


def cargo_program(name: str) -> Path:
    """The program `name` of the table [cargo], built on first use. Raises Unavailable when it cannot be had."""
    pin = pinned_in("cargo")[name]

    def fill(folder: Path) -> None:
        target = folder / "target"
        run_client(
            "cargo", "install", name, "--version", pin["version"], "--features", ",".join(pin["features"]),
            # `--locked` takes the versions and hashes that the crate was released with.
            "--locked", "--root", str(folder), "--target-dir", str(target),
            seconds=_BUILD_SECONDS,
        )  # fmt: skip
        shutil.rmtree(target)

    return cached(name, pin["version"], fill) / "bin" / name
