"""Toxiproxy: faults of TCP between two programs, in front of Redis or S3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx

from tests.testbed.golang import go_program
from tests.testbed.ports import reserved_port
from tests.testbed.processes import Program, accepts, running

API_SECONDS = 10.0
"""Longest wait for an answer of its API; it needs milliseconds."""

Stream = Literal["upstream", "downstream"]
"""Towards the server, or towards the client."""


@dataclass
class TcpProxy:
    """One listening port in front of one server."""

    name: str
    port: int
    api: httpx.Client

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    @contextmanager
    def latency(self, milliseconds: int, *, jitter: int = 0, stream: Stream = "downstream") -> Iterator[None]:
        """Data comes so many milliseconds later during the block, give or take `jitter`."""
        with self._toxic("latency", stream, latency=milliseconds, jitter=jitter):
            yield

    @contextmanager
    def bandwidth(self, kilobytes: int, *, stream: Stream = "downstream") -> Iterator[None]:
        """At most so many KB pass in a second during the block."""
        with self._toxic("bandwidth", stream, rate=kilobytes):
            yield

    @contextmanager
    def resets(self, after_milliseconds: int = 0) -> Iterator[None]:
        """Every connection is reset so long after its first data during the block."""
        with self._toxic("reset_peer", "downstream", timeout=after_milliseconds):
            yield

    @contextmanager
    def silence(self) -> Iterator[None]:
        """Connections stay open or are accepted, and nothing passes during the block: a partition.

        At its end they are closed; what was sent meanwhile is lost.
        """
        with self._toxic("timeout", "upstream", timeout=0), self._toxic("timeout", "downstream", timeout=0):
            yield

    @contextmanager
    def down(self) -> Iterator[None]:
        """Connections are closed, and new ones refused, during the block."""
        self._enable(False)
        try:
            yield
        finally:
            self._enable(True)

    @contextmanager
    def _toxic(self, kind: str, stream: Stream, **attributes: Any) -> Iterator[None]:
        toxic = {"name": f"{kind}-{stream}", "type": kind, "stream": stream, "attributes": attributes}
        self.api.post(f"/proxies/{self.name}/toxics", json=toxic).raise_for_status()
        try:
            yield
        finally:
            self.api.delete(f"/proxies/{self.name}/toxics/{toxic['name']}").raise_for_status()

    def _enable(self, enabled: bool) -> None:
        self.api.post(f"/proxies/{self.name}", json={"enabled": enabled}).raise_for_status()


@dataclass
class Toxiproxy:
    """The running program; the proxies in it last as long as it does."""

    program: Program
    api: httpx.Client
    ports: ExitStack

    def proxy(self, upstream_port: int) -> TcpProxy:
        """A new proxy in front of this port of 127.0.0.1."""
        # A port of ours, since a proxy that comes back after `down` has to get it again.
        port = self.ports.enter_context(reserved_port())
        wanted = {
            "name": f"proxy-{port}",
            "listen": f"127.0.0.1:{port}",
            "upstream": f"127.0.0.1:{upstream_port}",
            "enabled": True,
        }
        self.api.post("/proxies", json=wanted).raise_for_status()
        return TcpProxy(f"proxy-{port}", port, self.api)


@contextmanager
def toxiproxy(folder: Path) -> Iterator[Toxiproxy]:
    """A toxiproxy without proxies. Raises Unavailable when it cannot be had."""
    binary = go_program("toxiproxy")
    with ExitStack() as stack:
        port = stack.enter_context(reserved_port())
        command = [str(binary), "-host", "127.0.0.1", "-port", str(port)]
        program = Program("toxiproxy", command, folder, ready=lambda: accepts(port))
        stack.enter_context(running(program))
        api = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=API_SECONDS, trust_env=False)
        yield Toxiproxy(program, stack.enter_context(api), stack)
