"""What a machine has of the things that a node makes: to be compared before and after.

Builds of images and control planes without a node, which come and go beside the tests, are left out.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.cache import cache_root
from tests.testbed.images import STORAGE
from tests.testbed.netns import NAMES
from tests.testbed.node import PROGRAMS
from tests.testbed.processes import PROC
from tests.testbed.takedown import CGROUPS, OUTSIDE, mounts

NODE_FOLDERS = "/tusfleet-"
"""How the folders of nodes begin."""


@dataclass(frozen=True)
class Machine:
    """Mounts, named network namespaces, cgroups, processes that a node could have started, folders it could make."""

    mounts: frozenset[str]
    namespaces: frozenset[str]
    cgroups: frozenset[str]
    processes: frozenset[str]
    folders: frozenset[str]


def machine() -> Machine:
    """How the machine is now."""
    return Machine(
        frozenset(path for path in mounts() if not path.startswith(f"{STORAGE}/")),
        frozenset(path.name for path in NAMES.iterdir()) if NAMES.is_dir() else frozenset(),
        frozenset(folder for folder, _, _ in os.walk(CGROUPS)),
        frozenset(_processes()),
        frozenset(path for path in OUTSIDE if Path(path).exists()),
    )


def left_over(before: Machine) -> dict[str, list[str]]:
    """What the machine has now and had not then."""
    now = machine()
    found = {name: sorted(getattr(now, name) - getattr(before, name)) for name in Machine.__dataclass_fields__}
    return {name: values for name, values in found.items() if values}


def _processes() -> list[str]:
    """Programs of a node, and whatever is in other namespaces than this process."""
    programs = tuple(f"{cache_root()}/{name}-" for name in PROGRAMS)
    ours = {kind: (PROC / "self" / "ns" / kind).readlink() for kind in ("net", "mnt", "pid")}
    found = []
    for folder in PROC.glob("[0-9]*"):
        with suppress(OSError):
            command = (folder / "cmdline").read_text(errors="replace")
            is_program = str((folder / "exe").readlink()).startswith(programs) and NODE_FOLDERS in command
            if is_program or (_is_elsewhere(folder, ours) and not _builds_images(folder)):
                found.append(f"{folder.name} {command}")
    return found


def _is_elsewhere(folder: Path, ours: dict[str, Path]) -> bool:
    return any((folder / "ns" / kind).readlink() != own for kind, own in ours.items())


def _builds_images(folder: Path) -> bool:
    return str(STORAGE) in (folder / "mountinfo").read_text(errors="replace")
