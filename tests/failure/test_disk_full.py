"""A full disk: 507, the offset still true, nothing lost, recovery by itself. And a store with a limit of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from threading import Barrier

import pytest

from tests.failure.aftermath import records, settled
from tests.failure.client import (
    BYTES,
    KIB,
    MIB,
    ask,
    concatenate,
    create,
    get,
    head,
    metrics,
    offset,
    offset_of,
    patch,
    peeked,
)
from tests.failure.forked import serving
from tests.raw_http import Response
from tests.servers import Server, eventually

DISK = 48 * MIB


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk where the data folder of a server goes."""
    folder = tmp_path / "data"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0755", "tusfleet-test", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small disk can be mounted: {mounted.stderr.strip() or 'mount failed'}")
    try:
        yield folder
    finally:
        # Lazily: even when a server that did not end still has files open there.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def server(disk: Path) -> Iterator[Server]:
    with serving(disk.parent, "--sweep-interval", "100ms") as server:
        yield server


def fill(disk: Path, left: int) -> Path:
    """Take all space but about `left` bytes, as another program would."""
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        free = DISK - sum(path.stat().st_blocks * 512 for path in disk.rglob("*") if path.is_file())
        file.write(bytes(max(0, free - left)))
    return ballast


def test_a_full_disk_keeps_the_offset_true(server: Server, disk: Path) -> None:
    numbers = Random(1)
    kept, data = numbers.randbytes(2 * MIB), numbers.randbytes(12 * MIB)
    finished = create(server, len(kept), body=kept)
    path = create(server, len(data))
    assert patch(server, path, 0, data[:MIB]).status == 204
    ballast = fill(disk, 4 * MIB)

    answer = patch(server, path, MIB, data[MIB:])
    assert answer.status == 507, answer
    assert "retry-after" in answer
    at = offset(server, path)
    assert MIB <= at < len(data)
    assert patch(server, path, at, data[at:]).status == 507
    # Everybody else goes on, and what is there can be read.
    assert get(server, finished) == kept
    assert ask(server, "GET", "/healthz").status == 200

    ballast.unlink()
    at = offset(server, path)
    assert patch(server, path, at, data[at:]).status == 204
    assert get(server, path) == data
    assert metrics(server)["tusfleet_offsets_lost_total"] == 0
    settled(server)


def test_not_one_byte_of_space_is_left(server: Server, disk: Path) -> None:
    data = Random(2).randbytes(3 * MIB)
    path = create(server, len(data))
    assert patch(server, path, 0, data[:MIB]).status == 204
    ballast = fill(disk, 0)
    with ballast.open("ab") as file:
        eventually(lambda: not grew(file.fileno()), pause=0.0)
    # Not even a record can be written now.
    eventually(lambda: ask(server, "POST", server.path, {"Upload-Length": "5"}).status == 507)
    assert head(server, path).status == 200
    assert offset(server, path) == MIB
    eventually(lambda: ask(server, "GET", "/readyz").status == 503)

    ballast.unlink()
    eventually(lambda: ask(server, "GET", "/readyz").status == 200)
    assert patch(server, path, MIB, data[MIB:]).status == 204
    assert get(server, path) == data
    settled(server)


def grew(file: int) -> bool:
    """Take another page, if there is one."""
    try:
        return os.write(file, bytes(4 * KIB)) > 0
    except OSError:
        return False


def test_a_kill_while_the_disk_is_full_loses_nothing(server: Server, disk: Path) -> None:
    data = Random(3).randbytes(12 * MIB)
    path = create(server, len(data))
    ballast = fill(disk, 5 * MIB)
    assert patch(server, path, 0, data).status == 507
    at = offset(server, path)
    server.kill()
    ballast.unlink()
    server.start()
    assert offset(server, path) >= at
    at = offset(server, path)
    assert patch(server, path, at, data[at:]).status == 204
    assert get(server, path) == data


PARTIAL = {"Upload-Concat": "partial"}


def test_a_concatenation_without_space_creates_nothing(server: Server, disk: Path) -> None:
    data = Random(4).randbytes(8 * MIB)
    half = len(data) // 2
    parts = [create(server, half, PARTIAL, piece) for piece in (data[:half], data[half:])]
    ballast = fill(disk, 2 * MIB)
    final = {"Upload-Concat": f"final;{' '.join(parts)}", "Content-Length": "0"}
    assert ask(server, "POST", server.path, final).status == 507
    eventually(lambda: not [row for row in records(server.data) if row["final"]])
    ballast.unlink()
    assert get(server, concatenate(server, parts)) == data
    settled(server)


def test_a_final_upload_that_waits_is_merged_when_there_is_space(server: Server, disk: Path) -> None:
    data = Random(5).randbytes(8 * MIB)
    half = len(data) // 2
    parts = [create(server, half, PARTIAL, data[:half]), create(server, half, PARTIAL)]
    final = concatenate(server, parts)
    ballast = fill(disk, 6 * MIB)
    # There is space for the last part, and then none for the whole.
    assert patch(server, parts[1], 0, data[half:]).status == 204
    assert peeked(server, final)["state"] != "finished"
    ballast.unlink()
    eventually(lambda: peeked(server, final)["state"] == "finished")
    assert get(server, final) == data
    settled(server)


LIMIT = 10 * MIB


def at_once(count: int, request: Callable[[], Response]) -> list[Response]:
    """The answers to `count` requests that are made at the same moment."""
    start = Barrier(count)

    def run(_: int) -> Response:
        start.wait()
        return request()

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


def test_a_store_with_a_limit_never_promises_more(tmp_path: Path) -> None:
    with serving(tmp_path, "--max-store-size", str(LIMIT), "--sweep-interval", "100ms") as server:
        creation = {"Upload-Length": str(MIB), "Content-Length": "0"}
        answers = at_once(50, lambda: ask(server, "POST", server.path, creation))
        created = ["/" + answer["location"].split("/", 3)[3] for answer in answers if answer.status == 201]
        assert len(created) == LIMIT // MIB
        assert {answer.status for answer in answers} == {201, 507}
        assert sum(row["reserved"] for row in records(server.data)) <= LIMIT
        # Whoever was promised space gets it.
        for path in created:
            assert patch(server, path, 0, bytes(MIB)).status == 204
        # What is given back can be promised again, once.
        assert ask(server, "DELETE", created[0]).status == 204
        answers = at_once(10, lambda: ask(server, "POST", server.path, creation))
        assert sorted(answer.status for answer in answers) == [201] + [507] * 9
        settled(server)


def test_uploads_of_unknown_length_share_a_store_with_a_limit(tmp_path: Path) -> None:
    with serving(tmp_path, "--max-store-size", str(LIMIT)) as server:
        body = bytes(3 * MIB)
        headers = {**BYTES, "Upload-Defer-Length": "1"}
        answers = at_once(20, lambda: ask(server, "POST", server.path, headers, body))
        assert {answer.status for answer in answers} <= {201, 507}
        rows = records(server.data)
        assert sum(row["reserved"] for row in rows) <= LIMIT
        assert sum(row["offset"] for row in rows) <= LIMIT
        stored = sum(path.stat().st_size for path in (server.data / "partial").rglob("*") if path.is_file())
        assert stored <= LIMIT
        for answer in answers:
            if answer.status == 201:
                path = "/" + answer["location"].split("/", 3)[3]
                assert offset_of(answer) == offset(server, path) == len(body)
