"""Kill -9 at every await point of create, append, finish and concatenate; the upload goes on at another gateway.

What is checked after each death: the offset told is one that the client may go on from, with everything acknowledged;
the upload goes on within the promised time; the object, read past the gateways, has the SHA-256 of the source.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.failure.fleet.deaths import deaths, die, share, traced
from tests.failure.fleet.gateways import need_forks
from tests.failure.fleet.passages import WAYS
from tests.failure.fleet.stores import Place

SHARES = 2


@pytest.mark.parametrize("number", range(SHARES))
@pytest.mark.parametrize("way", WAYS)
def test_kill_at_every_point(place: Place, way: str, number: int, tmp_path: Path) -> None:
    need_forks()
    reached = traced(place, way, tmp_path)
    chosen = share(deaths(reached, every=bool(os.environ.get("X"))), number, SHARES)
    toll = die(place, way, tmp_path, chosen)
    print(len(chosen), len(toll.died), toll.missed, toll.slowest, toll.broken)
    assert not toll.broken
