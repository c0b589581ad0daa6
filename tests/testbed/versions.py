"""Reads versions.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def pinned_in(table: str) -> dict[str, Any]:
    """One table of versions.toml."""
    with (HERE / "versions.toml").open("rb") as file:
        found: dict[str, Any] = tomllib.load(file)[table]
    return found
