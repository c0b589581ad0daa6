"""docs/operator-capabilities.md names tests that exist, and every rule has one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "operator-capabilities.md"

FOLDERS = {"c/": "tests/cluster/", "u/": "tests/unit/operator/"}

ROWS = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ") and "::" in line]


def test_there_are_rules_on_every_level() -> None:
    levels = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert [level.partition(":")[0] for level in levels] == ["Level I", "Level II", "Level III", "Level IV", "Level V"]
    assert all(level.count("::") >= 5 for level in levels)


@pytest.mark.parametrize("row", ROWS, ids=[row.split("|")[1].strip() for row in ROWS])
def test_the_tests_of_a_rule_exist(row: str) -> None:
    named = re.findall(r"`([cu]/)([\w/]+\.py)::(\w+)`", row)
    assert named
    for prefix, file, name in named:
        tree = ast.parse((ROOT / FOLDERS[prefix] / file).read_bytes())
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in functions, f"{file} has no {name}"
