"""Takes down what a node leaves when its servers have ended: shims, containers, mounts, a namespace, cgroups.

`python -m tests.testbed.takedown FOLDER` does it for a node whose owner died; everything needed is in the folder. Each
process is looked at before it gets a signal, and only what is of this folder is touched.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.testbed.cache import cache_root
from tests.testbed.netns import NAMES, remove_namespace
from tests.testbed.processes import PROC

CGROUPS = Path("/sys/fs/cgroup")

PODS = "kubepods"
"""The cgroup in which a kubelet keeps all of its pods."""

OUTSIDE = (
    "/run/containerd",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
    "/usr/libexec/kubernetes",
)
"""What containerd, CNI and a kubelet make outside of every folder that they can be told."""

GONE_SECONDS = 20.0
"""Longest wait for what was killed to be gone: the kernel frees memory, mounts and cgroups of containers by and by."""

_MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Will:
    """What has to be taken down, written into the folder before any of it is there.

    Parameters:
        folder: of the node.
        namespace: its network namespace.
        outside: what was not there before it.
        names_mounted: whether namespaces had a place already.
    """

    folder: str
    namespace: str
    outside: tuple[str, ...]
    names_mounted: bool

    @property
    def socket(self) -> str:
        """Of containerd; shims carry it in their command line."""
        return f"{self.folder}/containerd.sock"


def write_will(folder: Path, namespace: str) -> Will:
    """Note what is not there yet."""
    outside = tuple(path for path in OUTSIDE if not Path(path).exists())
    will = Will(str(folder), namespace, outside, str(NAMES) in mounts())
    (folder / "will.json").write_text(json.dumps(asdict(will)), encoding="utf-8")
    return will


def take_down(will: Will) -> None:
    """Remove all of it; what is gone already is no error. An AssertionError tells what could not be removed."""
    # A shim that dies first leaves its containers to nobody.
    _until_gone(lambda: _kill(_containers(will.folder)), "containers")
    _until_gone(lambda: _kill(_shims(will.socket)), "shims")
    _until_gone(lambda: _kill(_servers(will.folder)), "servers")
    unmount_below(will.folder)
    remove_namespace(will.namespace)
    if not will.names_mounted and str(NAMES) in mounts() and not any(NAMES.iterdir()):
        _detach(str(NAMES))
        NAMES.rmdir()
    _until_gone(_remove_cgroups, "cgroups")
    for path in will.outside:
        shutil.rmtree(path, ignore_errors=True)


def unmount_below(folder: str) -> None:
    """Unmount everything below the folder, the last first. An AssertionError tells what could not be."""
    _until_gone(lambda: _unmount(folder), "mounts")


def mounts() -> list[str]:
    """Where something is mounted, in the order in which it was."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    # Blanks in a path are written as octal numbers.
    return [line.split()[4].encode().decode("unicode_escape") for line in lines]


def pod_cgroups() -> list[Path]:
    """Every cgroup of pods, the innermost first."""
    found = [Path(folder) for folder, _, _ in os.walk(CGROUPS, topdown=False)]
    return [folder for folder in found if PODS in folder.parts]


def _until_gone(remove: Callable[[], list[object]], what: str) -> None:
    """Try to remove it until nothing is left to try."""
    deadline = time.monotonic() + GONE_SECONDS
    while left := remove():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} that could not be removed: {left}")
        time.sleep(0.05)


def _processes() -> Iterator[tuple[int, str]]:
    """Every process with its command line, whose words stand between blanks."""
    for folder in PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield int(folder.name), (folder / "cmdline").read_text(errors="replace").replace("\0", " ")


def _servers(folder: str) -> list[int]:
    """Programs of the cache that were told to work in the folder."""
    return [pid for pid, line in _processes() if f"{folder}/" in line and _is_of_the_cache(pid)]


def _is_of_the_cache(pid: int) -> bool:
    try:
        return (PROC / str(pid) / "exe").readlink().is_relative_to(cache_root())
    except OSError:
        return False


def _containers(folder: str) -> list[int]:
    """What runs on a root that containerd keeps in the folder, in mounts of its own."""
    ours = (PROC / "self" / "ns" / "mnt").readlink()
    return [pid for pid, _ in _processes() if _is_elsewhere(pid, ours) and f"{folder}/" in _mountinfo(pid)]


def _is_elsewhere(pid: int, ours: Path) -> bool:
    try:
        return (PROC / str(pid) / "ns" / "mnt").readlink() != ours
    except OSError:
        return False


def _mountinfo(pid: int) -> str:
    try:
        return (PROC / str(pid) / "mountinfo").read_text(errors="replace")
    except OSError:
        return ""


def _shims(socket: str) -> list[int]:
    """The parents of containers of this containerd."""
    return [pid for pid, line in _processes() if "containerd-shim-" in line and f"-address {socket} " in line + " "]


def _kill(pids: list[int]) -> list[object]:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return list(pids)


def _unmount(folder: str) -> list[object]:
    ours = [path for path in mounts() if path.startswith(f"{folder}/")]
    for path in reversed(ours):
        _detach(path)
    return [path for path in mounts() if path.startswith(f"{folder}/")]


def _detach(path: str) -> None:
    _libc.umount2(path.encode(), _MNT_DETACH)


def _remove_cgroups() -> list[object]:
    for folder in pod_cgroups():
        # It is busy while the kernel still clears away its last process.
        with contextlib.suppress(OSError):
            folder.rmdir()
    return list(pod_cgroups())


def main() -> None:
    folder = Path(sys.argv[1])
    try:
        text = (folder / "will.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        # Somebody else, who saw the owner dead as well, was faster.
        return
    take_down(Will(**json.loads(text)))
    shutil.rmtree(folder, ignore_errors=True)


def last_command(folder: Path) -> list[str]:
    """What takes a node down whose owner has died."""
    return [sys.executable, "-m", "tests.testbed.takedown", str(folder)]


if __name__ == "__main__":
    main()
