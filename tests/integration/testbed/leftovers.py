"""Looks for what a server of the test bed leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.testbed.processes import group_is_gone, running_programs


@contextmanager
def nothing_left() -> Iterator[list[int]]:
    """Gives a list for the process groups that the block starts; after it, none of them may be left."""
    before = running_programs()
    groups: list[int] = []
    try:
        yield groups
    finally:
        assert groups, "the block was to note what it started"
        assert [pid for pid in groups if not group_is_gone(pid)] == []
        assert running_programs() == before


def files_below(folder: Path) -> set[str]:
    """The names of all files below the folder, but for logs."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.suffix != ".log"}
