"""The real tus-js-client, in Node: one process per task."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.testbed.commands import Unavailable
from tests.testbed.npm import node_environment, npm_packages

SCRIPT = Path(__file__).with_name("tus_js.cjs")

RUN_SECONDS = 90
"""Longest run of the client; it needs one or two seconds."""


class TusJs:
    """tus-js-client against one collection of uploads.

    Raises:
        Unavailable: it cannot be had on this machine.
    """

    def __init__(self, endpoint: str) -> None:
        if shutil.which("node") is None:
            raise Unavailable("node is not on PATH")
        self._environment = node_environment(npm_packages("tus-js-client"))
        self._endpoint = endpoint

    def run(self, action: str, file: Path | None = None, *, options: dict[str, Any] | None = None, **task: Any) -> Any:
        """Have it carry out `action`; gives what it tells."""
        task |= {"action": action, "file": str(file), "options": {"endpoint": self._endpoint, **(options or {})}}
        done = subprocess.run(
            ["node", str(SCRIPT), json.dumps(task)],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)
