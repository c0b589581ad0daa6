"""Part numbers of two leases never meet, whoever dies when and writes late."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusfleet.datastores.s3.numbers import AHEAD, Numbers
from tusfleet.datastores.s3.placement import S3Placement
from tusfleet.uploads.errors import TooLarge

MOST = 10_000
WINDOW = 8

# What one lease does: how many parts it commits, how many more it sends uncommitted, whether it ends in order, how many
# leases come and go before it without a word, and whether anybody knows which lease follows which.
LEASES = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, WINDOW), st.booleans(), st.integers(0, 2), st.booleans()), max_size=20
)


@given(LEASES)
def test_no_number_is_given_out_twice(leases: list[tuple[int, int, bool, int, bool]]) -> None:
    record = S3Placement(multipart="m", next=2, ahead=AHEAD, fence=1)
    fence, given_out = 1, {1}
    for commits, more, orderly, silent, known in leases:
        fence += silent
        before, fence = fence, fence + 1
        numbers = Numbers(record, fence, before if known else 0, MOST, WINDOW)
        sent = 0
        for _ in range(commits):
            if not numbers.free:
                record = numbers.write(record, quiet=False)
                numbers.committed(record)
            _once(numbers, given_out)
            record = numbers.write(record, quiet=False)
            numbers.committed(record)
        if not orderly:
            while sent < more and numbers.free:
                _once(numbers, given_out)
                sent += 1
        elif commits:
            record = numbers.write(record, quiet=True)


def _once(numbers: Numbers, given_out: set[int]) -> None:
    number = numbers.take()
    assert number not in given_out
    given_out.add(number)


def test_a_lease_that_follows_in_order_costs_no_commit_and_no_number() -> None:
    record = S3Placement(multipart="m", next=6, ahead=AHEAD, fence=40)
    numbers = Numbers(record, 41, 40, MOST, WINDOW)
    assert numbers.free
    assert numbers.take() == 6
    after = numbers.write(record, quiet=True)
    assert (after.next, after.ahead, after.fence) == (7, AHEAD, 41)


def test_a_lease_after_one_that_said_nothing_begins_beyond_its_numbers() -> None:
    record = S3Placement(multipart="m", next=6, ahead=AHEAD, fence=40)
    numbers = Numbers(record, 42, 41, MOST, WINDOW)
    assert not numbers.free
    assert numbers.next == 6 + AHEAD


def test_where_nobody_knows_who_follows_no_numbers_are_wasted() -> None:
    record = S3Placement(multipart="m", next=6, ahead=0)
    for number in range(6, 20):
        numbers = Numbers(record, 0, 0, MOST, WINDOW)
        numbers.committed(numbers.write(record, quiet=False))
        assert numbers.take() == number
        record = numbers.write(record, quiet=True)


def test_an_own_multipart_upload_needs_no_permission() -> None:
    numbers = Numbers(S3Placement(), 7, 0, MOST, WINDOW)
    assert [numbers.take() for _ in range(100)] == list(range(1, 101))


def test_the_end_of_the_numbers_is_said() -> None:
    numbers = Numbers(S3Placement(multipart="m", next=MOST, ahead=0), 1, 0, MOST, WINDOW)
    record = numbers.write(S3Placement(multipart="m"), quiet=False)
    assert record.next == MOST + 1
    numbers.committed(record)
    assert numbers.take() == MOST
    assert numbers.free  # asking leads to the error rather than to notes for ever
    with pytest.raises(TooLarge, match="all part numbers"):
        numbers.take()
