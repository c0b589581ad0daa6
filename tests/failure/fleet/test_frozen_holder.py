"""A holder is frozen past the end of its lease, the upload is finished elsewhere, the holder is thawed.

Nothing changes then: what it still sends to the store is referenced by nobody, its commits are refused and counted.
"""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.failure.client import MIB, create, metrics, offset, peeked
from tests.failure.fleet.deaths import SEED, Death, chosen, cleared, traced
from tests.failure.fleet.gateways import QUICK, ForkedGateway, ImpatientGateway, gateway, need_forks
from tests.failure.fleet.passages import GONE, WAYS, Passage, Sent, finished
from tests.failure.fleet.points import FREEZE_AT
from tests.failure.fleet.stores import EVERY, PART, Place
from tests.servers import Server, eventually

pytestmark = pytest.mark.long

FENCED = "tusfleet_fenced_commits_total"

AT_ONCE = 8
"""Freezes that are tried at the same time: nearly all of what they take is waiting."""

ONE_OF = 1 if EVERY else 3
"""Of the deaths that a store has, so many are tried as freezes, by themselves."""


@pytest.mark.parametrize("offered", [1, PART], ids=["a byte", "a part"])
def test_a_thawed_holder_changes_nothing(place: Place, tmp_path: Path, offered: int) -> None:
    need_forks()
    numbers = Random(offered)
    data, others = numbers.randbytes(3 * PART), numbers.randbytes(MIB)
    with (
        gateway(tmp_path / "frozen", place.backend, *QUICK, kind=ForkedGateway) as frozen,
        gateway(tmp_path / "second", place.backend, *QUICK, kind=ForkedGateway) as second,
    ):
        sent = Sent(Passage(frozen, second), data, path=create(frozen, len(data)))
        with sent.hang(PART + MIB, promised=len(data)) as wire:
            eventually(lambda: peeked(second, sent.path)["offset"] > 0)
            wire.send(data[PART + MIB : PART + MIB + offered])
            frozen.process.send_signal(signal.SIGSTOP)
            sent.passage.died = 0.0  # as far as its client can tell
            sent.recover_after(PART + MIB + offered)
            sent.send(len(data))
            sent.check(place)
            before = _state(second, place, sent.path)
            frozen.process.send_signal(signal.SIGCONT)
            # Bytes that were on their way, and are not those that the client sent again.
            wire.offer(others)
            with suppress(*GONE):
                assert wire.read("PATCH").status in (423, 503)
        eventually(lambda: metrics(frozen)[FENCED] > 0)
        assert offset(frozen, sent.path) == len(data)
        assert _state(second, place, sent.path) == before
        finished(second, place, sent.path, data)
    cleared(place, tmp_path)
    assert place.sha256(sent.name) == sent.sha256


def test_frozen_at_every_point(place: Place, tmp_path: Path) -> None:
    """By itself a run freezes a gateway at a third of the points at which it kills one elsewhere."""
    need_forks()
    reached = traced(place, "several requests", tmp_path)
    freezes = chosen(reached, place.kind, every=EVERY, share=0, of=ONE_OF)
    fenced = []
    with gateway(tmp_path / "second", place.backend, *QUICK, kind=ForkedGateway) as second:

        def one(number: int) -> str | None:
            try:
                fenced.append(_freeze(place, tmp_path / f"{number}", freezes[number], second))
            except (AssertionError, *GONE) as failure:
                return f"{freezes[number]}: {failure!r}"
            return None

        with ThreadPoolExecutor(AT_ONCE) as threads:
            broken = [found for found in threads.map(one, range(len(freezes))) if found]
    print(f"{len(freezes)} freezes; {sum(fenced):g} commits of thawed holders were refused")
    assert not broken, "\n".join(broken)
    assert sum(fenced) > 0
    cleared(place, tmp_path)


def _freeze(place: Place, folder: Path, freeze: Death, second: Server) -> float:
    """Freeze a gateway at a point, finish its upload elsewhere, thaw it; gives how many commits it was refused."""
    with gateway(folder, place.backend, *QUICK, kind=ImpatientGateway, **{FREEZE_AT: str(freeze)}) as frozen:
        try:
            ((path, data),) = WAYS["several requests"](Passage(frozen, second), place, Random(SEED)).items()
            before = peeked(second, path)
        finally:
            frozen.process.send_signal(signal.SIGCONT)
        # Its request is over once its client's connection is closed on its side too: this one is all there is.
        counts = eventually(lambda: found if (found := metrics(frozen))["tusfleet_connections_open"] == 1 else None)
        assert peeked(second, path) == before
        finished(second, place, path, data)
        return counts[FENCED]


def _state(server: Server, place: Place, path: str) -> tuple[Any, dict[str, str]]:
    """The record of an upload, and the finished objects."""
    names = [name for name in place.objects() if not name.startswith(".tails/")]
    return peeked(server, path), {name: place.sha256(name) for name in names}
