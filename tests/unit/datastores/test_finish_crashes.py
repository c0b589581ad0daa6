from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

import tusfleet

CHECKOUT = Path(__file__).parents[3]


@pytest.mark.anyio
@pytest.mark.parametrize("afterwards", ["finish", "abort"])
@pytest.mark.parametrize("scenario", ["plain", "sidecar", "empty", "final", "without links"])
async def test_a_crash_before_any_change_of_a_finish_is_repaired(
    tmp_path: Path, scenario: str, afterwards: str
) -> None:
    package = Path(tusfleet.__file__).parents[1]
    script = Path(__file__).with_name("finish_crashes.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable, script, tmp_path, scenario, afterwards,
        env={**os.environ, "PYTHONPATH": f"{package}{os.pathsep}{CHECKOUT}"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, errors.decode()
    assert int(output) >= 3
