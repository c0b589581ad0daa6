"""`make cluster` leaves a cluster standing to play with, `make cluster-down` ends it.

A keeper in the background owns the cluster, and takes it down when it gets SIGTERM.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.testbed import node
from tests.testbed.cache import cache_root
from tests.testbed.commands import Unavailable
from tests.testbed.images import image
from tests.testbed.node import Cluster
from tests.testbed.processes import PROC
from tests.testbed.programs import built_program
from tests.testbed.stand_ins import stand_in
from tests.testbed.takedown import last_command

ROOT = Path(__file__).parents[2]

FOLDER = Path("/tmp/tusfleet-cluster")
"""Of the cluster that stands: a short path, since it holds sockets."""

KEEPER = FOLDER / "keeper"
"""Says which process keeps it."""

USAGE = FOLDER / "usage"
"""Written when it is ready: what to tell a person."""

LOG = cache_root() / "cluster.log"

UP_SECONDS = 3600.0
"""From an empty cache, programs and images take 25 minutes on two cores."""

DOWN_SECONDS = 120.0

IMAGES = ("redis", "minio", "prometheus", "client")


def up() -> None:
    """Start a keeper, unless there is one, and wait until its cluster stands."""
    if _keeper() is None:
        _clear()
        FOLDER.mkdir(mode=0o700)
        LOG.parent.mkdir(parents=True, exist_ok=True)
        with LOG.open("wb") as log:
            command = [sys.executable, "-m", "tests.testbed.cluster_playground", "keep"]
            keeper = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        KEEPER.write_text(str(keeper.pid), encoding="ascii")
        _wait_until_it_stands(keeper)
    if not USAGE.exists():
        raise SystemExit("The cluster is still coming up; its log is " + str(LOG))
    print(USAGE.read_text(encoding="utf-8"), end="")


def _wait_until_it_stands(keeper: subprocess.Popen[bytes]) -> None:
    deadline, shown = time.monotonic() + UP_SECONDS, 0
    while not USAGE.exists():
        text = LOG.read_bytes()
        sys.stderr.write(text[shown:].decode(errors="replace"))
        shown = len(text)
        if keeper.poll() is not None:
            raise SystemExit(f"No cluster; what happened is in {LOG}")
        if time.monotonic() > deadline:
            raise SystemExit(f"No cluster within {UP_SECONDS:.0f} s; it goes on in the background, see {LOG}")
        time.sleep(0.2)


def keep() -> None:
    """Have a cluster until SIGTERM."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, _end)
    try:
        with node.cluster(FOLDER) as cluster:
            _load(cluster)
            unfinished = USAGE.with_suffix(".unfinished")
            unfinished.write_text(_usage(cluster), encoding="utf-8")
            unfinished.rename(USAGE)
            ended.wait()
    except Unavailable as reason:
        print(f"make cluster: {reason}", file=sys.stderr)
        raise SystemExit(1) from None
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)


def _end(*_: object) -> None:
    """End the main thread wherever it is, also in a start that is under way; but only once."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(0)


def _load(cluster: Cluster) -> None:
    for name in IMAGES:
        cluster.load(image(name))
    stand_in(cluster)
    cluster.plane.install("gateway-api", "prometheus-operator")


def _usage(cluster: Cluster) -> str:
    tools = cluster.folder / "bin"
    _link_tools(tools)
    images = "\n".join(f"  {name}" for name in sorted(cluster.images()) if "@" not in name and "/" in name)
    return f"""A cluster stands: one node, Kubernetes {cluster.plane.api.http.get("/version").json()["gitVersion"]}.
It is in a network namespace of its own, so that programs that talk to it have to be in there too:

  nsenter --net={cluster.network.path} bash
  export KUBECONFIG={cluster.plane.admin.kubeconfig}
  export PATH={tools}:$PATH           # kubectl, helm (4), helm3, kubeconform, tusfleet
  kubectl get nodes

Addresses of pods and Services answer in there, from curl or `tusfleet upload` as well, and what the
README says works in there. It has these images, our own built from this checkout, and gets no others:
{images}

Logs are {cluster.folder}/*.log and {cluster.folder}/plane/*.log.   `make cluster-down` ends all of it.
"""


def _link_tools(folder: Path) -> None:
    folder.mkdir()
    for name, program in {
        "kubectl": "kubectl",
        "helm": "helm4",
        "helm3": "helm3",
        "kubeconform": "kubeconform",
    }.items():
        (folder / name).symlink_to(built_program(program))
    (folder / "tusfleet").symlink_to(Path(sys.executable).with_name("tusfleet"))


def down() -> None:
    """Have the keeper take its cluster down; without one, do it in its place."""
    keeper = _keeper()
    if keeper is not None:
        os.kill(keeper, signal.SIGTERM)
        deadline = time.monotonic() + DOWN_SECONDS
        # Its folder goes first, and that piece by piece.
        while _keeps(keeper):
            if time.monotonic() > deadline:
                raise SystemExit(f"The cluster did not end within {DOWN_SECONDS:.0f} s; see {LOG}")
            time.sleep(0.1)
    _clear()
    print("No cluster stands.")


def _clear() -> None:
    """Remove what a keeper left that died, and whose last command did not run either."""
    subprocess.run(last_command(FOLDER), cwd=ROOT, check=True)
    shutil.rmtree(FOLDER, ignore_errors=True)


def _keeper() -> int | None:
    """The process that keeps the cluster, if it lives."""
    try:
        pid = int(KEEPER.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return pid if _keeps(pid) else None


def _keeps(pid: int) -> bool:
    try:
        command = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return False
    return b"tests.testbed.cluster_playground" in command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["up", "keep", "down"])
    {"up": up, "keep": keep, "down": down}[parser.parse_args().what]()


if __name__ == "__main__":
    main()
