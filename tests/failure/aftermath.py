"""What is left when the clients have gone home: files, records, log lines and counters, compared with each other."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.failure.client import ask, metrics
from tests.servers import Server, eventually
from tusfleet.datastores.filesystem import PROBE

OPEN = {"open", "finishing"}

SWEEP_SECONDS = 15.0
"""In which a sweeper that runs every 100 ms has done whatever there is to do."""


def settled(server: Server) -> None:
    """See that nothing is left but finished uploads, once those are ended that nobody knows the address of."""
    answer = ask(server, "GET", "/api/v1/uploads?state=open&state=finishing&limit=1000")
    assert answer.status == 200, answer
    for upload in answer.json()["uploads"]:
        # A creation whose answer was lost: its client made another one.
        assert ask(server, "DELETE", upload["url"]).status == 204
    eventually(lambda: not tombstones(server.data), SWEEP_SECONDS)
    check(server.data)
    assert partials(server.data) == set()
    assert metrics(server)["tusfleet_offsets_lost_total"] == 0
    assert not (found := complaints(server)), found


def tombstones(data: Path) -> list[dict[str, Any]]:
    """Records of uploads that have ended and are not forgotten yet."""
    return [row for row in records(data) if row["state"] not in {*OPEN, "finished"}]


def complaints(server: Server) -> list[str]:
    """What the server has logged as a failure, or printed past the log, in all of its lives."""
    lines = server.log_file.read_text(errors="replace").splitlines()
    return [line for line in lines if '"level": "info"' not in line and '"level": "warning"' not in line]


def partials(data: Path) -> set[str]:
    """Names of everything in the folder of unfinished bytes but its shards.

    The small file by which a start sees that it can write is none of them: after a death in that moment a later start
    removes it, when it is old enough to be nobody's.
    """
    found = [path for path in (data / "partial").rglob("*") if path.is_file() and not path.name.startswith(PROBE)]
    return {str(path.relative_to(data / "partial")) for path in found}


def files(data: Path) -> set[str]:
    """Names of everything in the folder of finished files."""
    return {str(path.relative_to(data / "files")) for path in (data / "files").rglob("*") if path.is_file()}


def records(data: Path) -> list[dict[str, Any]]:
    """Every record, as it stands in the file."""
    return _rows(data, "SELECT * FROM uploads")


def record(data: Path, id: str) -> dict[str, Any]:
    """One record."""
    return next(row for row in records(data) if row["id"] == id)


def check(data: Path) -> None:
    """See that files and records tell the same; the server must have nothing to do any more."""
    assert [row["integrity_check"] for row in _rows(data, "PRAGMA integrity_check")] == ["ok"]
    rows = records(data)
    unfinished = {row["id"]: row for row in rows if row["state"] in OPEN}
    finished = {json.loads(row["placement"])["key"]: row for row in rows if row["state"] == "finished"}
    sidecars = {f"{key}.json" for key, row in finished.items() if "sidecar" in json.loads(row["placement"])}
    assert files(data) == {*finished, *sidecars}, "finished files and records differ"
    for key, row in finished.items():
        assert (data / "files" / key).stat().st_size == row["offset"] == row["length"], row
    found = {name.rpartition("/")[2]: data / "partial" / name for name in partials(data)}
    assert set(found) <= set(unfinished), "bytes of finished or unknown uploads are left"
    for id, row in unfinished.items():
        assert row["offset"] == 0 or found[id].stat().st_size >= row["offset"], row
    totals = _rows(data, "SELECT uploads, open, reserved FROM store")[0]
    reserved = sum(row["reserved"] for row in rows)
    assert totals == {"uploads": len(rows), "open": len(unfinished), "reserved": str(reserved)}
    assert {path.name for path in data.iterdir()} <= {
        "files", "partial", "lock", "leases", "tusfleet.db", "tusfleet.db-wal", "tusfleet.db-shm",
    }  # fmt: skip


def _rows(data: Path, sql: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(f"{(data / 'tusfleet.db').as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(sql)]
