"""A lease that is kept in Redis."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from tusfleet.uploads.models import Upload


class Holder(Protocol):
    """Where leases are given back."""

    def forget(self, lease: RedisLease) -> None:
        """Take note that a lease is over."""
        ...

    def give_back(self, lease: RedisLease) -> Awaitable[None]:
        """Give a lease back to the store."""
        ...


class RedisLease:
    """A lease of `RedisLocker`.

    `good_until` is the time of the event loop up to which the store keeps it for certain.
    """

    __slots__ = (
        "_callback", "_holder", "_requested", "doubt", "fence", "good_until", "id", "lost", "over", "token", "upload",
    )  # fmt: skip

    def __init__(
        self, holder: Holder, id: str, token: str, fence: int, doubt: int, upload: Upload | None, good_until: float
    ) -> None:
        self.id = id
        self.fence = fence
        self.doubt: int | None = doubt
        self.lost = False
        self.upload = upload
        self.token = token
        self.good_until = good_until
        self.over = False
        self._holder = holder
        self._requested = False
        self._callback: Callable[[], None] | None = None

    def on_request(self, callback: Callable[[], None]) -> None:
        if self._requested:
            callback()
        else:
            self._callback = callback

    def request(self) -> bool:
        """Tell the holder, once, that it is to let go; give whether this was the first time."""
        if self._requested:
            return False
        self._requested = True
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()
        return True

    def lose(self) -> None:
        """Tell the holder that the lease is not in force any more."""
        self.lost = True
        self.request()

    async def release(self) -> None:
        if not self.over:
            self.over = True
            await self._holder.give_back(self)

    def ended(self) -> None:
        if not self.over:
            self.over = True
            self._holder.forget(self)
