"""The conformance list is complete: every row has a test that carries its name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

NUMBERS = [
    *range(1, 27),  # core
    *range(30, 44),  # creation
    *range(50, 65),  # creation-defer-length
    *range(70, 80),  # creation-with-upload
    *range(80, 89),  # expiration
    90,
    *range(100, 113),  # checksum and checksum-trailer
    *range(120, 127),  # termination
    *range(130, 150),  # concatenation
    *range(150, 155),  # concatenation-unfinished
]

ROWS = {f"A{number}" for number in NUMBERS}
"""Every row there is."""

_NAME = re.compile(r"test_(A[0-9]+)_[a-z0-9_]+")


def named() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every test of this folder, by the row that its name carries; "" for those that carry none."""
    for file in Path(__file__).parent.glob("test_*.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                match = _NAME.fullmatch(node.name)
                yield (match[1] if match else ""), node


def test_every_row_has_a_test() -> None:
    assert len(ROWS) == 120
    assert {row for row, _ in named() if row} == ROWS


def test_every_test_of_a_row_asserts_something() -> None:
    asserting = re.compile(r"\bassert\b|\bassert_[a-z_]+\(|\brefused\(|\bunchanged\(|\bnothing_happens\(")
    silent = [node.name for _, node in named() if not asserting.search(ast.unparse(node))]
    assert silent == []


def test_no_test_is_skipped_or_expected_to_fail() -> None:
    marks = [f"{node.name}: {mark}" for _, node in named() for mark in map(ast.unparse, node.decorator_list)]
    assert [mark for mark in marks if "skip" in mark or "xfail" in mark] == []


def test_nothing_here_looks_inside_the_server() -> None:
    for file in Path(__file__).parent.glob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        modules += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
        assert not [module for module in modules if module.split(".")[0] == "tusfleet"], file.name
