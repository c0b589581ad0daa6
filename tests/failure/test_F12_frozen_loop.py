"""F12: one blocking call freezes the event loop of every client."""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from random import Random

from tests.failure.client import KIB, MIB, TUS, Wire, concatenate, create, get, head, offset, patch
from tests.servers import Server, eventually

FROZEN = 1.0
"""Seconds without an answer that a client would notice; a HEAD takes one millisecond."""

NOISE = 0.3
"""Seconds that a machine busy with other tests may keep any process waiting."""


@dataclass
class Latencies:
    """How long the answers to one client after the other took, in seconds."""

    seconds: list[float] = field(default_factory=list)

    def check(self, least: int = 20, work: float = math.inf) -> None:
        """See that nobody had to wait, neither for long nor for the end of something that took `work` seconds."""
        assert len(self.seconds) >= least, "too few answers to tell"
        assert max(self.seconds) < min(FROZEN, max(NOISE, work / 2))


@contextmanager
def bystander(server: Server, asks: str | None = None) -> Iterator[Latencies]:
    """A client that asks all the time, about an upload of its own or whatever it `asks` for."""
    found, stop = Latencies(), threading.Event()
    failures: list[BaseException] = []
    method, path = ("HEAD", create(server, KIB)) if asks is None else ("GET", asks)

    def watch() -> None:
        try:
            with Wire(server) as wire:
                while not stop.wait(0.005):
                    started = time.monotonic()
                    wire.request(method, path, TUS)
                    assert wire.read(method).status == 200
                    found.seconds.append(time.monotonic() - started)
        except (AssertionError, OSError, EOFError) as failure:
            failures.append(failure)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()
    assert not failures, failures


def test_F12_a_lock_that_another_program_holds_blocks_only_writers(server: Server) -> None:
    path = create(server, MIB)
    with (
        closing(sqlite3.connect(server.data / "tusfleet.db", isolation_level=None)) as other,
        bystander(server) as latencies,
        ThreadPoolExecutor(1) as threads,
    ):
        other.execute("BEGIN IMMEDIATE")
        waiting = threads.submit(patch, server, path, 0, bytes(MIB))
        eventually(lambda: len(latencies.seconds) >= 200)
        assert not waiting.done(), "nothing was waiting for the lock"
        other.execute("ROLLBACK")
        assert waiting.result().status == 204
    latencies.check(least=200)


def test_F12_requests_that_wait_for_an_upload_hold_up_nobody_else(server: Server) -> None:
    """The owner of an upload asks again and again while its bytes are coming in, each time instead of the last."""
    path = create(server, 64 * MIB)
    with bystander(server) as latencies:
        for _ in range(20):
            at = offset(server, path)
            with Wire(server) as silent:
                silent.patch(path, at, 64 * MIB - at)
                silent.send(bytes(MIB))
                with ThreadPoolExecutor(8) as threads:
                    answers = list(threads.map(lambda _: head(server, path), range(8)))
                assert {answer.status for answer in answers} == {200}
    latencies.check()


def test_F12_a_big_concatenation_holds_up_nobody(server: Server) -> None:
    size, count = 64 * MIB, 12
    part = create(server, size, {"Upload-Concat": "partial"})
    assert patch(server, part, 0, bytes(size)).status == 204
    with bystander(server) as latencies:
        started = time.monotonic()
        final = concatenate(server, [part] * count)
        work = time.monotonic() - started
        eventually(lambda: len(latencies.seconds) >= 20)
    latencies.check(work=work)
    assert offset(server, final) == count * size


def test_F12_syncs_of_many_uploads_hold_up_nobody(server: Server) -> None:
    data = Random(12).randbytes(8 * MIB)
    with bystander(server) as latencies, ThreadPoolExecutor(4) as threads:
        paths = list(threads.map(lambda _: create(server, len(data), body=data), range(16)))
    latencies.check()
    assert all(get(server, path) == data for path in paths[::5])


def test_F12_slow_clients_hold_up_nobody(server: Server) -> None:
    finished = create(server, 32 * MIB, body=bytes(32 * MIB))
    with ExitStack() as clients, bystander(server) as latencies:
        for number in range(100):
            wire = clients.enter_context(Wire(server))
            if number % 4 == 0:
                wire.request("GET", finished, {})  # and never reads a byte of it
            elif number % 4 == 1:
                wire.send(b"PATCH /files/")  # and never says which
            else:
                wire.patch(create(server, MIB), 0, MIB)
                wire.send(bytes(number))
        data = bytes(16 * MIB)
        assert get(server, create(server, len(data), body=data)) == data
        eventually(lambda: len(latencies.seconds) >= 50)
    latencies.check()
