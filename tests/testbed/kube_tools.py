"""Command-line tools of Kubernetes, run as the user of a kubeconfig file and with nothing of the developer's own."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

from tests.testbed.kube_access import Access
from tests.testbed.processes import PASSED_ON
from tests.testbed.programs import built_program

TOOL_SECONDS = 120.0
"""Longest that a call may take by default; `kubectl wait` and `helm --wait` have limits of their own below it."""


def tool_environment(access: Access) -> dict[str, str]:
    """Variables for a tool: the kubeconfig, and a home beside it for what tools cache and remember."""
    home = access.kubeconfig.parent / "home"
    home.mkdir(exist_ok=True)
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {**passed_on, "HOME": str(home), "KUBECONFIG": str(access.kubeconfig)}


def run_tool(
    access: Access,
    tool: str,
    *arguments: str,
    stdin: str = "",
    check: bool = True,
    cwd: Path | None = None,
    seconds: float = TOOL_SECONDS,
) -> subprocess.CompletedProcess[str]:
    """Run `kubectl`, `helm3` or `helm4` to its end.

    With `check`, an AssertionError shows what it said when it fails. Raises Unavailable where it cannot be had.
    """
    binary = built_program(tool)
    with access.within():
        done = subprocess.run(
            [str(binary), *arguments],
            input=stdin,
            env=tool_environment(access),
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
    if check:
        said = f"{done.stdout}{done.stderr}"
        assert done.returncode == 0, f"{tool} {shlex.join(arguments)} ended with {done.returncode}:\n{said}"
    return done


def kubectl(access: Access, *arguments: str, stdin: str = "") -> str:
    """What kubectl prints; an AssertionError with what it said when it fails. Raises Unavailable."""
    return run_tool(access, "kubectl", *arguments, stdin=stdin).stdout
