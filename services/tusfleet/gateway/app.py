"""The composition root: the only place that knows which data store, info store and locker are in use."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tusfleet.courier.deliveries import Courier
from tusfleet.datastores.filesystem import FilesystemDataStore
from tusfleet.events.callback import CallbackSink
from tusfleet.gateway.api import build_api
from tusfleet.gateway.auth import Authorise, BearerTokens, everybody, local_only
from tusfleet.gateway.callables import Callables, asynchronous
from tusfleet.gateway.cors import Cors
from tusfleet.gateway.dispatch import Dispatcher
from tusfleet.gateway.endpoint import EndpointRules, UploadEndpoint
from tusfleet.gateway.forwarded import ProxyTrust
from tusfleet.gateway.health import Health
from tusfleet.hooks.python import PythonHooks
from tusfleet.infostores.sqlite import SqliteInfoStore
from tusfleet.janitor.sweeper import Sweeper
from tusfleet.lockers.in_process import InProcessLocker
from tusfleet.observability.logs import LOGGER
from tusfleet.observability.metrics import Metrics
from tusfleet.protocols.tus import Tus
from tusfleet.settings import Durability, ExpirationMode, Settings, SettingsError
from tusfleet.uploads.context import Context, Policy
from tusfleet.uploads.models import EventType

logger = logging.getLogger(LOGGER)

ID_BYTES = 16
"""Random bytes of an upload id: 128 bits cannot be guessed."""

FENCE_BITS = 32
"""Fences below one epoch: every start of the server counts from a fresh epoch, above all fences of earlier ones."""

RESTART_SECONDS = 5.0
"""Pause before a background task that failed is started again."""


class Service:
    """Everything of one server, put together by `start`.

    Parameters:
        settings: every knob.
        callables: functions of a program around it.
        base_path: path of the collection below the mount point; by default that of the settings.
    """

    def __init__(self, settings: Settings, callables: Callables | None = None, *, base_path: str | None = None) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self._callables = callables or Callables()
        self._base_path = settings.base_path if base_path is None else base_path
        self._authorise = _authoriser(settings, self._callables)
        self._stack = AsyncExitStack()
        self._context: Context | None = None
        self._app: Dispatcher | None = None

    async def start(self) -> None:
        """Open the stores and start what runs beside the requests.

        Raises:
            SettingsError: the data folder cannot be used.
            Unavailable: a store cannot be opened; the message says why.
        """
        async with AsyncExitStack() as stack:
            self._context = context = await self._compose(stack)
            courier = self._courier(context)
            sweeper = Sweeper(context, self.settings.sweep_interval.total_seconds(), self.settings.tombstone_ttl)
            for work in [sweeper.run] + ([courier.run] if courier else []):
                stack.push_async_callback(_end, asyncio.create_task(_supervise(work)))
            self._app = self._dispatcher(context)
            self._stack = stack.pop_all()

    async def stop(self) -> None:
        """Close everything; safe to repeat."""
        self._app = None
        await self._stack.aclose()

    def drain(self) -> None:
        """Begin to shut down: uploads under way are flushed and answered with 503, and no others begin."""
        if self._context is not None:
            self._context.draining = True
            self._context.locker.drain()

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        """Answer one request; `start` comes first."""
        if self._app is None:
            raise RuntimeError("The server has not been started, or is stopped already")
        return self._app(scope, receive, send)

    async def _compose(self, stack: AsyncExitStack) -> Context:
        settings = self.settings
        folder = settings.data_dir
        stack.enter_context(_exclusive(folder))
        durable = settings.durability is Durability.STRICT
        info = await SqliteInfoStore.open(folder / "tusfleet.db", durable=durable, capacity=settings.max_store_size)
        stack.push_async_callback(info.close)
        try:
            data = FilesystemDataStore(
                folder,
                durable=durable,
                checkpoint_interval=settings.checkpoint_interval.total_seconds(),
                key_template=settings.key_template,
                sidecar=settings.sidecar,
                write_seconds=self.metrics.write_seconds,
            )
        except ValueError as error:
            raise SettingsError(str(error)) from None
        await data.prepare()
        calls = self._callables
        return Context(
            data=data,
            info=info,
            locker=InProcessLocker(1 + (await info.next_epoch() << FENCE_BITS)),
            hooks=PythonHooks(asynchronous(calls.before_create)) if calls.before_create else None,
            clock=_now,
            new_id=_new_id,
            policy=_policy(settings),
            metrics=self.metrics,
            record_events=bool(calls.on_finished or calls.on_terminated),
        )

    def _courier(self, context: Context) -> Courier | None:
        wanted = {
            EventType.FINISHED: self._callables.on_finished,
            EventType.TERMINATED: self._callables.on_terminated,
        }
        sink = CallbackSink({kind: asynchronous(function) for kind, function in wanted.items() if function is not None})
        if not context.record_events:
            return None
        courier = Courier(context.info, sink)
        context.on_event = courier.wake
        return courier

    def _dispatcher(self, context: Context) -> Dispatcher:
        settings = self.settings
        trust = ProxyTrust(settings.trusted_proxies)
        cors = Cors(
            settings.cors_origins,
            credentials=settings.cors_credentials,
            max_age=int(settings.cors_max_age.total_seconds()),
        )
        rules = EndpointRules(
            base_path=self._base_path,
            location=settings.location,
            downloads=settings.downloads.value,
            inline_types=frozenset(settings.inline_types),
            body_idle_timeout=settings.body_idle_timeout.total_seconds(),
        )
        endpoint = UploadEndpoint(context, [Tus()], rules, self._authorise, trust, cors)
        # Without credentials anybody who lists uploads could fetch and end them: then only this machine may.
        open_to_all = self._authorise is everybody
        api = build_api(context, local_only if open_to_all else self._authorise, trust, self._base_path)
        return Dispatcher(self._base_path, endpoint, Health(context), api)


def _policy(settings: Settings) -> Policy:
    return Policy(
        max_size=settings.max_size,
        expire_after=settings.expire_after,
        sliding=settings.expiration is ExpirationMode.SLIDING,
        lock_timeout=settings.lock_timeout.total_seconds(),
        terminate_finished=settings.terminate_finished,
        bounded=settings.max_store_size is not None,
    )


def _authoriser(settings: Settings, callables: Callables) -> Authorise:
    if callables.authorise is not None:
        return asynchronous(callables.authorise)
    if settings.auth_tokens_file is None:
        return everybody
    try:
        return BearerTokens.from_file(settings.auth_tokens_file)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    return secrets.token_hex(ID_BYTES)


class _exclusive:
    """Hold the data folder for this process alone: two servers on it would each believe in their own locks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = -1

    def __enter__(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SettingsError(f"data_dir: {self._folder} cannot be used: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise SettingsError(f"data_dir: another server uses {self._folder} already") from None

    def __exit__(self, *_: object) -> None:
        os.close(self._file)


async def _supervise(work: Callable[[], Awaitable[None]]) -> None:
    """Run what belongs beside the requests; a defect in it must not end it for good."""
    while True:
        try:
            await work()
        except Exception:
            logger.exception("A background task failed; it is started again in %g s", RESTART_SECONDS)
        await asyncio.sleep(RESTART_SECONDS)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
