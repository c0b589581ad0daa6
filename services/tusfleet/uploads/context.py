"""What the use cases work with: the ports, the rules of this server, and the few things that are passed in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tusfleet.observability.metrics import Metrics
from tusfleet.uploads.errors import FenceLost, Gone, NotFound
from tusfleet.uploads.models import Change, Event, EventType, Principal, State, Upload
from tusfleet.uploads.ports import DataStore, HookRunner, InfoStore, Lease, Locker, capacity_of


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of this server.

    Parameters:
        max_size: largest upload in bytes, None without a limit.
        expire_after: age at which unfinished uploads expire, None never.
        sliding: whether that age counts from the last bytes rather than from creation.
        lock_timeout: seconds a request waits for another one to let go of an upload.
        terminate_finished: whether finished uploads may be terminated.
        partial_grace: how long merged partial uploads are kept.
        bounded: whether the store has a capacity, so that deferred uploads reserve before they write.
    """

    max_size: int | None = None
    expire_after: timedelta | None = None
    sliding: bool = True
    lock_timeout: float = 10.0
    terminate_finished: bool = True
    partial_grace: timedelta = timedelta(hours=1)
    bounded: bool = False


@dataclass(slots=True)
class Context:
    """Everything a use case needs.

    Parameters:
        data, info, locker, hooks: the ports.
        clock: the present time (UTC).
        new_id: makes ids that nobody can guess.
        policy: the rules.
        metrics: where things are counted.
        record_events: whether anybody listens, here or elsewhere; without a listener no event is put in the outbox.
        on_event: is called when there is something new in the outbox.
        leaving: set once no new clients should be sent here.
        draining: set once the server shuts down.
    """

    data: DataStore
    info: InfoStore
    locker: Locker
    hooks: HookRunner | None
    clock: Callable[[], datetime]
    new_id: Callable[[], str]
    policy: Policy
    metrics: Metrics
    record_events: bool = False
    on_event: Callable[[], None] | None = None
    leaving: bool = False
    draining: bool = False

    async def insert(self, upload: Upload) -> Upload:
        """Add the record of a new upload, with the event that tells of it."""
        events = self._events(EventType.CREATED, upload)
        await self.info.insert(upload, events)
        self._happened(EventType.CREATED, events)
        return upload

    async def commit(
        self, upload: Upload, lease: Lease, change: Change, event: EventType | None = None, *, last: bool = False
    ) -> Upload:
        """Commit a change under a lease, with the event that tells of it; the `last` one may give the lease back."""
        events = self._events(event, replace(upload, **change)) if event is not None and self.record_events else []
        try:
            committed = await self.info.commit(upload, lease.fence, change, events, lease if last else None)
        except FenceLost:
            self.metrics.fenced.inc()
            raise
        if event is not None:
            self._happened(event, events)
        return committed

    def _events(self, type: EventType, upload: Upload) -> list[Event]:
        return [Event(self.new_id(), type, self.clock(), upload)] if self.record_events else []

    def _happened(self, type: EventType, events: list[Event]) -> None:
        """Count something that has been committed, and tell of its events."""
        self.metrics.uploads.labels(type.value.removeprefix("upload.")).inc()
        if events and self.on_event is not None:
            self.on_event()

    def largest(self, *, declared: bool) -> int | None:
        """Most bytes that one upload may have, None without a limit.

        Parameters:
            declared: whether its length is known before its first byte.
        """
        capacity = capacity_of(self.data, declared=declared)
        if capacity is None or self.policy.max_size is None:
            return self.policy.max_size if capacity is None else capacity
        return min(capacity, self.policy.max_size)

    def expiry(self, before: datetime | None = None) -> datetime | None:
        """When an upload that gets bytes now expires; never earlier than `before`."""
        if self.policy.expire_after is None:
            return before
        if before is not None and not self.policy.sliding:
            return before
        expires = self.clock() + self.policy.expire_after
        return expires if before is None else max(before, expires)

    async def present(self, id: str, principal: Principal) -> Upload:
        """The record of an upload that can still be asked for.

        Raises:
            NotFound: there is none, or not for this principal.
            Gone: it expired or failed.
        """
        return self.visible(await self.info.read(id), principal)

    def visible(self, upload: Upload | None, principal: Principal) -> Upload:
        """Check a record that was just read, as `present` does."""
        if upload is None or upload.state is State.TERMINATED or not principal.may_see(upload):
            raise NotFound
        if upload.state is State.FAILED:
            raise Gone("The upload failed and cannot go on; start a new one")
        if not upload.state.alive or self.overdue(upload):
            raise Gone("The upload has expired; start a new one")
        return upload

    def overdue(self, upload: Upload) -> bool:
        """Whether the time of an upload is over."""
        return upload.expires_at is not None and upload.expires_at <= self.clock() and upload.state.alive

    async def current(self, lease: Lease) -> Upload | None:
        """The record under a lease that has just begun."""
        if lease.upload is not None:
            return lease.upload
        found = await self.info.read(lease.id)
        return None if found is None else under(lease, found)

    async def taken(self, id: str, principal: Principal) -> Lease:
        """The lease of an upload; a holder is asked to let go only for somebody who may see the upload.

        Raises:
            NotFound, Gone: there is none to take, or not for this principal.
            Locked: the holder did not let go in time.
        """
        lease = await self.locker.try_acquire(id)
        if lease is None:
            await self.present(id, principal)
            lease = await self.locker.acquire(id, self.policy.lock_timeout)
        return lease

    @asynccontextmanager
    async def leased(self, id: str) -> AsyncIterator[Lease]:
        """Hold the lease of an upload, asking a present holder to let go."""
        lease = await self.locker.acquire(id, self.policy.lock_timeout)
        try:
            yield lease
        finally:
            await lease.release()


def under(lease: Lease, upload: Upload) -> Upload:
    """A record that did not come with its lease, as the holder of that lease knows it."""
    return upload if lease.doubt is None else replace(upload, fence=lease.fence, doubt=lease.doubt)
