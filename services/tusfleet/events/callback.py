"""Events for callables of the program that embeds the server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from tusfleet.uploads.models import Event, EventType

OnEvent = Callable[[Event], Awaitable[object]]


class CallbackSink:
    """Tells coroutine functions, each of the type of event it wants.

    Parameters:
        callbacks: whom to tell, by type; events of other types are dropped.
    """

    name = "callback"

    def __init__(self, callbacks: Mapping[EventType, OnEvent]) -> None:
        self._callbacks = callbacks

    async def deliver(self, event: Event) -> None:
        callback = self._callbacks.get(event.type)
        if callback is not None:
            await callback(event)
