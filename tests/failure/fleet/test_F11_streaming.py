"""F11: the whole body is buffered in memory, and a dropped connection saves nothing; here with bytes in a bucket."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.failure.client import KIB, MIB, Wire, create, offset, patch
from tests.failure.fleet.gateways import QUICK, ForkedGateway, gateway, need_forks, two_gateways
from tests.failure.fleet.passages import Passage, Sent, finished
from tests.failure.fleet.stores import PART, Place
from tests.failure.test_F11_streaming import memory

pytestmark = pytest.mark.long

BIG = 256 * MIB

BUFFERS = 32 * MIB
"""What a gateway may hold of bodies."""

GROWTH = BUFFERS + 64 * MIB
"""Most memory that a big upload may add: the buffers, and what the allocator keeps."""


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_F11_a_big_body_is_not_held_in_memory(bucket_place: Place, tmp_path: Path, framing: str) -> None:
    need_forks()
    piece = Random(11).randbytes(MIB)
    flags = (*QUICK, "--buffer-memory", str(BUFFERS))
    with gateway(tmp_path / "gateway", bucket_place.backend, *flags, kind=ForkedGateway) as one:
        create(one, 2 * PART, body=bytes(2 * PART))
        before = memory(one, "VmRSS")
        path = create(one, BIG)
        with Wire(one, timeout=120) as wire:
            wire.patch(path, 0, BIG if framing == "length" else None)
            for _ in range(BIG // MIB):
                wire.send(piece) if framing == "length" else wire.send_chunk(piece)
            if framing == "chunks":
                wire.send_chunk(b"")
            assert wire.read("PATCH").status == 204
        assert memory(one, "VmHWM") - before < GROWTH
        finished(one, bucket_place, path, piece * (BIG // MIB))


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_F11_a_dropped_connection_keeps_every_byte(bucket_place: Place, tmp_path: Path, framing: str) -> None:
    """Asked for at another gateway: what is kept in the record, as a tail, and as a part with a tail."""
    need_forks()
    data = Random(11).randbytes(3 * PART)
    with two_gateways(tmp_path, bucket_place.backend, *QUICK) as (first, second):
        for size in (1, 1000, 300 * KIB + 1, PART + 17, 2 * PART):
            print(size)
            sent = Sent(Passage(second, second), data, path=create(first, len(data)))
            with Wire(first) as wire:
                wire.patch(sent.path, 0, len(data) if framing == "length" else None)
                wire.send(data[:size]) if framing == "length" else wire.send_chunk(data[:size])
            # Hung up with the last byte, and asked for at once: all that had been handed to the network counts.
            assert offset(first, sent.path) == size
            assert offset(second, sent.path) == size
            assert patch(second, sent.path, size, data[size:]).status == 204
            sent.check(bucket_place)
