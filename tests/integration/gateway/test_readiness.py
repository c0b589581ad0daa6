"""Readiness while the disk does not answer."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from tests.contexts import context_in
from tusfleet.datastores.filesystem import FilesystemDataStore
from tusfleet.gateway import health
from tusfleet.gateway.health import Health

pytestmark = pytest.mark.anyio


async def test_a_disk_that_hangs_is_told_in_time_and_so_is_its_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PROBE_TIMEOUT", 0.05)
    monkeypatch.setattr(health, "PROBE_SECONDS", 0.0)
    hanging = threading.Event()
    answers = FilesystemDataStore._probe

    def hangs(store: FilesystemDataStore) -> None:
        assert hanging.wait(60)
        answers(store)

    monkeypatch.setattr(FilesystemDataStore, "_probe", hangs)
    async with context_in(tmp_path) as context:
        readiness = Health(context)
        try:
            async with asyncio.timeout(30):
                assert [await readiness.trouble() for _ in range(3)] == ["a store does not answer"] * 3
        finally:
            hanging.set()
        async with asyncio.timeout(30):
            while await readiness.trouble() is not None:
                await asyncio.sleep(0.01)
