"""Programs that embed the server, under a stock uvicorn, as processes that die and come back."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import servers
from tests.servers import Process, Server, eventually

ROOT = Path(__file__).parents[2]

RUNNING = re.compile(r"Uvicorn running on (http://\S+)")


class Embedded(Server):
    """One program.

    Parameters:
        application: module and name, as uvicorn takes them.
        path: where the uploads are.
    """

    application = ""
    mounted = ""

    def launch(self, arguments: list[str]) -> Process:
        uvicorn = Path(sys.executable).with_name("uvicorn")
        with self.log_file.open("ab") as log:
            return subprocess.Popen(
                [str(uvicorn), self.application, "--port", str(self.port), *self.flags],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _wait_for_address(self) -> str:
        def running() -> str | None:
            if match := RUNNING.search(self.log()):
                return match[1] + self.mounted
            assert self.process.poll() is None, f"the program ended:\n{self.log()}"
            return None

        return eventually(running, servers.START_SECONDS)

    def noted(self, name: str) -> list[dict[str, Any]]:
        """What the recorder has written down."""
        file = self.folder / name
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


@contextmanager
def embedding(
    folder: Path, application: str, mounted: str, environment: Mapping[str, str], *flags: str
) -> Iterator[Embedded]:
    """A program that runs, with its uploads at the path `mounted`."""
    kind = type("_Embedded", (Embedded,), {"application": application, "mounted": mounted})
    with servers.serving(folder, *flags, environment=environment, kind=kind) as server:
        assert isinstance(server, Embedded)
        yield server
