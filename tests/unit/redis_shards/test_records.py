from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kits.infostore import FULL, event, record
from tusfleet.redis_shards.records import changed, event_of, event_text, stored, upload_of
from tusfleet.uploads.models import Upload

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
PLACEMENTS = st.dictionaries(st.sampled_from(["parts", "key", ""]), JSON, max_size=3)


def back(upload: Upload) -> Upload:
    kept = stored(upload)
    return upload_of(upload.id, kept.flat(), kept.parts)


def test_a_record_in_which_every_field_says_something_comes_back() -> None:
    assert back(FULL) == FULL
    assert event_of(event_text(event("e", FULL))) == event("e", FULL)


@given(placement=PLACEMENTS, tenant=st.none() | st.text(max_size=5))
def test_any_placement_comes_back(placement: dict[str, object], tenant: str | None) -> None:
    upload = record("a", placement=placement, tenant=tenant)
    assert back(upload) == upload
    assert event_of(event_text(event("e", upload))).upload == upload


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
    ],
)
def test_only_parts_that_are_new_are_sent(
    before: dict[str, object], after: dict[str, object], way: str, sent: list[str]
) -> None:
    change = changed(replace(record("a"), placement=before), {"placement": after})
    assert (change.way, list(change.parts)) == (way, sent)
