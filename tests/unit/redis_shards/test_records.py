from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kits.infostore import FULL, event, record
from tusfleet.redis_shards.records import changed, event_of, event_text, stored, upload_of
from tusfleet.uploads.growing import Growing
from tusfleet.uploads.models import JSON as JSON_VALUE
from tusfleet.uploads.models import Upload

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
PLACEMENTS = st.dictionaries(st.sampled_from(["parts", "key", ""]), JSON, max_size=3)


MARKS = st.builds(
    lambda kept, last, more: Growing(more, kept, last), st.integers(1, 9), JSON, st.lists(JSON, max_size=2)
)


def back(upload: Upload) -> Upload:
    kept = stored(upload)
    return upload_of(upload.id, kept.flat(), (kept.known, kept.last, kept.parts))


def test_a_record_in_which_every_field_says_something_comes_back() -> None:
    assert back(FULL) == FULL
    assert event_of(event_text(event("e", FULL))) == event("e", FULL)


@given(placement=PLACEMENTS, tenant=st.none() | st.text(max_size=5))
def test_any_placement_comes_back(placement: dict[str, object], tenant: str | None) -> None:
    upload = record("a", placement=placement, tenant=tenant)
    assert back(upload) == upload
    assert event_of(event_text(event("e", upload))).upload == upload


@given(mark=MARKS)
def test_an_event_may_tell_of_a_record_without_its_parts(mark: Growing) -> None:
    upload = record("a", placement={"key": "a", "parts": mark.json()})
    assert event_of(event_text(event("e", upload))).upload == upload


@given(entries=st.lists(JSON, max_size=4))
def test_a_record_is_given_without_its_parts_and_can_be_told_from_others(entries: list[object]) -> None:
    upload = record("a", placement={"key": "a", "parts": entries})
    kept = stored(upload)
    given = upload_of("a", kept.flat(), (kept.known, kept.last, ()))
    assert len(Growing.of(given.placement)) == len(entries)
    again = stored(given)
    assert (again.fields, again.known, again.last) == (kept.fields, kept.known, kept.last)
    assert not again.parts


def kept(last: int, *more: int) -> JSON_VALUE:
    """Entries 1 to `last`, of which none is here, and more."""
    return Growing(list(more), last, last).json()


@pytest.mark.parametrize(
    ("before", "after", "way", "sent"),
    [
        ({"parts": [1]}, {"parts": [1, 2]}, "append", ["2"]),
        ({"parts": [1], "tail": 1}, {"parts": [1]}, "append", []),
        ({"parts": [1, 2]}, {"parts": [1, 3]}, "replace", ["1", "3"]),
        ({"parts": [1, 2]}, {"parts": [1]}, "replace", ["1"]),
        ({}, {"parts": [1]}, "replace", ["1"]),
        ({"parts": [1]}, {}, "replace", []),
        ({"parts": {"1": 2}}, {"parts": {"1": 3}}, "replace", []),
        ({"parts": kept(1)}, {"parts": kept(1, 2)}, "append", ["2"]),
        ({"parts": kept(1, 2)}, {"parts": kept(1, 2, 3)}, "append", ["3"]),
        ({"parts": [1, 2]}, {"parts": kept(1, 2, 3)}, "append", ["3"]),
        ({"parts": kept(1)}, {"parts": [1, 2]}, "append", ["2"]),
        ({"parts": kept(1)}, {}, "replace", []),
    ],
)
def test_only_parts_that_are_new_are_sent(
    before: dict[str, object], after: dict[str, object], way: str, sent: list[str]
) -> None:
    change = changed(replace(record("a"), placement=before), {"placement": after})
    assert (change.way, list(change.parts)) == (way, sent)
