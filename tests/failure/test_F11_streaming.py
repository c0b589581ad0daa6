"""F11: the whole body is buffered in memory, and a dropped connection saves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.failure.client import KIB, MIB, Wire, create, get, offset, patch
from tests.servers import Server

BIG = 512 * MIB

GROWTH = 64 * MIB
"""Most memory that a big upload may add: some batches on their way, and what the allocator keeps of them."""


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_F11_a_big_body_is_not_held_in_memory(server: Server, framing: str) -> None:
    warm = create(server, 8 * MIB, body=bytes(8 * MIB))
    assert offset(server, warm) == 8 * MIB
    before = memory(server, "VmRSS")
    path = create(server, BIG)
    piece = bytes(MIB)
    with Wire(server, timeout=120) as wire:
        wire.patch(path, 0, BIG if framing == "length" else None)
        for _ in range(BIG // MIB):
            wire.send(piece) if framing == "length" else wire.send_chunk(piece)
        if framing == "chunks":
            wire.send_chunk(b"")
        assert wire.read("PATCH").status == 204
    assert memory(server, "VmHWM") - before < GROWTH


@pytest.mark.parametrize("sent", [1, 1000, 64 * KIB + 1, 3 * MIB + 17])
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_F11_a_dropped_connection_keeps_every_byte(server: Server, sent: int, framing: str) -> None:
    data = bytes(range(251)) * (8 * MIB // 251)
    path = create(server, len(data))
    with Wire(server) as wire:
        wire.patch(path, 0, len(data) if framing == "length" else None)
        if framing == "length":
            wire.send(data[:sent])
        else:
            wire.send_chunk(data[:sent])
    # Hung up with the last byte, and asked for at once: everything that had been handed to the network counts.
    assert offset(server, path) == sent
    assert patch(server, path, sent, data[sent:]).status == 204
    assert get(server, path) == data


def test_F11_every_drop_of_many_keeps_its_bytes(server: Server) -> None:
    data = bytes(range(256)) * 4 * KIB
    path, at = create(server, len(data)), 0
    while at < len(data):
        size = min(37 * KIB + 11, len(data) - at)
        with Wire(server) as wire:
            wire.patch(path, at, len(data) - at)
            wire.send(data[at : at + size])
        at += size
        assert offset(server, path) == at
    assert get(server, path) == data


def memory(server: Server, figure: str) -> int:
    """A figure of the process in bytes: VmRSS what it has now, VmHWM the most it ever had."""
    status = Path(f"/proc/{server.process.pid}/status")
    if not status.exists():
        pytest.skip("there is no /proc to read the memory of a process from")
    for line in status.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{figure}:"):
            return int(line.split()[1]) * KIB
    raise AssertionError(f"there is no {figure}")
