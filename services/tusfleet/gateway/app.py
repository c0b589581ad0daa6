"""The composition root: the only place that knows which data store, info store and locker are in use."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from typing import Any

from tusfleet.courier.deliveries import Courier
from tusfleet.events.callback import CallbackSink
from tusfleet.gateway.auth import Authorise, BearerTokens, everybody, local_only
from tusfleet.gateway.callables import Callables, asynchronous
from tusfleet.gateway.cors import Cors
from tusfleet.gateway.crew import Crew
from tusfleet.gateway.dispatch import Application, Dispatcher
from tusfleet.gateway.endpoint import EndpointRules, UploadEndpoint
from tusfleet.gateway.forwarded import ProxyTrust
from tusfleet.gateway.health import Health
from tusfleet.gateway.leading import leading
from tusfleet.gateway.listening import begin, go_on
from tusfleet.gateway.on_demand import OnDemand
from tusfleet.gateway.stores import NotYet, open_stores
from tusfleet.gateway.waiting import Waiting
from tusfleet.hooks.python import PythonHooks
from tusfleet.janitor.report import Report
from tusfleet.janitor.sweeper import LEFTOVER_PAUSE, LEFTOVER_SECONDS, Sweeper
from tusfleet.observability.logs import LOGGER
from tusfleet.observability.metrics import Metrics
from tusfleet.protocols.tus import Tus
from tusfleet.settings import DataStoreKind, ExpirationMode, InfoStoreKind, Settings, SettingsError
from tusfleet.uploads.context import Context, Policy
from tusfleet.uploads.models import EventType
from tusfleet.uploads.ports import Shared

logger = logging.getLogger(LOGGER)

ID_BYTES = 16
"""Random bytes of an upload id: 128 bits cannot be guessed."""

LOOKS_PER_AGE = 4
LONGEST_LOOK_PAUSE = 6 * 3600.0
"""What is left over in a bucket is looked for so often in the time after which it is removed, and at least so often in
seconds: a listing costs one request for a thousand open uploads, and what it finds has waited for a day already."""

RESTART_SECONDS = 5.0
"""Pause before a background task that failed is started again."""


class Role(Enum):
    """What a process does."""

    UPLOADS = "uploads"
    """It answers requests of clients."""
    SWEEPER = "sweeper"
    """It expires, drives on and cleans."""


ALL_ROLES = frozenset(Role)
"""One process that does everything: `tusfleet serve`."""


class Service:
    """Everything of one server, put together by `start`.

    Parameters:
        settings: every knob.
        roles: what it does.
        callables: functions of a program around it.
        base_path: path of the collection below the mount point; by default that of the settings.
        crew: the other workers of this server; None when there are none. Then the data folder is held by who started
            them.
    """

    def __init__(
        self,
        settings: Settings,
        callables: Callables | None = None,
        *,
        base_path: str | None = None,
        crew: Crew | None = None,
        roles: frozenset[Role] = ALL_ROLES,
    ) -> None:
        self.settings = settings
        self._roles = roles
        self.metrics = Metrics()
        self._callables = callables or Callables()
        self._base_path = settings.base_path if base_path is None else base_path
        self._crew = crew
        self._authorise = _authoriser(settings, self._callables)
        self._stack = AsyncExitStack()
        self._context: Context | None = None
        self._opening: asyncio.Task[None] | None = None
        self._app: Dispatcher | None = None
        self._health: Dispatcher | None = None

    async def start(self) -> None:
        """Open the stores and start what runs beside the requests.

        A store that is only away for now is waited for: until it is there, the server lives, is not ready, and refuses
        uploads with 503.

        Raises:
            SettingsError: the data folder cannot be used.
            Unavailable: a store cannot be opened, and waiting would not help; the message says why.
        """
        try:
            await self._open()
        except NotYet as error:
            waiting = Waiting(self.metrics, error.detail)
            self._health = Dispatcher("", None, waiting, None)
            if Role.UPLOADS in self._roles:
                shown = waiting if self.settings.metrics_port is None else None
                self._app = Dispatcher(self._base_path, waiting.refuse, shown, waiting.refuse)
            else:
                self._app = self._health
            self._opening = asyncio.create_task(waiting.until(self._open))

    async def _open(self) -> None:
        async with AsyncExitStack() as stack:
            self._context = context = await self._compose(stack, patient=True)
            courier = self._courier(context)
            if isinstance(context.info, Shared):
                listening = partial(go_on, context, delivers=courier is not None)
                stack.push_async_callback(_end, asyncio.create_task(_supervise(listening)))
            sweeping = [("sweeper", self._sweeper(context).run)] if Role.SWEEPER in self._roles else []
            for name, work in sweeping + ([("courier", courier.run)] if courier else []):
                if self._crew is not None or self.settings.infostore is InfoStoreKind.REDIS:
                    work = partial(leading, context.locker, name, work)
                stack.push_async_callback(_end, asyncio.create_task(_supervise(work)))
            self._health = Dispatcher("", None, Health(context, self._crew), None)
            self._app = self._dispatcher(context) if Role.UPLOADS in self._roles else self._health
            self._stack = stack.pop_all()

    async def sweep_once(self, *, dry_run: bool = False) -> Report:
        """Make one pass of the janitor without starting anything else; a dry run changes nothing.

        Raises:
            SettingsError, Unavailable: as `start`.
        """
        async with AsyncExitStack() as stack:
            context = await self._compose(stack, look_only=dry_run)
            return await self._sweeper(context).sweep(dry_run=dry_run)

    async def stop(self) -> None:
        """Close everything; safe to repeat."""
        if self._opening is not None:
            await _end(self._opening)
            self._opening = None
        self._app = self._health = None
        await self._stack.aclose()

    def leave(self) -> None:
        """Say by /readyz that no new clients should be sent here; those that come are served until `drain`."""
        if self._opening is not None:
            # Who has not begun need not begin any more.
            self._opening.cancel()
        if self._context is not None:
            self._context.leaving = True

    def drain(self) -> None:
        """Begin to shut down: uploads under way are flushed and answered with 503, and no others begin."""
        self.leave()
        if self._context is not None:
            self._context.draining = True
            self._context.locker.drain()

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        """Answer one request; `start` comes first."""
        if self._app is None:
            raise RuntimeError("The server has not been started, or is stopped already")
        return self._app(scope, receive, send)

    def health(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        """Answer one request for health or metrics, on a port of their own."""
        if self._health is None:
            raise RuntimeError("The server has not been started, or is stopped already")
        return self._health(scope, receive, send)

    async def _compose(self, stack: AsyncExitStack, *, look_only: bool = False, patient: bool = False) -> Context:
        stores = await open_stores(self.settings, self.metrics, self._crew, stack, look_only=look_only, patient=patient)
        calls = self._callables
        context = Context(
            data=stores.data,
            info=stores.info,
            locker=stores.locker,
            hooks=PythonHooks(asynchronous(calls.before_create)) if calls.before_create else None,
            clock=_now,
            new_id=_new_id,
            policy=_policy(self.settings),
            metrics=self.metrics,
        )
        if not look_only:
            await begin(context, delivers=self._delivers)
        return context

    @property
    def _delivers(self) -> bool:
        return bool(self._callables.on_finished or self._callables.on_terminated)

    def _sweeper(self, context: Context) -> Sweeper:
        settings = self.settings
        age, pause = LEFTOVER_SECONDS, LEFTOVER_PAUSE
        if settings.datastore is DataStoreKind.S3:
            age = settings.s3_abandoned_after.total_seconds()
            pause = min(age / LOOKS_PER_AGE, LONGEST_LOOK_PAUSE)
        interval = settings.sweep_interval.total_seconds()
        return Sweeper(
            context,
            interval,
            settings.tombstone_ttl,
            finished_ttl=settings.forget_finished_after,
            leftover_age=age,
            leftover_pause=pause,
        )

    def _courier(self, context: Context) -> Courier | None:
        wanted = {
            EventType.FINISHED: self._callables.on_finished,
            EventType.TERMINATED: self._callables.on_terminated,
        }
        sink = CallbackSink({kind: asynchronous(function) for kind, function in wanted.items() if function is not None})
        if not self._delivers:
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
            presigned_seconds=int(settings.s3_presigned_ttl.total_seconds()),
            inline_types=frozenset(settings.inline_types),
            body_idle_timeout=settings.body_idle_timeout.total_seconds(),
        )
        endpoint = UploadEndpoint(context, [Tus()], rules, self._authorise, trust, cors)
        # Without credentials anybody who lists uploads could fetch and end them: then only this machine may.
        open_to_all = self._authorise is everybody
        api = OnDemand(partial(_api, context, local_only if open_to_all else self._authorise, trust, self._base_path))
        health = Health(context, self._crew) if settings.metrics_port is None else None
        return Dispatcher(self._base_path, endpoint, health, api)


def _api(context: Context, authorise: Authorise, trust: ProxyTrust, base_path: str) -> Application:
    # FastAPI takes half of the time of a start, and 13 MiB.
    from tusfleet.gateway.api import build_api

    return build_api(context, authorise, trust, base_path)


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
