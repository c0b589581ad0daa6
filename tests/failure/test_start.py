"""What keeps a server from starting: one line that says so, a status that is not 0, and nothing changed."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.failure.client import KIB, create, get, offset
from tests.failure.forked import serving

START_SECONDS = 60


def refused(data: Path) -> str:
    """Start a server that must not start; gives the line that it ends with."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from tusfleet.cli.main import main; main()",
            "serve",
            "--port",
            "0",
            "--data-dir",
            data,
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    assert done.returncode not in (0, None), done
    assert "Traceback" not in done.stderr + done.stdout
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    assert len(lines) == 1, lines
    return lines[0]


def test_a_second_server_on_the_same_folder(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        path = create(server, KIB, body=b"x" * 10)
        line = refused(server.data)
        assert "another server" in line
        assert str(server.data) in line
        # The first one has not noticed.
        assert offset(server, path) == 10
        server.kill()
        # A lock file is left, and nobody holds it.
        server.start()
        assert offset(server, path) == 10


def foreign(file: Path) -> None:
    """A database of another program."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE uploads (id TEXT)")
        connection.execute("INSERT INTO uploads VALUES ('theirs')")
        connection.commit()


def newer(file: Path) -> None:
    """A database of a later version."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 999")


def damaged(file: Path) -> None:
    """A database whose first page is ours and whose other pages are garbage."""
    content = bytearray(file.read_bytes())
    content[100:] = b"\xa5" * (len(content) - 100)
    file.write_bytes(content)


def short(file: Path) -> None:
    """A database that was cut in the middle."""
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2 + 100])


def text(file: Path) -> None:
    """No database at all."""
    file.write_text("This is a shopping list.\n" * 100, encoding="utf-8")


def folder(file: Path) -> None:
    """Not even a file."""
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("spoil", [foreign, newer, damaged, short, text, folder])
def test_a_database_that_cannot_be_used(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    with serving(tmp_path) as server:
        path = create(server, KIB, body=b"k" * KIB)
        server.terminate()
        database = server.data / "tusfleet.db"
        good = database.read_bytes()
        if spoil is foreign:
            database.unlink()
        spoil(database)
        before = None if database.is_dir() else database.read_bytes()
        line = refused(server.data)
        assert str(database) in line
        assert before is None or database.read_bytes() == before, "it was changed"
        # A restored backup is all it takes.
        database.rmdir() if database.is_dir() else database.unlink()
        database.write_bytes(good)
        server.start()
        assert get(server, path) == b"k" * KIB


def test_a_data_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    assert "taken" in refused(tmp_path / "taken" / "data")
    assert "taken" in refused(tmp_path / "taken")
