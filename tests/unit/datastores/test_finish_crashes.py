from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

import tusfleet

CHECKOUT = Path(__file__).parents[3]


@pytest.mark.anyio
@pytest.mark.parametrize("leases", ["process", "redis"])
@pytest.mark.parametrize("afterwards", ["finish", "abort"])
@pytest.mark.parametrize("scenario", ["plain", "sidecar", "empty", "final", "without links"])
async def test_a_crash_before_any_change_of_a_finish_is_repaired(
    tmp_path: Path, scenario: str, afterwards: str, leases: str
) -> None:
    assert int(await _run("finish_crashes.py", tmp_path, scenario, afterwards, leases)) >= 3


@pytest.mark.anyio
@pytest.mark.parametrize("afterwards", ["finish", "abort"])
@pytest.mark.parametrize("scenario", ["plain", "sidecar", "empty", "final", "without links"])
async def test_who_was_frozen_before_any_change_of_a_finish_changes_nothing_later(
    tmp_path: Path, scenario: str, afterwards: str
) -> None:
    assert int(await _run("finish_freezes.py", tmp_path, scenario, "finish", afterwards)) >= 3


@pytest.mark.anyio
@pytest.mark.parametrize("scenario", ["plain", "sidecar", "unrecorded"])
async def test_who_was_frozen_before_any_change_of_an_end_changes_nothing_later(tmp_path: Path, scenario: str) -> None:
    assert int(await _run("finish_freezes.py", tmp_path, scenario, "abort", "abort")) >= 2


async def _run(script: str, *arguments: object) -> bytes:
    """Run one of the scripts beside this module; gives what it printed."""
    package = Path(tusfleet.__file__).parents[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, Path(__file__).with_name(script), *map(str, arguments),
        env={**os.environ, "PYTHONPATH": f"{package}{os.pathsep}{CHECKOUT}"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, errors.decode()
    return output
