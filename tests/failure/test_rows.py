"""Every way in which other servers go wrong (F1 to F20) has tests whose names say so.

The rows that are about a fleet have them between gateways too, on Redis with each S3 server. This is their list:
`pytest tests/failure/test_rows.py -s` prints it.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]

ROWS = {
    1: "completing the object fails once, and the retry is told of an object that is never there",
    2: "a half-open PATCH at another replica overwrites a part: right size, wrong bytes",
    3: "one of several parts fails, and the offset is the sum of the others",
    4: "the tail is deleted before its bytes are stored elsewhere",
    5: "slow clients block every other upload",
    6: "a download holds the lock, or is cut",
    7: "a multipart upload is aborted behind our back, and the upload is called complete",
    8: "no lock, a lock that nobody renews, or one that survives its holder",
    9: "after a kill and a resume the file is longer than the upload",
    10: "the body is written before the request is authorised",
    11: "the body is held in memory, and a dropped connection saves nothing",
    12: "one blocking call freezes every client",
    14: "nothing expires, or finished files do, or what belongs to others",
    15: "state in metadata, which clients inject",
    16: "a limit is bypassed, or bytes are taken beyond the length",
    17: "active content is shown in place",
    19: "error texts as labels, no histogram, no readiness",
    20: "a malformed header ends the process",
}
"""By number. F13 is about hooks and events, F18 about a chart: those have tests of their own."""

OF_A_FLEET = {*range(1, 13), 14, 16}

ON_BOTH = {"place", "bucket_place", "lone_bucket_place", "bucket", "limited"}
"""Fixtures that run a test on each S3 server in turn."""

BETWEEN_GATEWAYS = ("failure/fleet/", "integration/test_fleet_memory.py")

_NAME = re.compile(r"test_F(\d+)_")


def named() -> dict[int, dict[str, set[str]]]:
    """By row: the tests that name it, as `file::name`, with their fixtures."""
    found: dict[int, dict[str, set[str]]] = defaultdict(dict)
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (match := _NAME.match(node.name)):
                fixtures = {argument.arg for argument in node.args.args}
                found[int(match[1])][f"{path.relative_to(TESTS).as_posix()}::{node.name}"] = fixtures
    return found


def test_every_row_has_tests_that_name_it() -> None:
    found = named()
    for row, what in ROWS.items():
        print(f"F{row}: {what}")
        for name in found[row]:
            print(f"    {name}")
    assert not (missing := [f"F{row}" for row in ROWS if not found[row]]), missing
    assert not (unknown := found.keys() - ROWS.keys()), unknown


@pytest.mark.parametrize("row", sorted(OF_A_FLEET))
def test_rows_of_a_fleet_have_tests_between_gateways_on_both_s3_servers(row: int) -> None:
    between = {name: fixtures for name, fixtures in named()[row].items() if name.startswith(BETWEEN_GATEWAYS)}
    assert between
    assert any(fixtures & ON_BOTH for fixtures in between.values()), between
