"""The program by which `helm test` asks operators, against what an operator answers."""

from __future__ import annotations

import asyncio
import os
import random
import sys

import pytest

from scripts.charts import OPERATOR
from tests.testbed.ports import reserved_port
from tusfleet_operator.engine.health import Health
from tusfleet_operator.engine.queue import WorkQueue
from tusfleet_operator.metrics import Metrics

PROGRAM = OPERATOR / "files" / "check_operator.py"


async def asked(health: Health, patience: str) -> tuple[int | None, str]:
    """Status of the program, and what it said."""
    with reserved_port() as port:
        async with health.serving(port):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(PROGRAM),
                env={**os.environ, "OPERATOR_HOST": "127.0.0.1", "OPERATOR_PORT": str(port), "PATIENCE": patience},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            said, _ = await process.communicate()
            return process.returncode, said.decode()


@pytest.mark.anyio
async def test_one_that_is_ready_and_leads_is_enough() -> None:
    metrics = Metrics("0")
    health = Health(metrics, WorkQueue(random.Random(1)))
    health.listed()
    metrics.leading.set(1)
    assert await asked(health, "60") == (0, "Operators: 1 ready, 1 leads\n")


@pytest.mark.anyio
async def test_nobody_leads() -> None:
    health = Health(Metrics("0"), WorkQueue(random.Random(1)))
    health.listed()
    status, said = await asked(health, "0")
    assert status != 0
    assert "No operator leads: 1 ready, 0 leads" in said


@pytest.mark.anyio
async def test_one_that_misses_rights_says_so_elsewhere() -> None:
    health = Health(Metrics("0"), WorkQueue(random.Random(1)))
    health.may_not(["it may not list secrets"])
    status, said = await asked(health, "0")
    assert status != 0
    assert "503" in said
