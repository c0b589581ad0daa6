"""F14: expiry that is absent, deletes finished files, or sweeps what belongs to others."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.failure.aftermath import files, partials, record, records, settled
from tests.failure.client import KIB, Wire, ask, concatenate, create, get, head, id_of, patch
from tests.failure.forked import serving
from tests.servers import Server, eventually

LONG_AGO = 10_000.0
"""Seconds: older than everything that a sweeper may take for fresh."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    flags = ("--expire-after", "500ms", "--sweep-interval", "50ms", "--tombstone-ttl", "1s")
    with serving(tmp_path, *flags) as server:
        yield server


def test_F14_an_unfinished_upload_expires_and_frees_its_bytes(server: Server) -> None:
    path = create(server, 2 * KIB, body=b"x" * KIB)
    assert "upload-expires" in head(server, path)
    assert len(partials(server.data)) == 1
    gone = eventually(lambda: answer if (answer := head(server, path)).status != 200 else None)
    assert gone.status == 410
    assert "upload-offset" not in gone
    assert patch(server, path, KIB, b"x" * KIB).status == 410
    eventually(lambda: not partials(server.data))
    eventually(lambda: head(server, path).status == 404)
    assert records(server.data) == []


def test_F14_a_finished_upload_never_expires(server: Server) -> None:
    kept = create(server, KIB, body=b"k" * KIB)
    part = create(server, KIB, {"Upload-Concat": "partial"}, b"p" * KIB)
    final = concatenate(server, [part])
    empty = create(server, 0)
    doomed = create(server, KIB)
    # What was made after them has expired and been forgotten.
    eventually(lambda: head(server, doomed).status == 404)
    for path, content in ((kept, b"k" * KIB), (final, b"p" * KIB), (empty, b"")):
        answer = head(server, path)
        assert (answer.status, "upload-expires" in answer) == (200, False)
        assert record(server.data, id_of(path))["expires_at"] is None
        assert get(server, path) == content
    # Not even one whose clock says so: age makes no finished file a leftover.
    for name in files(server.data):
        os.utime(server.data / "files" / name, (0, time.time() - LONG_AGO))
    server.restart()
    eventually(lambda: head(server, part).status in (404, 410))
    assert get(server, kept) == b"k" * KIB


def test_F14_an_upload_that_is_being_written_does_not_expire(tmp_path: Path) -> None:
    flags = ("--expire-after", "600ms", "--checkpoint-interval", "50ms", "--sweep-interval", "20ms")
    with serving(tmp_path / "sliding", *flags) as server:
        path = create(server, 40)
        with Wire(server) as wire:
            wire.patch(path, 0, 40)
            for _ in range(40):
                wire.send(b"x")
                time.sleep(0.04)  # the pace of a slow client: all in all it takes longer than its upload may idle
            assert wire.read("PATCH").status == 204
        assert get(server, path) == b"x" * 40


def test_F14_what_is_not_ours_is_left_alone(server: Server) -> None:
    foreign = {
        name: server.data / name
        for name in (
            "notes.txt",
            "files/holiday.jpg",
            "files/album/2024/beach.png",
            f"files/{'f' * 32}",
            "partial/README.md",
            f"partial/{'a' * 32}",
            f"partial/other/{'b' * 32}",
            "partial/00/with a space.bin",
            "backup/partial/0f/00ff",
        )
    }
    for name, path in foreign.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
        os.utime(path, (0, time.time() - LONG_AGO))
    before = {name: stamp(path) for name, path in foreign.items()}
    server.restart()
    doomed = create(server, 2 * KIB, body=b"x" * KIB)
    assert ask(server, "DELETE", create(server, KIB, body=b"y" * KIB)).status == 204
    # Both have gone through the sweeper from beginning to end.
    eventually(lambda: head(server, doomed).status == 404)
    eventually(lambda: not records(server.data))
    assert {name: stamp(path) for name, path in foreign.items()} == before


def test_F14_a_foreign_file_under_the_name_of_an_upload_stays(tmp_path: Path) -> None:
    flags = ("--key-template", "{filename}", "--sweep-interval", "50ms")
    with serving(tmp_path, *flags) as server:
        report = server.data / "files" / "report.txt"
        report.write_text("of another program", encoding="utf-8")
        before = stamp(report)
        path = create(server, KIB, {"Upload-Metadata": "filename cmVwb3J0LnR4dA=="}, b"n" * KIB)
        assert get(server, path) == b"n" * KIB
        assert len(files(server.data)) == 2
        assert ask(server, "DELETE", path).status == 204
        assert files(server.data) == {"report.txt"}
        assert stamp(report) == before
        report.unlink()
        settled(server)


def stamp(path: Path) -> tuple[str, float]:
    """What shows that a file is as it was."""
    return hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime
