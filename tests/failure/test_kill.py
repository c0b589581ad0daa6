"""Done when 3: `kill -9` at random moments. Nothing acknowledged is lost, nothing is invented, nothing is left behind.

A run of the moments of one failure can be tried again with its seed in TUSFLEET_TEST_SEED; what the clients send is the
same then, the moments are as random as the machine.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from tests.failure.aftermath import SWEEP_SECONDS, complaints, files, partials, records, settled
from tests.failure.client import MIB, Wire, ask, create, get, head, id_of, offset, patch
from tests.failure.forked import serving
from tests.failure.uploaders import SIZES, uploading
from tests.servers import Server, eventually

RUNS, KILLS = 16, 13
"""208 deaths, spread over the processes that run tests; each costs the start of a server."""

CLIENTS = 6

SWEEP = ("--sweep-interval", "100ms")


@pytest.fixture
def seed() -> int:
    """Printed with a failure."""
    seed = int(os.environ.get("TUSFLEET_TEST_SEED") or time.time_ns() % 10**9)
    print(f"TUSFLEET_TEST_SEED={seed}")
    return seed


@pytest.mark.parametrize("run", range(RUNS))
def test_kill_at_random_moments(tmp_path: Path, seed: int, run: int) -> None:
    survive(tmp_path, Random(f"{seed}-{run}"), KILLS, *SWEEP)


def test_kill_at_random_moments_with_relaxed_durability(tmp_path: Path, seed: int) -> None:
    survive(tmp_path, Random(seed), 8, *SWEEP, "--durability", "relaxed")


def test_kill_of_all_workers_at_random_moments(tmp_path: Path, seed: int) -> None:
    survive(tmp_path, Random(seed), 8, *SWEEP, "--workers", "2")


def test_kill_where_finished_files_have_folders_and_sidecars(tmp_path: Path, seed: int) -> None:
    flags = ("--key-template", "{yyyy}/{id}", "--sidecar")
    survive(tmp_path, Random(seed), 8, *SWEEP, *flags)


def test_kill_around_creations_finishes_and_terminations(tmp_path: Path, seed: int) -> None:
    # With a handful of bytes there is hardly a moment in which no record or file is on its way from state to state.
    survive(tmp_path, Random(seed), 20, *SWEEP, sizes=(1,))


def survive(tmp_path: Path, numbers: Random, kills: int, *flags: str, sizes: Sequence[int] = SIZES) -> None:
    """Kill a server under its clients again and again, and see that nothing came of it."""
    with serving(tmp_path, *flags) as server:
        with uploading(server, numbers.randrange(10**9), CLIENTS, sizes) as ledger:
            for _ in range(kills):
                if ledger.broken.wait(numbers.uniform(0.0, 0.4)):
                    print(*complaints(server), sep="\n")
                    break
                server.kill()
                if numbers.random() < 0.3:
                    # On its way up, in the middle of what it repairs.
                    server.start(wait=False)
                    time.sleep(numbers.uniform(0.0, 0.15))  # a random moment is what is tested
                    server.kill()
                server.start()
        assert ledger.cut >= kills, "the clients did not notice the deaths"
        assert ledger.verified >= CLIENTS
        for id, digest in ledger.kept.items():
            assert hashlib.sha256(get(server, f"{server.path}/{id}")).hexdigest() == digest
        settled(server)


def test_kill_while_uploads_expire(tmp_path: Path, seed: int) -> None:
    numbers = Random(seed)
    flags = ("--expire-after", "300ms", "--sweep-interval", "20ms", "--tombstone-ttl", "400ms")
    left: list[str] = []
    finished: dict[str, bytes] = {}
    with serving(tmp_path, *flags) as server:
        for _ in range(15):
            end = time.monotonic() + numbers.uniform(0.2, 0.8)
            while time.monotonic() < end:
                data = numbers.randbytes(numbers.randint(1, 100_000))
                left.append(create(server, len(data) + 1, body=data))
                finished[create(server, len(data), body=data)] = data
            server.restart()
        eventually(lambda: all(head(server, path).status == 404 for path in left), SWEEP_SECONDS)
        assert all(get(server, path) == data for path, data in finished.items())
        assert len(files(server.data)) == len(finished)
        settled(server)


def test_what_was_being_finished_is_finished_without_its_client(tmp_path: Path) -> None:
    with serving(tmp_path, *SWEEP) as server:
        parts = [create(server, 3, {"Upload-Concat": "partial"}, data) for data in (b"one", b"two")]
        # For a while no file can get its place, then the server dies; nobody asks for any of this again.
        away = (server.data / "files").rename(tmp_path / "away")
        assert patch(server, create(server, 5), 0, b"whole").status == 503
        final = {"Upload-Concat": f"final;{' '.join(parts)}", "Content-Length": "0"}
        assert ask(server, "POST", server.path, final).status in (201, 503, 410)
        assert "finishing" in {row["state"] for row in records(server.data)}
        server.kill()
        away.rename(server.data / "files")
        server.start()
        eventually(lambda: all(row["state"] == "finished" for row in records(server.data)), SWEEP_SECONDS)
        contents = {(server.data / "files" / name).read_bytes() for name in files(server.data)}
        assert b"whole" in contents
        settled(server)


@pytest.mark.parametrize("left", ["the record of a termination", "no record"])
def test_bytes_that_a_death_left_behind_are_removed(tmp_path: Path, left: str) -> None:
    """A kill between the end of an upload in the records and the removal of its bytes leaves exactly this."""
    with serving(tmp_path, *SWEEP) as server:
        path = create(server, 3000, body=bytes(2000))
        server.kill()
        with closing(sqlite3.connect(server.data / "tusfleet.db")) as connection:
            if left == "no record":
                connection.execute("DELETE FROM uploads")
            else:
                change = "state = 'terminated', ended_at = created_at, reserved = 0"
                connection.execute(f"UPDATE uploads SET {change} WHERE id = ?", (id_of(path),))
            connection.execute("UPDATE store SET uploads = 0, open = 0, reserved = '0'")
            connection.commit()
        (found,) = (server.data / "partial" / name for name in partials(server.data))
        if left == "no record":
            # What is fresh may belong to a creation under way.
            long_ago = time.time() - 1000
            os.utime(found, (long_ago, long_ago))
        server.start()
        eventually(lambda: not partials(server.data), SWEEP_SECONDS)
        settled(server)


TRICKLES = 4

PIECE, PAUSE = 4096, 0.02
"""What one of them sends, and how often (seconds)."""

LATE = 0.75
"""Seconds beyond the promised one: a sync and a commit on a machine that is busy with other tests."""


def test_a_kill_costs_a_steady_upload_no_more_than_a_second(tmp_path: Path, seed: int) -> None:
    """A running PATCH commits at least every second."""
    numbers = Random(seed)
    size = 64 * MIB
    with serving(tmp_path) as server:
        paths = [create(server, size) for _ in range(TRICKLES)]
        end = time.monotonic() + numbers.uniform(2.5, 5.0)
        with ThreadPoolExecutor(TRICKLES) as threads:
            running = [threads.submit(trickle, server, path, size, end) for path in paths]
            time.sleep(max(0.0, end - time.monotonic()))  # the random moment of the death
            server.kill()
            killed = time.monotonic()
        server.start()
        for path, sent in zip(paths, (task.result() for task in running), strict=True):
            due = sum(PIECE for moment in sent if moment < killed - 1 - LATE)
            assert due > 0, "nothing was sent that long before"
            assert due <= offset(server, path) <= len(sent) * PIECE


def trickle(server: Server, path: str, size: int, end: float) -> list[float]:
    """Send a piece every now and then until the server is gone or for a while after `end`; gives the moments."""
    sent: list[float] = []
    with Wire(server) as wire:
        wire.patch(path, 0, size)
        try:
            while time.monotonic() < end + 10:
                sent.append(time.monotonic())
                wire.send(bytes(PIECE))
                time.sleep(PAUSE)  # the pace of a steady client
        except OSError:
            return sent
    raise AssertionError("the server did not die")
