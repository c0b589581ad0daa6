"""A proxy in front of an S3 server that records each request and makes faults happen to some.

It passes bytes through as they are. SigV4 signs the Host header, so the proxy's address is the client's endpoint, and
the server takes the header as it comes. Faults of TCP alone, also for Redis, are toxiproxy's (`toxiproxy.py`).
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tests.testbed.http_messages import HEAD_BYTES
from tests.testbed.s3_connection import Connection
from tests.testbed.s3_faults import Fault, Rule, Where
from tests.testbed.s3_operations import S3Request

STOP_SECONDS = 10.0
"""Longest wait for the proxy's thread to end; it needs milliseconds."""

_BACKLOG = 512
"""Connections that wait to be accepted; gateways open dozens at once."""


class S3Proxy:
    """The proxy, which runs in a thread of its own; its methods are for the thread of the test."""

    def __init__(self, upstream_port: int) -> None:
        self.upstream_port = upstream_port
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._requests: list[S3Request] = []
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def endpoint(self) -> str:
        """Scheme, host and port: the client's endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def rule(
        self, operation: str, fault: Fault, *, at: int = 1, times: int | None = 1, where: Where | None = None
    ) -> Rule:
        """Have the fault happen to the `at`-th request of `operation` (or ANY) from now on, and to `times` in a row.

        `times` None: to every one from there on. `where` narrows down which requests count.
        """
        rule = Rule(operation, fault, self._loop, at, times, where)
        with self._lock:
            self._rules.append(rule)
        return rule

    def requests(self, *operations: str) -> list[S3Request]:
        """What came by since the start or the last `clear`, in order; all of it or only these operations."""
        with self._lock:
            return [one for one in self._requests if not operations or one.operation in operations]

    def counts(self) -> dict[str, int]:
        """How many requests of each operation came by since the start or the last `clear`."""
        return dict(Counter(one.operation for one in self.requests()))

    def clear(self) -> None:
        """Forget what came by, and remove all rules; what they held goes on."""
        with self._lock:
            self._requests.clear()
            rules, self._rules = self._rules, []
        for rule in rules:
            rule.remove()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve during the block; at its end, every connection is reset."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self.port = listener.getsockname()[1]
        stop = asyncio.Event()
        thread = threading.Thread(
            target=self._loop.run_until_complete, args=(self._serve(listener, stop),), name="S3 proxy", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(stop.set)
            thread.join(STOP_SECONDS)
            assert not thread.is_alive(), "the S3 proxy did not end"
            self._loop.close()

    async def _serve(self, listener: socket.socket, stop: asyncio.Event) -> None:
        server = await asyncio.start_server(self._accept, sock=listener, limit=HEAD_BYTES)
        await stop.wait()
        server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        # The transports close their sockets in the next turn of the loop.
        await asyncio.sleep(0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await Connection(self.upstream_port, self._note, reader, writer).serve()
        except asyncio.CancelledError:
            # The proxy ends; left to itself, asyncio would log the cancelled task as an error.
            return
        finally:
            self._connections.discard(task)

    def _note(self, request: S3Request) -> list[Rule]:
        """Record the request; gives the rules whose fault happens to it."""
        with self._lock:
            self._requests.append(request)
            return [rule for rule in self._rules if rule.meets(request)]


@contextmanager
def s3_proxy(upstream_port: int) -> Iterator[S3Proxy]:
    """A proxy in front of the S3 server on this port of 127.0.0.1."""
    proxy = S3Proxy(upstream_port)
    with proxy.running():
        yield proxy
