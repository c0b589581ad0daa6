"""A seeded random walk: clients and faults at once, then the reckoning."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

from tests.failure.walk import ending
from tests.failure.walk.client import Client
from tests.failure.walk.faults import Faults
from tests.failure.walk.ground import Ground
from tests.failure.walk.model import Violation
from tests.failure.walk.sources import Source
from tests.servers import Server

CLIENTS = 4

SHOWN_STEPS = 400
"""Of all, when a walk has failed; the whole list is in a file."""


def walk(ground: Ground, janitor: Server, seed: str, seconds: float) -> str:
    """Walk for so long; gives a line that says what was done.

    Raises:
        Violation: with the seed and the steps.
    """
    lost: dict[str, tuple[Source, ...]] = {}
    clients = [Client(f"client{n}", ground, Random(f"{seed}/{n}"), seed, lost) for n in range(CLIENTS)]
    faults = Faults(ground, Random(f"{seed}/faults"))
    timer = threading.Timer(seconds, ground.stop.set)
    timer.start()
    try:
        _together([faults.walk, *(client.walk for client in clients)])
    finally:
        timer.cancel()
    ended = 0
    if not ground.violations:
        ended = _reckon(ground, janitor, clients, lost)
    if ground.violations:
        raise Violation(_told(ground, seed, seconds))
    finished = sum(one.finished for client in clients for one in (*client.uploads, *client.done))
    return (
        f"seed {seed} on {ground.place.kind}: {_steps(clients)}; {faults.told()}; "
        f"{finished} uploads finished, {ended} of lost creations ended; the slowest answer took {ground.slowest:.1f} s"
    )


def _reckon(ground: Ground, janitor: Server, clients: list[Client], lost: dict[str, tuple[Source, ...]]) -> int:
    who = "ending"
    try:
        ending.heal(ground, clients)

        def finished(client: Client) -> Callable[[], None]:
            def run() -> None:
                try:
                    ending.finish_all(client)
                except Violation as violation:
                    ground.broken(client.name, str(violation))

            return run

        _together([finished(client) for client in clients])
        if ground.violations:
            return 0
        alive = ending.compare_all(ground, clients)
        ended = ending.end_unknown(ground, alive, lost)
        ending.nothing_left(ground, clients, janitor)
        ending.logs_are_calm([*ground.gateways, janitor])
    except Violation as violation:
        ground.broken(who, str(violation))
        return 0
    return ended


def _together(runs: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=run) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _steps(clients: Sequence[Client]) -> str:
    taken = sum((client.taken for client in clients), Counter())
    return f"{taken.total()} steps {dict(sorted(taken.items()))}"


def _told(ground: Ground, seed: str, seconds: float) -> str:
    steps = ground.gateways[0].folder.parent / "steps.txt"
    steps.write_text(ground.journal.text())
    variables = f"TUSFLEET_TEST_SEED={seed} TUSFLEET_TEST_WALK_SECONDS={seconds:g}"
    again = f"{variables} make test ARGS='tests/failure/walk -k {ground.place.kind}'"
    whos = Counter(violation.partition(":")[0] for violation in ground.violations)
    return "\n".join(
        [
            *ground.violations,
            f"again: {again}",
            f"all steps: {steps}",
            "--- steps of who found it, and the faults ---",
            ground.journal.text(*whos, Faults.name, last=SHOWN_STEPS),
        ]
    )
