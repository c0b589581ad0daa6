"""`python -m tests.testbed` fetches what the tests run, or only what it is told by name.

`--cluster` adds what tests/cluster runs, with images of containers where this user can build them; `--bench` adds the
benchmark's peers. `--lock` pins anew, `--list` tells the names.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from tests.testbed import go_modules, npm, venvs
from tests.testbed.cargo import cargo_program
from tests.testbed.commands import Unavailable
from tests.testbed.go_modules import module_files
from tests.testbed.images import DEFINITIONS, image
from tests.testbed.npm import npm_packages
from tests.testbed.our_images import IMAGES, our_image
from tests.testbed.programs import built_program
from tests.testbed.venvs import python_environment

Fetch = Callable[[str], Path]


def definitions(name: str) -> Path:
    """The folder of a table [go-files.NAME]."""
    return module_files(name)[0].parent


def archive(name: str) -> Path:
    """An image of others, as it is imported."""
    return image(name).archive


def our_archive(name: str) -> Path:
    """One of our images, as it is imported."""
    return our_image(name).archive


FOR_TESTS: dict[str, Fetch] = {
    "tus-js-client": npm_packages,
    "versitygw": built_program,
    "minio": built_program,
    "toxiproxy": built_program,
    "promtool": built_program,
    "skaffold": definitions,
}
# In the order in which the tests come to need them: an API server, controllers, a node, charts.
FOR_CLUSTER: dict[str, Fetch] = {
    "etcd": built_program,
    "kube-apiserver": built_program,
    "kubectl": built_program,
    "gateway-api": definitions,
    "prometheus-operator": definitions,
    "kubeconform": built_program,
    "kube-controller-manager": built_program,
    "kube-scheduler": built_program,
    "kubelet": built_program,
    "kube-proxy": built_program,
    "containerd": built_program,
    "cni-plugins": built_program,
    "coredns": built_program,
    "metrics-server": built_program,
    "helm3": built_program,
    "helm4": built_program,
    "prometheus": built_program,
    "syft": built_program,
}
FOR_PODS: dict[str, Fetch] = {
    **{folder.name: archive for folder in sorted(DEFINITIONS.iterdir()) if folder.name != "python-base"},
    **dict.fromkeys(IMAGES, our_archive),
}
"""Images, which only root can build; some share their names with programs."""
FOR_BENCH: dict[str, Fetch] = {
    "tus-server": npm_packages,
    "tuspyserver": python_environment,
    "tusd": built_program,
    "rustus": cargo_program,
}
LOCKED: dict[str, Callable[[str], None]] = {
    "tus-js-client": npm.write_lock,
    "tus-server": npm.write_lock,
    "tuspyserver": venvs.write_lock,
    "etcd": go_modules.write_lock,
    "kubernetes": go_modules.write_lock,
    "prometheus": go_modules.write_lock,
}


def main(arguments: list[str]) -> None:
    options = {one for one in arguments if one.startswith("--")}
    names = [one for one in arguments if not one.startswith("--")]
    everything = FOR_TESTS | FOR_CLUSTER | FOR_BENCH
    if "--list" in options:
        print("\n".join(everything))
        return
    if "--lock" in options:
        for name in names or LOCKED:
            LOCKED[name](name)
        return
    if unknown := set(names) - everything.keys():
        raise SystemExit(f"Unknown: {', '.join(sorted(unknown))}. `python -m tests.testbed --list` tells the names.")
    groups = FOR_TESTS | (FOR_CLUSTER if "--cluster" in options else {}) | (FOR_BENCH if "--bench" in options else {})
    complete = fetch({name: everything[name] for name in names} or groups)
    if "--cluster" in options and os.geteuid() == 0:
        complete = fetch(FOR_PODS) and complete
    if not complete:
        raise SystemExit(1)


def fetch(wanted: dict[str, Fetch]) -> bool:
    """Fetch each, also after one that cannot be had; tells whether all of them could."""
    complete = True
    for name, get in wanted.items():
        try:
            print(f"{name}: {get(name)}", flush=True)
        except Unavailable as reason:
            complete = False
            print(f"{name} cannot be had: {reason}", file=sys.stderr)
    return complete


if __name__ == "__main__":
    main(sys.argv[1:])
