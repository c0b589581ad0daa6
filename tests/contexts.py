"""A context with the real stores of one box, a clock that tests move, and ids that they can foretell."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from tusfleet.datastores.filesystem import FilesystemDataStore
from tusfleet.infostores.sqlite import SqliteInfoStore
from tusfleet.lockers.in_process import InProcessLocker
from tusfleet.observability.metrics import Metrics
from tusfleet.uploads.context import Context, Policy


class Clock:
    """The time of day, as a test says."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


@asynccontextmanager
async def context_in(
    folder: Path,
    policy: Policy | None = None,
    *,
    clock: Clock | None = None,
    record_events: bool = False,
    capacity: int | None = None,
    key_template: str = "{id}",
) -> AsyncIterator[Context]:
    """A context whose stores live in `folder`; opening it again finds what was there."""
    info = await SqliteInfoStore.open(folder / "tusfleet.db", durable=False, capacity=capacity)
    try:
        data = FilesystemDataStore(folder, durable=False, checkpoint_interval=1.0, key_template=key_template)
        await data.prepare()
        epoch = await info.next_epoch()
        ids = count()
        yield Context(
            data=data,
            info=info,
            locker=InProcessLocker(1 + (epoch << 32)),
            hooks=None,
            clock=clock or Clock(),
            new_id=lambda: f"id-{epoch}-{next(ids)}",
            policy=policy or Policy(),
            metrics=Metrics(),
            record_events=record_events,
        )
    finally:
        await info.close()
