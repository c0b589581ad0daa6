"""A list of which an info store keeps the beginning: what was added is found, whatever each side knows of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusfleet.uploads.growing import Growing

ENTRIES = st.lists(st.integers(0, 3), max_size=6)


def known_from(entries: list[int], kept: int) -> Growing:
    """The list without its first `kept` entries."""
    return Growing(entries[kept:], kept, entries[kept - 1] if kept else None)


@given(entries=ENTRIES, added=ENTRIES, data=st.data())
def test_what_was_added_is_found(entries: list[int], added: list[int], data: st.DataObject) -> None:
    before = known_from(entries, data.draw(st.integers(0, len(entries))))
    after = known_from(entries + added, data.draw(st.integers(0, len(entries))))
    assert after.since(before) == added
    assert len(after) == len(entries) + len(added)


@given(entries=ENTRIES, kept=st.integers(0, 6))
def test_it_comes_back_from_a_placement(entries: list[int], kept: int) -> None:
    grown = known_from(entries, min(kept, len(entries)))
    assert Growing.of({"parts": grown.json()}) == grown
    assert grown.end == (entries[-1] if entries else None)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Growing([1, 2]), Growing([1, 3])),
        (Growing([1, 2]), Growing([1])),
        (Growing([1, 2]), Growing([3], 2, 1)),
        (Growing([], 2, 2), Growing([1])),
        (Growing([], 2, 2), Growing([1, 3])),
        (Growing([], 2, 2), Growing([], 2, 3)),
        (Growing([3], 2, 2), Growing([4], 2, 2)),
        (Growing([1]), Growing([], 2, 2)),
    ],
)
def test_another_list_is_not_this_one_grown(before: Growing, after: Growing) -> None:
    assert after.since(before) is None


@pytest.mark.parametrize(
    "value", [None, {"kept": 1}, {"kept": "1", "last": 1, "more": []}, {"kept": 1, "last": 1, "more": 1}]
)
def test_whatever_else_stands_there_is_no_such_list(value: object) -> None:
    assert Growing.of({"parts": value}) == Growing()
