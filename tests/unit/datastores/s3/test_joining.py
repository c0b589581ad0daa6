"""Whatever is joined, its parts have every byte once, in order, and S3 takes each of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusfleet.datastores.s3.joining import COPIED_BYTES, Piece, Span, pieces
from tusfleet.datastores.s3.options import LARGEST_PART, LEAST_PART, MIB, S3Options
from tusfleet.datastores.s3.sizes import Sizes
from tusfleet.uploads.errors import TooLarge

LENGTHS = st.lists(
    st.one_of(
        st.sampled_from([0, 1, LEAST_PART - 1, LEAST_PART, LEAST_PART + 1, 2 * LEAST_PART, COPIED_BYTES + 1]),
        st.integers(0, 3 * LEAST_PART),
        st.integers(0, 40 * 1024 * MIB),
    ),
    min_size=1,
    max_size=12,
)


def plan(lengths: list[int], **options: int | bool) -> list[Piece]:
    given_options = S3Options("b", **options)  # type: ignore[arg-type]
    return pieces(lengths, given_options, Sizes.of(given_options))


def check(lengths: list[int], planned: list[Piece]) -> None:
    position = dict.fromkeys(range(len(lengths)), 0)
    order = [span for piece in planned for span in piece.spans]
    assert [span.source for span in order] == sorted(span.source for span in order)
    for span in order:
        assert span.size > 0
        assert span.start == position[span.source]
        position[span.source] = span.stop
    assert list(position.values()) == lengths
    for number, piece in enumerate(planned, start=1):
        assert piece.size <= LARGEST_PART
        assert number == len(planned) or piece.size >= LEAST_PART
        if piece.copied:
            (span,) = piece.spans
            # S3 has ranges only of objects above 5 MiB.
            assert span.size == lengths[span.source] or lengths[span.source] > LEAST_PART


@given(LENGTHS)
def test_every_byte_is_in_one_part(lengths: list[int]) -> None:
    planned = plan(lengths)
    check(lengths, planned)
    assert all(piece.copied or piece.size < 2 * LEAST_PART for piece in planned)


@given(st.lists(st.integers(0, 50 * MIB), min_size=1, max_size=8))
def test_every_byte_is_in_one_part_where_all_have_one_size(lengths: list[int]) -> None:
    planned = plan(lengths, equal_parts=True)
    check(lengths, planned)
    assert len({piece.size for piece in planned[:-1]}) <= 1


@given(st.lists(st.integers(LEAST_PART, 9 * MIB), min_size=33, max_size=80))
def test_more_sources_than_parts_are_merged(lengths: list[int]) -> None:
    planned = plan(lengths, max_parts=32)
    check(lengths, planned)
    assert len(planned) <= 32


def test_what_is_large_enough_is_copied_whole() -> None:
    assert plan([6 * MIB, 7 * MIB, 1]) == [
        Piece((Span(0, 0, 6 * MIB),), copied=True),
        Piece((Span(1, 0, 7 * MIB),), copied=True),
        Piece((Span(2, 0, 1),), copied=True),
    ]
    assert plan([0, 0]) == []


def test_a_huge_source_takes_few_parts() -> None:
    tebibytes = 5 * 1024 * 1024 * MIB
    assert len(plan([tebibytes])) <= 10_000
    assert len(plan([tebibytes // 2], max_parts=1_000)) <= 1_000
    assert len(plan([LARGEST_PART + 1])) == 6


def test_what_memory_cannot_merge_is_refused() -> None:
    with pytest.raises(TooLarge, match="buffer_memory"):
        plan([80 * MIB] * 40, max_parts=32)
    with pytest.raises(TooLarge, match="buffer_memory"):
        plan([1024 * MIB] * 40, max_parts=32, equal_parts=True)
