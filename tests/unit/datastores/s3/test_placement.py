"""The placement in a record: what is written is read again, and it stays small."""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusfleet.datastores.s3.checksums import NAMES, Checksum
from tusfleet.datastores.s3.placement import Part, S3Placement, Tail, Whole
from tusfleet.uploads.growing import Growing

MIB = 1024 * 1024
CRC32 = Checksum("crc32", 32, zlib.crc32)

ETAGS = st.one_of(
    st.binary(min_size=16, max_size=16).map(bytes.hex), st.text(min_size=1, max_size=40), st.just("A" * 32)
)
PARTS = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 5 * 1024 * MIB), ETAGS, st.integers(0, 2**32 - 1)))


def through_json(placement: S3Placement) -> S3Placement:
    return S3Placement.of(json.loads(json.dumps(placement.json())))


@given(PARTS)
def test_parts_are_read_as_they_were_written(steps: list[tuple[int, int, str, int]]) -> None:
    placement, parts, number = S3Placement(bucket="b", key="k", multipart="m"), [], 0
    for gap, size, etag, value in steps:
        number += gap
        part = Part(number, size, etag, CRC32.encode(value))
        before = placement.parts
        placement = placement.with_part(part, value)
        parts.append(part)
        assert placement.parts[:-1] == before
    again = through_json(placement)
    assert again == placement
    assert list(again.all_parts()) == parts
    assert again.size == sum(part.size for part in parts)


@given(st.one_of(st.none(), st.binary(max_size=100)), st.lists(st.text(max_size=20)))
def test_tails_strays_and_the_rest_survive_the_record(data: bytes | None, strays: list[str]) -> None:
    tail = Tail(7, "AAAAAA==", data, None if data is not None else "tails/x")
    placement = S3Placement("b", "k", "m", next=5, ahead=4, fence=9, tail=tail, strays=tuple(strays), part_size=MIB)
    assert through_json(placement) == placement
    whole = placement.as_whole("k", Whole(7, "etag", "AAAAAA=="))
    assert through_json(whole) == whole
    assert whole.size == 7


@given(PARTS, st.integers(0, 6))
def test_parts_are_added_without_those_that_the_store_keeps(steps: list[tuple[int, int, str, int]], split: int) -> None:
    whole = given_back = S3Placement(bucket="b", key="k", multipart="m")
    number = 0
    for index, (gap, size, etag, value) in enumerate(steps):
        number += gap
        part = Part(number, size, etag, CRC32.encode(value))
        if index == split:
            listed = Growing((), len(whole.parts), whole.parts[-1] if whole.parts else None)
            given_back = S3Placement.of({**whole.json(), "parts": listed.json()})
        whole, given_back = whole.with_part(part, value), given_back.with_part(part, value)
    again = through_json(given_back)
    assert again == given_back
    assert again.size == whole.size
    assert len(again.kept) + len(again.parts) == whole.count
    assert (again.last_number, again.last_size, again.checksum) == (whole.last_number, whole.last_size, whole.checksum)
    assert whole.parts[len(again.kept) :] == again.parts
    if again.kept:
        with pytest.raises(ValueError, match="without its parts"):
            list(again.all_parts())


def test_what_a_hook_puts_there_is_kept() -> None:
    assert S3Placement.of({"bucket": "other", "key": "a/b"}) == S3Placement(bucket="other", key="a/b")
    assert S3Placement.of({}).json() == {}


def test_a_tail_that_is_replaced_becomes_a_stray() -> None:
    placement = S3Placement(tail=Tail(5, key="tails/1"))
    for after in (placement.with_tail(Tail(9, key="tails/2")), placement.with_part(Part(1, 9, "e"), 0)):
        assert after.strays == ("tails/1",)
    assert replace(placement, tail=Tail(3, data=b"abc")).with_part(Part(1, 9, "e"), 0).strays == ()


def test_ten_thousand_parts_stay_small() -> None:
    placement = S3Placement(bucket="b", key="k", multipart="m")
    for number in range(1, 10_001):
        digest = hashlib.md5(b"%d" % number, usedforsecurity=False).hexdigest()
        placement = placement.with_part(Part(number, 8 * MIB, digest, CRC32.encode(zlib.crc32(b"%d" % number))), 0)
    assert len(json.dumps(placement.json())) < 400_000


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_the_checksum_of_two_runs_follows_from_theirs(first: bytes, second: bytes) -> None:
    combined = CRC32.combine(zlib.crc32(first), zlib.crc32(second), len(second))
    assert combined == zlib.crc32(first + second)


@given(st.sampled_from(NAMES), st.binary(max_size=40), st.binary(max_size=40))
def test_every_kind_of_checksum_combines(name: str, first: bytes, second: bytes) -> None:
    kind = Checksum(name, 64 if name == "crc64nvme" else 32, lambda data, value: _by_bits(name, data, value))
    combined = kind.combine(kind.update(first, 0), kind.update(second, 0), len(second))
    assert combined == kind.update(first + second, 0)
    assert kind.decode(kind.encode(combined)) == combined


def test_the_slow_checksums_of_this_test_are_the_known_ones() -> None:
    """Check values of the catalogue of CRCs, for the text 123456789."""
    known = {"crc32": 0xCBF43926, "crc32c": 0xE3069283, "crc64nvme": 0xAE8B14860A799888}
    assert {name: _by_bits(name, b"123456789", 0) for name in NAMES} == known


def _by_bits(name: str, data: bytes, value: int) -> int:
    polynomial = {"crc32": 0xEDB88320, "crc32c": 0x82F63B78, "crc64nvme": 0x9A6C9329AC4BC9B5}[name]
    ones = (1 << (64 if name == "crc64nvme" else 32)) - 1
    value ^= ones
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (polynomial if value & 1 else 0)
    return value ^ ones
