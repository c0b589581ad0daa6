"""Every foreign program that is built from source, by name."""

from __future__ import annotations

from pathlib import Path

from tests.testbed.go_modules import MODULE_PROGRAMS, module_program
from tests.testbed.golang import go_program


def built_program(name: str) -> Path:
    """The program of the tables [go] and [go-module.*] of versions.toml, built on first use.

    Raises Unavailable when it cannot be had.
    """
    return module_program(name) if name in MODULE_PROGRAMS else go_program(name)
