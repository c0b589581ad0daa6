"""The processes of a fleet as containers of the image that services/Dockerfile makes, run by runc as a pod runs them.

Its user, entry point and variables, a root that is read-only and no capability; but the network of the test, so that
servers on 127.0.0.1 are reached. Only root can do it, where runc and buildah are installed.
"""

from __future__ import annotations

import functools
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers import START_SECONDS, Process, Server, eventually
from tests.testbed.commands import Unavailable, run_client
from tests.testbed.gateways import Gateway, Janitor, Kinds
from tests.testbed.oci_archives import read_archive
from tests.testbed.our_images import our_image

_UNPACK_SECONDS = 120.0

_REMOVED = ".wh."
"""How a layer names what it removes of those below it."""

_SAFE = ("nosuid", "nodev")


@dataclass(frozen=True)
class Unpacked:
    """An image as runc takes it.

    Parameters:
        config: how it is run.
        tree: its files, which nobody changes.
        state: where runc keeps what it knows of containers.
    """

    config: dict[str, Any]
    tree: Path
    state: Path

    @property
    def user(self) -> tuple[int, int]:
        """User and group, by number."""
        user, _, group = self.config["User"].partition(":")
        return int(user), int(group)


@functools.cache
def services_image() -> Unpacked:
    """The image of the services, built and unpacked once per test process. Raises Unavailable."""
    if shutil.which("runc") is None:
        raise Unavailable("runc is not on PATH (Debian: apt-get install runc)")
    image = read_archive(our_image("tusfleet").archive)
    # Removed when this process ends.
    folder = Path(_folder().name)
    tree = folder / "tree"
    tree.mkdir()
    for layer in image.layers:
        _add_layer(layer, tree)
    return Unpacked(image.config, tree, folder / "state")


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="tusfleet-image-")


def _add_layer(layer: bytes, tree: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(layer)) as files:
        assert not [name for name in files.getnames() if Path(name).name.startswith(_REMOVED)], (
            "a layer removes files of those below it, which this test bed cannot unpack"
        )
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        file.write(layer)
        file.flush()
        run_client("tar", "-C", str(tree), "--numeric-owner", "-xpf", file.name, seconds=_UNPACK_SECONDS)


class ContainerProcess:
    """The first process of a container, as if it were a child of this one.

    Parameters:
        runner: `runc run`, which ends when it does, with its status.
        pid: of the process, as this machine counts.
    """

    def __init__(self, runner: subprocess.Popen[bytes], pid: int) -> None:
        self.pid = pid
        self._runner = runner

    def poll(self) -> int | None:
        return self._runner.poll()

    def wait(self, timeout: float | None = None) -> int:
        return self._runner.wait(timeout)

    def send_signal(self, sig: int, /) -> None:
        os.kill(self.pid, sig)


class Contained(Server):
    """One process of a fleet in a container; what it writes goes into the folder of its fleet.

    It sees nothing else of this machine but the files that its flags name, which everybody has to be allowed to read.
    """

    def __init__(self, folder: Path, *flags: str, environment: Mapping[str, str] | None = None) -> None:
        super().__init__(folder, *flags, environment=environment)
        self._given = dict(environment or {})

    def launch(self, arguments: list[str]) -> Process:
        image = services_image()
        bundle = self.folder / "bundle"
        bundle.mkdir(exist_ok=True)
        pid_file = bundle / "pid"
        pid_file.unlink(missing_ok=True)
        fleet = self.folder.parent
        for folder in (fleet, self.folder):
            # As Kubernetes gives a volume to the group of a pod.
            os.chown(folder, *image.user)
        (bundle / "config.json").write_text(
            json.dumps(_specification(image, arguments, self._given, _mounts(fleet, arguments)))
        )
        with self.log_file.open("ab") as log:
            runner = subprocess.Popen(
                ["runc", "--root", str(image.state), "run", "--bundle", str(bundle), "--pid-file", str(pid_file),
                 f"tusfleet-{uuid.uuid4().hex[:12]}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )  # fmt: skip
        # It is written under another name and renamed: when it is there, it is whole.
        eventually(lambda: pid_file.exists() or runner.poll() is not None, START_SECONDS)
        assert pid_file.exists(), f"runc ended with {runner.returncode}:\n{self.log()}"
        return ContainerProcess(runner, int(pid_file.read_text()))


class ContainedGateway(Contained, Gateway):
    """One gateway in a container."""


class ContainedJanitor(Contained, Janitor):
    """One janitor in a container."""


CONTAINED = Kinds(ContainedGateway, ContainedJanitor)


def _specification(
    image: Unpacked, arguments: list[str], environment: Mapping[str, str], mounts: list[dict[str, Any]]
) -> dict[str, Any]:
    """What runc runs."""
    user, group = image.user
    none: dict[str, list[str]] = {kind: [] for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")}
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": user, "gid": group},
            "args": [*image.config["Entrypoint"], *arguments],
            "env": [*image.config["Env"], *(f"{name}={value}" for name, value in environment.items())],
            "cwd": image.config.get("WorkingDir") or "/",
            "capabilities": none,
            "noNewPrivileges": True,
        },
        "root": {"path": str(image.tree), "readonly": True},
        "mounts": mounts,
        # None for the network: it is that of the test.
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc")]},
    }


def _mounts(folder: Path, arguments: list[str]) -> list[dict[str, Any]]:
    """A pod's; `folder`, which the process may write to; and files that its flags name, as a Secret is mounted.

    What is of this machine has its place below folders in memory, so that none is made in the image.
    """
    named = [Path(argument) for argument in arguments if argument.startswith("/") and Path(argument).is_file()]
    outside = {f"/{path.parts[1]}" for path in (folder, *named)} - {"/tmp"}
    return [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
        _memory("/dev/shm", "noexec", "mode=1777"),
        _memory("/tmp", "mode=1777"),
        *(_memory(place, "mode=755") for place in sorted(outside)),
        _same_place(folder),
        *(_same_place(file, "ro") for file in named),
    ]


def _memory(place: str, *options: str) -> dict[str, Any]:
    return {"destination": place, "type": "tmpfs", "source": "tmpfs", "options": [*_SAFE, *options]}


def _same_place(path: Path, *options: str) -> dict[str, Any]:
    return {"destination": str(path), "type": "bind", "source": str(path), "options": ["bind", *_SAFE, *options]}
