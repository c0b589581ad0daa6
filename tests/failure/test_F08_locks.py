"""F8: no lock at all, a lock nobody renews, or one that survives the crash of its holder."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from tests.failure.client import KIB, MIB, Wire, ask, create, get, head, held, offset, offset_of, patch, peeked
from tests.failure.forked import serving
from tests.servers import Server, eventually

WRITERS, ROUNDS = 8, 5

AT_ONCE = 1.0
"""Seconds: promise 4 of the product, while the server lives."""


def test_F8_patches_at_the_same_offset_never_mix(server: Server) -> None:
    for _ in range(ROUNDS):
        path = create(server, MIB)
        start = Barrier(WRITERS)

        def write(number: int, path: str = path, start: Barrier = start) -> int:
            start.wait()
            return patch(server, path, 0, bytes([number]) * 300 * KIB).status

        with ThreadPoolExecutor(WRITERS) as threads:
            statuses = list(threads.map(write, range(1, WRITERS + 1)))
        # The others came too late, or had to let go before they had written anything.
        assert set(statuses) <= {204, 409, 423}
        assert statuses.count(204) <= 1
        at = offset(server, path)
        assert 0 < at <= 300 * KIB
        assert patch(server, path, at, bytes(MIB - at)).status == 204
        content = get(server, path)
        assert content[:at] == content[:1] * at, "bytes of several requests stand side by side"
        assert content[at:] == bytes(MIB - at)


def test_F8_a_silent_connection_does_not_keep_its_owner_from_going_on(server: Server) -> None:
    data = bytes(range(256)) * 4 * KIB
    path = create(server, MIB)
    with Wire(server) as silent:
        silent.patch(path, 0, MIB)
        silent.send(data[: 100 * KIB])
        eventually(lambda: held(server, path) == 100 * KIB)
        started = time.monotonic()
        at = offset(server, path)
        assert at == 100 * KIB, "bytes that had arrived were not kept"
        assert patch(server, path, at, data[at:]).status == 204
        assert time.monotonic() - started < AT_ONCE
        assert silent.read("PATCH").status == 423
    assert get(server, path) == data


def test_F8_a_patch_alone_takes_over_from_a_silent_one(server: Server) -> None:
    path = create(server, 3 * KIB)
    with Wire(server) as silent:
        silent.patch(path, 0, 3 * KIB)
        silent.send(bytes(KIB))
        eventually(lambda: held(server, path) == KIB)
        started = time.monotonic()
        answer = patch(server, path, 0, bytes(3 * KIB))
        # It asked for the lock, and what the other one had brought was committed first.
        assert (answer.status, offset_of(answer)) == (409, KIB)
        assert time.monotonic() - started < AT_ONCE


def test_F8_a_termination_does_not_wait_for_a_silent_connection(server: Server) -> None:
    path = create(server, MIB)
    with Wire(server) as silent:
        silent.patch(path, 0, MIB)
        silent.send(bytes(KIB))
        eventually(lambda: held(server, path) == KIB)
        started = time.monotonic()
        assert ask(server, "DELETE", path).status == 204
        assert time.monotonic() - started < AT_ONCE
    assert head(server, path).status == 404


def test_F8_no_lock_survives_its_holder(server: Server) -> None:
    path = create(server, MIB)
    with Wire(server) as cut:
        cut.patch(path, 0, MIB)
        cut.send(bytes(KIB))
        eventually(lambda: held(server, path) == KIB)
        server.restart()
        started = time.monotonic()
        at = offset(server, path)
        assert patch(server, path, at, bytes(MIB - at)).status == 204
        assert time.monotonic() - started < AT_ONCE


def test_F8_a_lock_lasts_as_long_as_its_holder_writes(tmp_path: Path) -> None:
    flags = ("--lock-timeout", "200ms", "--expire-after", "1s", "--checkpoint-interval", "100ms")
    with serving(tmp_path, *flags, "--sweep-interval", "20ms") as server:
        path = create(server, 40 * KIB)
        with Wire(server) as steady:
            steady.patch(path, 0, 40 * KIB)
            for sent in range(40):
                steady.send(bytes(KIB))
                # Somebody who only watches, and the sweeper, take nothing away from it.
                assert peeked(server, path)["offset"] <= (sent + 1) * KIB
                time.sleep(0.05)  # a slow client: all in all it takes longer than its upload may idle
            assert steady.read("PATCH").status == 204
