"""F8: no lock at all, a lock nobody renews, or one that survives the crash of its holder; here between gateways."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from random import Random
from threading import Barrier

import pytest

from tests.failure.client import KIB, MIB, Wire, create, metrics, offset, patch, peeked
from tests.failure.fleet.gateways import LEASE_TTL, QUICK, need_forks, two_gateways
from tests.failure.fleet.passages import Passage, Sent, finished
from tests.failure.fleet.stores import PART, Place
from tests.servers import eventually

pytestmark = pytest.mark.long

WRITERS, ROUNDS = 8, 3

SPARE_SECONDS = 3.0
"""What a busy machine may add."""


@pytest.mark.parametrize("size", [300 * KIB, PART + MIB], ids=["a tail", "a part"])
def test_F08_patches_at_the_same_offset_of_several_gateways_never_mix(
    bucket_place: Place, tmp_path: Path, size: int
) -> None:
    need_forks()
    with two_gateways(tmp_path, bucket_place.backend, *QUICK) as (first, second):
        servers = (first, second)
        for _ in range(ROUNDS):
            path = create(first, 2 * size)
            start = Barrier(WRITERS)

            def write(number: int, path: str = path, start: Barrier = start) -> int:
                start.wait()
                return patch(servers[number % 2], path, 0, bytes([number]) * size).status

            with ThreadPoolExecutor(WRITERS) as threads:
                statuses = list(threads.map(write, range(1, WRITERS + 1)))
            # The others came too late, or had to let go.
            assert set(statuses) <= {204, 409, 423}
            assert statuses.count(204) <= 1
            at = offset(second, path)
            assert 0 < at <= size
            rest = bytes(2 * size - at)
            assert patch(first, path, at, rest).status == 204
            content = [bytes([number]) * at + rest for number in range(1, WRITERS + 1)]
            told = bucket_place.sha256(path.rpartition("/")[2])
            assert told in {sha256(data).hexdigest() for data in content}, (
                "bytes of several requests stand side by side"
            )


def test_F08_a_lease_lasts_as_long_as_its_holder_writes(bucket_place: Place, tmp_path: Path) -> None:
    need_forks()
    data = Random(8).randbytes(40 * KIB)
    with two_gateways(tmp_path, bucket_place.backend, *QUICK) as (first, second):
        path = create(first, len(data))
        with Wire(first) as steady:
            steady.patch(path, 0, len(data))
            for start in range(0, len(data), KIB):
                steady.send(data[start : start + KIB])
                # Who only watches takes nothing away from it.
                assert peeked(second, path)["offset"] <= start + KIB
                time.sleep(4 * LEASE_TTL / 40)  # a slow client: four times as slow as a lease is long
            assert steady.read("PATCH").status == 204
        finished(second, bucket_place, path, data)
        assert metrics(first)["tusfleet_leases_lost_total"] == 0


def test_F08_no_lease_survives_its_holder_for_long(bucket_place: Place, tmp_path: Path) -> None:
    """With the usual time to live it is F2 that tells: under ten seconds."""
    need_forks()
    data = Random(8).randbytes(PART + 2 * MIB)
    with two_gateways(tmp_path, bucket_place.backend, *QUICK) as (first, second):
        sent = Sent(Passage(first, second), data, path=create(first, len(data)))
        with sent.hang(PART + MIB, promised=len(data)):
            eventually(lambda: peeked(second, sent.path)["offset"] > 0)
            first.kill()
            sent.passage.died = began = time.monotonic()
            sent.recover_after(PART + MIB)
            assert time.monotonic() - began < LEASE_TTL + SPARE_SECONDS
        sent.send(len(data))
        sent.check(bucket_place)
