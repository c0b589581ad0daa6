"""The parent of gateways that die where they are told to: it has loaded the program, with its points, and forks.

`python -m tests.failure.fleet.launcher` takes one task a line, as `tests.failure.forked` sends them.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import json
import os
import signal
import sys
from collections.abc import Awaitable
from typing import Any

from tests.failure.fleet import points

PR_SET_PDEATHSIG = 1

NEEDED = (
    "coverage",
    "tusfleet.cli.serving",
    "tusfleet.gateway.server",
    "tusfleet.infostores.redis",
    "tusfleet.lockers.redis",
    # Imported when the API is built, which takes longer than everything else of a start.
    "pydantic.v1",
    "tusfleet.datastores.s3.store",
    "botocore.loaders",
    "botocore.session",
)
"""What a gateway loads when it starts."""


def run() -> None:
    """Fork a gateway for each line; end when the input does."""
    points.install()
    _load()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    for line in sys.stdin:
        task = json.loads(line)
        if pid := os.fork():
            print(pid, flush=True)
            continue
        _become(task)


def _load() -> None:
    """Import all that a gateway needs, and have it tell which steps belong to a request."""
    for name in NEEDED:
        importlib.import_module(name)
    _keep_descriptions()
    from tusfleet.gateway.endpoint import UploadEndpoint

    answer = UploadEndpoint.__call__

    def counted(self: UploadEndpoint, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        points.IN_REQUEST.set(True)
        return answer(self, scope, receive, send)

    UploadEndpoint.__call__ = counted  # type: ignore[method-assign, assignment]


def _keep_descriptions() -> None:
    """Have botocore read its description of S3 here, and no more: that takes longer than the rest of a start."""
    from botocore.loaders import JSONFileLoader
    from botocore.session import Session

    JSONFileLoader.load_file = functools.cache(JSONFileLoader.load_file)  # type: ignore[method-assign]
    JSONFileLoader.__hash__ = lambda self: hash(JSONFileLoader)  # type: ignore[method-assign]
    JSONFileLoader.__eq__ = lambda self, other: isinstance(other, JSONFileLoader)  # type: ignore[method-assign]
    session = Session()
    session.create_client("s3", "us-east-1", aws_access_key_id="none", aws_secret_access_key="none").close()


def _become(task: dict[str, Any]) -> None:
    """Be the gateway of a task."""
    from coverage import process_startup

    from tusfleet.cli.main import main

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    log = os.open(task["log"], os.O_WRONLY | os.O_APPEND)
    for number, target in ((os.open(os.devnull, os.O_RDONLY), 0), (log, 1), (log, 2)):
        os.dup2(number, target)
    os.environ.update(task["environment"])
    points.arm(task["environment"])
    process_startup()
    main(task["arguments"])


if __name__ == "__main__":
    run()
