"""The policy in docs/s3.md allows what the code calls, and nothing besides."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "s3.md").read_text(encoding="utf-8")

CALL = re.compile(r'\.(?:call|put)\(\s*"([a-z0-9_]+)"')
PAGED = re.compile(r'_pages\(workshop, "([a-z0-9_]+)"')


def called() -> set[str]:
    """Every operation that the code makes, in the words of S3."""
    found = {"GetObject"}  # `open` and `fetch`
    for path in (ROOT / "services" / "tusfleet" / "datastores" / "s3").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        for operation in CALL.findall(text) + PAGED.findall(text):
            found.add("".join(word.capitalize() for word in operation.split("_")))
    return found


def rows() -> dict[str, str]:
    """The table of the page: operation to action."""
    section = PAGE.partition("## The least rights")[2].partition("```json")[0]
    found: dict[str, str] = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 2 and (action := re.fullmatch(r"`(s3:\w+)`", cells[1])):
            operations = re.findall(
                r"\b(?:[A-Z][a-z]+){2,}(?:V2)?\b", cells[0].partition(", and the")[0].partition(";")[0]
            )
            found |= dict.fromkeys(operations, action[1])
    return found


def allowed() -> set[str]:
    policy = json.loads(PAGE.partition("## The least rights")[2].partition("```json")[2].partition("```")[0])
    return {action for statement in policy["Statement"] for action in statement["Action"]}


def test_every_call_has_its_row_and_every_row_its_call() -> None:
    assert called() == set(rows())


def test_the_policy_allows_what_the_rows_name() -> None:
    assert allowed() == set(rows().values())
