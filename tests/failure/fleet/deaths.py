"""Gateways that die at one point each, under an upload that goes on at another gateway."""

from __future__ import annotations

import subprocess
import zlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random

from tests.failure.aftermath import SWEEP_SECONDS
from tests.failure.client import ask
from tests.failure.fleet.gateways import QUICK, SHORT, ForkedGateway, ForkedJanitor, gateway
from tests.failure.fleet.modules import IN_BUCKET, ON_DISK
from tests.failure.fleet.passages import WAYS, Passage
from tests.failure.fleet.points import DIE_AT, TRACE
from tests.failure.fleet.stores import KINDS, Place
from tests.servers import Server, eventually
from tests.testbed.s3 import SERVERS

AT_ONCE = 10
"""Deaths that are tried at the same time: most of what they take is waiting for the lease of the dead."""

SEED = "points"
"""The same bytes every time: a death can be tried again by the name of its point."""


@dataclass(frozen=True, order=True)
class Death:
    """The `count`-th time that a point is reached."""

    point: str
    count: int

    def __str__(self) -> str:
        return f"{self.point}@{self.count}"


@dataclass
class Toll:
    """What came of the deaths of a batch."""

    died: list[Death] = field(default_factory=list)
    missed: list[Death] = field(default_factory=list)
    """Those whose point was not reached so often this time: how bytes arrive and parts take turns is never the same."""
    broken: list[str] = field(default_factory=list)
    sources: set[bytes] = field(default_factory=set)
    """The contents of all objects that may be there."""
    slowest: float = 0.0

    @property
    def left_out(self) -> list[Death]:
        """The first time of each point at which nobody has died: that is reached whenever the point is."""
        dead = {death.point for death in self.died}
        return sorted({Death(death.point, 1) for death in self.missed if death.point not in dead})


def traced(place: Place, way: str, folder: Path) -> Counter[str]:
    """How often each point is reached when nobody dies."""
    if (place.kind, way) in _traced:
        return _traced[place.kind, way]
    trace = folder / "trace"
    with (
        gateway(folder / "first", place.backend, *QUICK, kind=ForkedGateway, **{TRACE: str(trace)}) as first,
        gateway(folder / "second", place.backend, *QUICK, kind=ForkedGateway) as second,
    ):
        WAYS[way](Passage(first, second), place, Random(SEED))
    _traced[place.kind, way] = reached = Counter(trace.read_text().splitlines())
    return reached


def chosen(reached: Counter[str], kind: str, *, every: bool, share: int, of: int) -> list[Death]:
    """The deaths that one test of a kind of store tries.

    Those are the first time that a point is reached, and the last time of every other point; or every time.
    """
    all_deaths = [
        Death(point, count)
        for point, most in sorted(reached.items())
        for count in (range(1, most + 1) if every else sorted({1, most if _number(point) % 2 else 1}))
    ]
    mine = [death for death in all_deaths if every or _kind_for(death) == kind]
    return [death for death in mine if _number(f"{death} share") % of == share]


def _kind_for(death: Death) -> str:
    """One of the kinds of store on which it can happen."""
    module = death.point.partition(":")[0]
    kinds = ("filesystem",) if module in ON_DISK else tuple(SERVERS) if module in IN_BUCKET else KINDS
    return kinds[_number(str(death)) % len(kinds)]


def _number(text: str) -> int:
    """The same in every process, unlike `hash`."""
    return zlib.crc32(text.encode())


def cleared(place: Place, folder: Path) -> None:
    """End what is still open, and see that a janitor leaves nothing but whole objects behind."""
    with gateway(folder / "last", place.backend, *SHORT, kind=ForkedGateway) as last:
        answer = ask(last, "GET", "/api/v1/uploads?state=open&state=finishing&limit=1000")
        assert answer.status == 200, answer
        for upload in answer.json()["uploads"]:
            # A creation whose answer was lost: its client made another one.
            assert ask(last, "DELETE", upload["url"]).status == 204
    place.age()
    sweep = ("--sweep-interval", "100ms", "--s3-abandoned-after", "1s")
    with gateway(folder / "janitor", place.backend, *SHORT, *sweep, kind=ForkedJanitor):
        eventually(lambda: not place.unfinished() and not place.tails(), SWEEP_SECONDS, 0.2)


def die(place: Place, way: str, folder: Path, deaths: Sequence[Death]) -> Toll:
    """Have a gateway die each of these deaths, and see that nothing came of it."""
    toll = Toll()
    with gateway(folder / "second", place.backend, *QUICK, kind=ForkedGateway) as second:
        numbers = count()

        def one(death: Death, number: int) -> None:
            try:
                _die(place, way, folder / f"{number}", death, second, toll)
            except (AssertionError, OSError, EOFError) as failure:
                toll.broken.append(f"{death}: {failure!r}")

        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(one, deaths, numbers))
            list(threads.map(one, toll.left_out, numbers))
    return toll


def _die(place: Place, way: str, folder: Path, death: Death, second: Server, toll: Toll) -> None:
    folder.mkdir()
    first = ForkedGateway(
        folder, *place.backend.flags, *QUICK, environment={**place.backend.environment, DIE_AT: str(death)}
    )
    first.start()
    passage = Passage(first, second)
    try:
        toll.sources |= set(WAYS[way](passage, place, Random(SEED)).values())
        if passage.died is None:
            # What stands behind the last answer may be reached after it.
            first.process.wait(AFTER_ALL_SECONDS)
    except subprocess.TimeoutExpired:
        toll.missed.append(death)
    else:
        toll.died.append(death)
        toll.slowest = max(toll.slowest, passage.takeover)
    finally:
        first.kill()


_traced: dict[tuple[str, str], Counter[str]] = {}

AFTER_ALL_SECONDS = 1.0
"""In which a gateway comes to the last points of a request that was answered."""
