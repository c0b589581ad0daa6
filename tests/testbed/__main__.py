"""`python -m tests.testbed` fetches what the tests run, or only what it is told by name.

`--cluster` adds what tests/cluster runs, `--bench` the benchmark's peers; `--lock` pins anew, `--list` tells the names.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tests.testbed import go_modules, npm, venvs
from tests.testbed.cargo import cargo_program
from tests.testbed.commands import Unavailable
from tests.testbed.go_modules import module_files
from tests.testbed.npm import npm_packages
from tests.testbed.programs import built_program
from tests.testbed.venvs import python_environment

Fetch = Callable[[str], Path]


def definitions(name: str) -> Path:
    """The folder of a table [go-files.NAME]."""
    return module_files(name)[0].parent


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
    fetch({name: everything[name] for name in names} or groups)


def fetch(wanted: dict[str, Fetch]) -> None:
    """Fetch each; exits with 1 when one cannot be had, after the others."""
    missing = False
    for name, get in wanted.items():
        try:
            print(f"{name}: {get(name)}", flush=True)
        except Unavailable as reason:
            missing = True
            print(f"{name} cannot be had: {reason}", file=sys.stderr)
    if missing:
        raise SystemExit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
