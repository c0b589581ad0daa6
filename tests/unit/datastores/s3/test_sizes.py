"""Every upload that S3 can hold fits into its part numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tusfleet.datastores.s3.options import LARGEST_PART, LEAST_PART, MIB, S3Options
from tusfleet.datastores.s3.sizes import LARGEST_OBJECT, PLANNED, Sizes

PLAIN = Sizes(8 * MIB)
RULES = st.builds(
    Sizes,
    part_size=st.sampled_from([LEAST_PART, 8 * MIB, 64 * MIB]),
    most=st.sampled_from([984, 9_984]),
    equal=st.booleans(),
)


def parts_of(rules: Sizes, length: int, *, declared: bool) -> list[int]:
    """Sizes of the parts that an upload sent in one go is cut into."""
    sizes: list[int] = []
    stored = 0
    fixed = rules.full_part(length if declared else None, 0, 1) if rules.equal else None
    while stored < length:
        size = rules.full_part(length if declared else None, stored, len(sizes) + 1, fixed)
        size = min(size, length - stored)
        sizes.append(size)
        stored += size
        assert len(sizes) <= rules.most
    return sizes


@given(RULES, st.integers(1, LARGEST_OBJECT))
def test_a_declared_length_fits_into_the_numbers(rules: Sizes, length: int) -> None:
    length = min(length, rules.capacity(length))
    sizes = parts_of(rules, length, declared=True)
    assert sum(sizes) == length
    assert all(LEAST_PART <= size <= LARGEST_PART for size in sizes[:-1])
    assert not rules.equal or len(set(sizes[:-1])) <= 1


@pytest.mark.parametrize("most", [984, 9_984])
@pytest.mark.parametrize("part_size", [LEAST_PART, 8 * MIB, 64 * MIB])
@pytest.mark.parametrize("equal", [False, True])
def test_the_lengths_at_every_edge_fit_into_the_numbers(most: int, part_size: int, equal: bool) -> None:
    """Where the size of parts begins to grow, where it is bounded, and at the end of the capacity."""
    rules = Sizes(part_size, most, equal=equal)
    planned = int(most * PLANNED)
    edges = [planned * part_size, most * part_size, planned * LARGEST_PART, rules.capacity(1)]
    for length in {min(edge + more, rules.capacity(1)) for edge in edges for more in (-MIB, -1, 0, 1, MIB)}:
        assert sum(parts_of(rules, length, declared=True)) == length


def test_an_unknown_length_reaches_the_largest_object() -> None:
    sizes = parts_of(PLAIN, LARGEST_OBJECT, declared=False)
    assert sum(sizes) == LARGEST_OBJECT
    assert sizes[:998] == [8 * MIB] * 998
    assert sizes[:-1] == sorted(sizes[:-1])
    assert max(sizes) <= LARGEST_PART


def test_short_uploads_have_parts_of_the_size_that_was_asked_for() -> None:
    assert set(parts_of(PLAIN, 64 * 1024 * MIB, declared=True)[:-1]) == {8 * MIB}


@given(RULES.filter(lambda rules: not rules.equal), st.integers(1, LARGEST_OBJECT))
@example(Sizes(LEAST_PART, 984), 984 * LARGEST_PART)
def test_requests_that_end_early_still_leave_numbers_enough(rules: Sizes, length: int) -> None:
    """A client that sends the smallest pieces worth a number comes to the end too."""
    length = min(length, rules.capacity(length))
    stored, number = 0, 1
    while stored < length:
        assert number <= rules.most
        stored += rules.least_part(length, stored, number)
        number += 1


@given(RULES, st.sampled_from([LEAST_PART, 8 * MIB, 64 * MIB, LARGEST_PART]), st.booleans())
def test_an_unknown_length_fits_up_to_the_capacity_that_is_told(rules: Sizes, largest: int, early: bool) -> None:
    rules = replace(rules, largest=max(largest, rules.part_size))
    capacity = rules.capacity()
    fixed = rules.full_part(None, 0, 1) if rules.equal else None
    size_of = rules.least_part if early else rules.full_part
    stored, number = 0, 1
    while stored < capacity:
        assert number <= int(rules.most * PLANNED)
        stored += size_of(None, stored, number, fixed)
        number += 1


def test_without_a_bound_of_memory_every_object_of_s3_can_be_made() -> None:
    assert PLAIN.capacity() == PLAIN.capacity(0) == LARGEST_OBJECT


def test_a_part_takes_at_most_a_quarter_of_the_memory() -> None:
    options = S3Options("bucket", buffer_memory=256 * MIB)
    rules = Sizes.of(options)
    assert rules.full_part(LARGEST_OBJECT, 0, 1) == 64 * MIB
    assert rules.capacity(LARGEST_OBJECT) == 8_985 * 64 * MIB
    # Smaller parts at the beginning cost an upload of unknown length about a tenth of that.
    assert 0.86 < rules.capacity() / rules.capacity(LARGEST_OBJECT) < 0.9
    assert Sizes.of(S3Options("bucket", buffer_memory=4 * 583 * MIB)).capacity(LARGEST_OBJECT) < LARGEST_OBJECT
    assert Sizes.of(S3Options("bucket", buffer_memory=4 * 584 * MIB)).capacity(LARGEST_OBJECT) == LARGEST_OBJECT


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"bucket": ""}, "bucket: it is empty"),
        ({"part_size": MIB}, "part_size: S3 takes parts of 5 MiB to 5 GiB"),
        ({"max_parts": 10_001}, "max_parts: it is 32 to 10,000"),
        ({"buffer_memory": 9 * MIB}, "buffer_memory: it holds at least two parts"),
        ({"checksum": "md5"}, "checksum: there are crc32, crc32c, crc64nvme and none"),
        ({"key_template": "{nonsense}"}, "key_template: "),
        ({"key_prefix": "/a"}, "key_prefix: "),
    ],
)
def test_options_out_of_range_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        S3Options(**{"bucket": "bucket", **wrong})  # type: ignore[arg-type]
