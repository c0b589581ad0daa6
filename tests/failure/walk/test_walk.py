"""Random steps on three gateways while things break; a model knows what must hold after each.

`TUSFLEET_TEST_SEED=7 TUSFLEET_TEST_WALK_SECONDS=300 make test ARGS=tests/failure/walk` walks longer, by another seed.
The steps of a client follow from the seed and from the answers that it got; when things happen is up to the machine.
"""

from __future__ import annotations

import os
import secrets

import pytest

from tests.failure.walk.ground import Ground
from tests.failure.walk.walk import walk
from tests.servers import Server

pytestmark = pytest.mark.long

SECONDS = float(os.environ.get("TUSFLEET_TEST_WALK_SECONDS", "20"))
"""Of one walk, without its ending: with three kinds of stores, a minute in all."""

SEED = os.environ.get("TUSFLEET_TEST_SEED") or secrets.token_hex(4)

TIMEOUT = 240 + 2 * SECONDS
"""Of a walk with its ending, in which all that it has uploaded is finished, read and compared."""


@pytest.mark.timeout(TIMEOUT)
def test_a_random_walk_breaks_no_promise(ground: tuple[Ground, Server]) -> None:
    fleet, janitor = ground
    print(walk(fleet, janitor, SEED, SECONDS))
