"""What a program that embeds the server passes in: its own functions, synchronous or not."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar, overload

from tusfleet.gateway.auth import AccessRequest
from tusfleet.uploads.models import Event, Principal, Upload

_THREADS = ThreadPoolExecutor(32, thread_name_prefix="tusfleet-callable")
"""Not those of the loop: uploads wait there for the disk, and must not wait for somebody else's code as well."""

P = ParamSpec("P")
T = TypeVar("T")

AuthoriseFunction = Callable[[AccessRequest], Principal | Awaitable[Principal | None] | None]
BeforeCreateFunction = Callable[[Upload], Upload | Awaitable[Upload | None] | None]
EventFunction = Callable[[Event], object]


@dataclass(frozen=True, slots=True)
class Callables:
    """Functions of the program around this server; a synchronous one runs in a thread, so it may take its time.

    Parameters:
        authorise: says who makes a request, or refuses it by raising `Unauthorised` or `Forbidden`.
        before_create: may refuse a new upload by raising an `UploadError`, or give another id, metadata or tenant.
        on_finished: is told of every finished upload, at least once; `event.id` tells repetitions.
        on_terminated: is told of every upload that was terminated, likewise.
    """

    authorise: AuthoriseFunction | None = None
    before_create: BeforeCreateFunction | None = None
    on_finished: EventFunction | None = None
    on_terminated: EventFunction | None = None


@overload
def asynchronous(function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]: ...
@overload
def asynchronous(function: Callable[P, T | Awaitable[T]]) -> Callable[P, Awaitable[T]]: ...
def asynchronous(function: Callable[P, Any]) -> Callable[P, Awaitable[Any]]:
    """A coroutine function that does what `function` does; a synchronous one is kept off the event loop."""
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004 - what it is, not whether

        async def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            return await function(*args, **kwargs)

        return call

    async def call_in_thread(*args: P.args, **kwargs: P.kwargs) -> Any:
        call = partial(contextvars.copy_context().run, function, *args, **kwargs)
        answer = await asyncio.get_running_loop().run_in_executor(_THREADS, call)
        # A lambda or partial around a coroutine function gives its coroutine.
        return await answer if inspect.isawaitable(answer) else answer

    return call_in_thread
