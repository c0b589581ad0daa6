"""npm packages, installed from lock files that pin every version by its hash and name no download address."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

from tests.testbed.cache import cached
from tests.testbed.commands import run_client
from tests.testbed.versions import HERE, pinned_in

_NPM_SECONDS = 300
"""Longest that one npm command may take; on a slow line it needs seconds."""


def npm_packages(name: str) -> Path:
    """The `node_modules` folder with the packages of the set `name`, fetched on first use.

    Raises Unavailable when they cannot be had.
    """
    packages = pinned_in("npm")[name]

    def fill(folder: Path) -> None:
        _write_manifest(folder, packages)
        shutil.copyfile(_lock_file(name), folder / "package-lock.json")
        # `ci` takes exactly what the lock says and fails when the manifest asks for something else.
        _npm(folder, "ci", "--ignore-scripts")

    return cached(name, next(iter(packages.values())), fill) / "node_modules"


def write_lock(name: str) -> None:
    """Resolve the set `name` anew and write its lock file."""
    with tempfile.TemporaryDirectory() as folder:
        _write_manifest(Path(folder), pinned_in("npm")[name])
        _npm(Path(folder), "install", "--package-lock-only", "--ignore-scripts")
        shutil.copyfile(Path(folder) / "package-lock.json", _lock_file(name))


def node_environment(modules: Path) -> dict[str, str]:
    """The environment in which a Node program anywhere can `require` what is in `modules`."""
    return {**os.environ, "NODE_PATH": str(modules)}


def _lock_file(name: str) -> Path:
    return HERE / "locks" / f"{name}.json"


def _write_manifest(folder: Path, packages: dict[str, str]) -> None:
    manifest = {"name": "testbed", "private": True, "dependencies": packages}
    (folder / "package.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _npm(folder: Path, *arguments: str) -> None:
    options = ["--omit-lockfile-registry-resolved=true", "--no-audit", "--no-fund", "--no-update-notifier"]
    run_client("npm", *arguments, *options, seconds=_NPM_SECONDS, cwd=folder)
