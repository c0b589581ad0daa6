"""npm packages, installed from lock files that pin every version by its hash and name no download address."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import tomllib
from pathlib import Path

from tests.testbed.cache import cached

_HERE = Path(__file__).parent
_NPM_SECONDS = 300
"""Longest that one npm command may take; on a slow line it needs seconds."""


def pinned() -> dict[str, dict[str, str]]:
    """The sets of packages in versions.toml: set -> package -> version."""
    with (_HERE / "versions.toml").open("rb") as file:
        npm: dict[str, dict[str, str]] = tomllib.load(file)["npm"]
    return npm


def npm_packages(name: str) -> Path:
    """The `node_modules` folder with the packages of the set `name`, fetched on first use."""
    packages = pinned()[name]

    def fill(folder: Path) -> None:
        _write_manifest(folder, packages)
        shutil.copyfile(_lock_file(name), folder / "package-lock.json")
        # `ci` takes exactly what the lock says and fails when the manifest asks for something else.
        _npm(folder, "ci", "--ignore-scripts")

    return cached(name, next(iter(packages.values())), fill) / "node_modules"


def write_lock(name: str) -> None:
    """Resolve the set `name` anew and write its lock file."""
    with tempfile.TemporaryDirectory() as folder:
        _write_manifest(Path(folder), pinned()[name])
        _npm(Path(folder), "install", "--package-lock-only", "--ignore-scripts")
        shutil.copyfile(Path(folder) / "package-lock.json", _lock_file(name))


def node_environment(modules: Path) -> dict[str, str]:
    """The environment in which a Node program anywhere can `require` what is in `modules`."""
    return {**os.environ, "NODE_PATH": str(modules)}


def _lock_file(name: str) -> Path:
    return _HERE / "locks" / f"{name}.json"


def _write_manifest(folder: Path, packages: dict[str, str]) -> None:
    manifest = {"name": "testbed", "private": True, "dependencies": packages}
    (folder / "package.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _npm(folder: Path, *arguments: str) -> None:
    options = ["--omit-lockfile-registry-resolved=true", "--no-audit", "--no-fund", "--no-update-notifier"]
    done = subprocess.run(
        ["npm", *arguments, *options],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=_NPM_SECONDS,
    )
    if done.returncode != 0:
        raise RuntimeError(f"npm {arguments[0]} failed with {done.returncode}:\n{done.stdout}")
