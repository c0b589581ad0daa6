"""Programs and files of Go modules that `go install` refuses, because they replace modules that they require.

A small module of ours requires such a module instead. Its go.mod and go.sum, which pin everything that is built, are
kept in locks/<module>/.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.testbed.cache import cached
from tests.testbed.commands import run_client
from tests.testbed.golang import BUILD_SECONDS, SMALL, build_turn
from tests.testbed.versions import HERE, pinned_in

_FETCH_SECONDS = 600
"""Longest that fetching modules may take; those of Kubernetes are half a gigabyte."""

_UNPUBLISHED = "v0.0.0"
"""The version by which Kubernetes requires its parts, which it replaces by folders of its repository."""

MODULE_PROGRAMS = {name: module for module, pin in pinned_in("go-module").items() for name in pin["programs"]}
"""Every program of the tables [go-module.*], and its module."""


def module_program(name: str) -> Path:
    """The program `name` of a table [go-module.*], built on first use. Raises Unavailable when it cannot be had."""
    module = MODULE_PROGRAMS[name]
    pin = pinned_in("go-module")[module]

    def fill(folder: Path) -> None:
        with build_turn(), tempfile.TemporaryDirectory() as sources:
            for file in _lock_folder(module).iterdir():
                shutil.copyfile(file, Path(sources) / file.name)
            run_client(
                "go", "build", "-trimpath", f"-ldflags={SMALL} {_stamps(pin)}",
                f"-tags={','.join(pin.get('tags', ()))}",
                "-o", str(folder / name), pin["programs"][name],
                seconds=BUILD_SECONDS,
                cwd=Path(sources),
                env={"CGO_ENABLED": "0"},
            )  # fmt: skip

    return cached(name, pin["version"], fill) / name


def module_files(name: str) -> list[Path]:
    """The files of the table [go-files.NAME], in its order, fetched on first use. Raises Unavailable."""
    pin = pinned_in("go-files")[name]

    def fill(folder: Path) -> None:
        sources = Path(_download(f"{pin['module']}@{pin['version']}")["Dir"])
        for file in pin["files"]:
            # Go keeps its modules read-only; the copy is an ordinary file.
            shutil.copyfile(sources / file, folder / Path(file).name)

    folder = cached(name, pin["version"], fill)
    return [folder / Path(file).name for file in pin["files"]]


def write_lock(module: str) -> None:
    """Resolve the table [go-module.MODULE] anew and write its go.mod and go.sum."""
    pin = pinned_in("go-module")[module]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "go.mod").write_text(_wrapper(module, pin), encoding="utf-8")
        run_client("go", "mod", "tidy", seconds=_FETCH_SECONDS, cwd=Path(folder))
        _lock_folder(module).mkdir(exist_ok=True)
        for file in ("go.mod", "go.sum"):
            shutil.copyfile(Path(folder) / file, _lock_folder(module) / file)


def _wrapper(module: str, pin: Mapping[str, Any]) -> str:
    """A go.mod that requires the module, with the released versions of what the module has in its own folders."""
    described = json.loads(run_client("go", "mod", "edit", "-json", _download(_released(pin))["GoMod"], seconds=30))
    own = {one["Path"] for one in described["Require"] or [] if one["Version"] == _UNPUBLISHED}
    own |= {one["Old"]["Path"] for one in described["Replace"] or [] if "Version" not in one["New"]}
    lines = [f"module testbed/{module}", f"go {described['Go']}", f"require {pin['module']} {pin['version']}"]
    if parts := pin.get("parts"):
        lines += [f"replace {path} => {path} {parts}" for path in sorted(own)]
    lines += [f"tool {package}" for package in pin["programs"].values()]
    return "\n".join([*lines, ""])


def _released(pin: Mapping[str, Any]) -> str:
    return f"{pin['module']}@{pin['version']}"


def _download(module: str) -> dict[str, str]:
    """Fetch a module; gives where it lies."""
    found: dict[str, str] = json.loads(run_client("go", "mod", "download", "-json", module, seconds=_FETCH_SECONDS))
    return found


def _stamps(pin: Mapping[str, Any]) -> str:
    """Flags of the linker that tell the program its version, which is else only known to the makers' own scripts."""
    if "stamp" not in pin:
        return ""
    major, minor, _ = pin["version"].removeprefix("v").split(".")
    stamps = {"gitVersion": pin["version"], "gitMajor": major, "gitMinor": minor}
    return " ".join(f"-X {pin['stamp']}.{name}={value}" for name, value in stamps.items())


def _lock_folder(module: str) -> Path:
    return HERE / "locks" / module
