"""The operator: everything put together."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any

import kopf

from tusfleet_operator.cluster.client import Client
from tusfleet_operator.cluster.failures import ApiFailure
from tusfleet_operator.cluster.kinds import CHILDREN, TUSSERVER, Kind, Object
from tusfleet_operator.cluster.pods import Pods
from tusfleet_operator.cluster.rights import missing
from tusfleet_operator.cluster.store import Name, Store, name_of, owner_of
from tusfleet_operator.config import Config
from tusfleet_operator.engine.costs import Costs
from tusfleet_operator.engine.health import Health
from tusfleet_operator.engine.informer import Informer
from tusfleet_operator.engine.leadership import Leadership
from tusfleet_operator.engine.queue import Key, WorkQueue
from tusfleet_operator.engine.view import View, until_it_works
from tusfleet_operator.metrics import Metrics
from tusfleet_operator.reconcile.apply import Applier
from tusfleet_operator.reconcile.memory import Memory
from tusfleet_operator.reconcile.readers import Readers
from tusfleet_operator.reconcile.reconciler import Tools, reconcile
from tusfleet_operator.reconcile.secrets import Secrets
from tusfleet_operator.reconcile.telling import Teller

logger = logging.getLogger(__name__)

LONGEST_LOOK = 120.0
"""Seconds for one look at a TusServer; then it is tried again."""

RIGHTS_PAUSE = 60.0
"""Seconds after which missing rights are asked for again."""


class Operator:
    """One operator process.

    Parameters:
        login: gives the credentials for the API server.
        now: the time, for what people read.
        chance: of pauses.
    """

    def __init__(
        self,
        config: Config,
        metrics: Metrics,
        login: Callable[..., kopf.ConnectionInfo],
        now: Callable[[], datetime],
        chance: random.Random,
    ) -> None:
        self._config = config
        self._metrics = metrics
        self._login = login
        self._store = Store()
        self._queue = WorkQueue(chance)
        self._memory = Memory()
        self._readers = Readers()
        self._client = Client(login, lambda verb, status: metrics.calls.labels(verb, str(status)).inc())
        self._pods = Pods()
        self._view = View(self._client, self._store, config.watched, self._missed)
        self._health = Health(metrics, self._queue)
        self._informer = Informer(login, config.watched, self._seen, self._watching_again)
        self._leadership = Leadership(self._client, config.namespace, config.lease, config.identity, now, self._turned)
        self._tools = Tools(
            client=self._client,
            pods=self._pods,
            store=self._store,
            secrets=Secrets(self._client, self._store),
            applier=Applier(
                self._client, self._store, self._memory, lambda kind: metrics.repairs.labels(kind.kind).inc()
            ),
            teller=Teller(self._client, self._store, now, self._told),
            readers=self._readers,
            default_image=config.image,
            served=lambda: self._view.served,
        )
        self._listed = asyncio.Event()
        self._list_now = asyncio.Event()
        self._kinds_changed = asyncio.Event()
        self._leading = False

    async def run(self) -> None:
        """Do everything until cancelled."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._client)
            await stack.enter_async_context(self._pods)
            await stack.enter_async_context(self._health.serving(self._config.port))
            await until_it_works("The API server is waited for", self._view.discover)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch(), name="watching")
                tasks.create_task(self._list_again_and_again(), name="listing")
                tasks.create_task(self._discover_again_and_again(), name="discovery")
                tasks.create_task(self._check_rights(), name="rights")
                await self._listed.wait()
                tasks.create_task(self._leadership.lead(self._work), name="leadership")

    async def _watch(self) -> None:
        while True:
            self._kinds_changed.clear()
            watching = asyncio.ensure_future(self._informer.run(self._view.watched))
            changed = asyncio.ensure_future(self._kinds_changed.wait())
            try:
                await asyncio.wait([watching, changed], return_when=asyncio.FIRST_COMPLETED)
                if watching.done():
                    # It never ends by itself but with a defect.
                    await watching
            finally:
                for task in (watching, changed):
                    task.cancel()
                await asyncio.gather(watching, changed, return_exceptions=True)
            self._list_now.set()

    async def _list_again_and_again(self) -> None:
        while True:
            # Before, or what happens while it is listed would be forgotten.
            self._list_now.clear()
            await until_it_works("The cluster cannot be listed", self._view.list)
            self._health.current()
            if not self._listed.is_set():
                self._listed.set()
                self._health.listed()
            if self._leading:
                self._look_at_all()
            try:
                async with asyncio.timeout(self._config.resync):
                    await self._list_now.wait()
            except TimeoutError:
                continue

    async def _discover_again_and_again(self) -> None:
        while True:
            await asyncio.sleep(self._config.discovery)
            try:
                changed = await self._view.discover()
            except ApiFailure as error:
                logger.warning("The API server cannot be asked for its kinds: %s", error.message)
                continue
            if changed:
                self._kinds_changed.set()

    async def _check_rights(self) -> None:
        while True:
            try:
                found = await missing(self._client, self._config.watched, self._config.namespace)
            except ApiFailure as error:
                logger.warning("The API server cannot be asked what this operator may do: %s", error.message)
                found = ["its rights are not known yet"]
            self._health.may_not(found)
            if not found:
                return
            for sentence in found:
                logger.error("The operator lacks a right: %s; see the chart's RBAC", sentence)
            await asyncio.sleep(RIGHTS_PAUSE)

    async def _work(self, anew: bool) -> None:
        """What the leader does; `anew` when another one may have done it meanwhile."""
        if anew:
            self._memory.clear()
        self._look_at_all()
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._config.workers):
                tasks.create_task(self._worker(), name=f"worker {number}")
            tasks.create_task(Costs(self._client, self._pods, self._store).run(), name="deletion costs")

    async def _worker(self) -> None:
        while True:
            key = await self._queue.take()
            try:
                await self._look(key)
            finally:
                self._queue.give_back(key)

    async def _look(self, key: Key) -> None:
        try:
            with self._metrics.seconds.time():
                async with asyncio.timeout(LONGEST_LOOK):
                    again = await reconcile(self._tools, key)
        except ApiFailure as error:
            if self._tools.applier.progressed(key):
                # It gets on, if only step by step: a pause that grew with each step would be no help.
                self._queue.succeeded(key)
            pause = self._queue.retry(key, error.retry_after)
            self._metrics.reconciliations.labels("again").inc()
            level = logging.INFO if self._queue.failures(key) < 3 else logging.WARNING
            logger.log(level, "TusServer %s/%s: %s; tried again in %.1f s", *key, error.message, pause)
        except TimeoutError:
            self._metrics.reconciliations.labels("again").inc()
            logger.warning("TusServer %s/%s took too long; tried again in %.1f s", *key, self._queue.retry(key))
        except Exception:
            self._metrics.reconciliations.labels("failed").inc()
            logger.exception("A defect at TusServer %s/%s; tried again in %.1f s", *key, self._queue.retry(key))
        else:
            self._metrics.reconciliations.labels("done").inc()
            self._queue.succeeded(key)
            if self._store.get(TUSSERVER, *key) is None:
                self._metrics.forget(*key)
            if again is not None:
                self._queue.add_after(key, again)

    def _seen(self, kind: Kind, event: str | None, body: Object) -> None:
        """A watch told of something."""
        self._health.current()
        self._metrics.events.labels(kind.kind).inc()
        before = None if kind == TUSSERVER or kind not in CHILDREN else self._store.get(kind, *name_of(body))
        if self._store.seen(kind, event, body):
            self._touch(kind, body)
            if before is not None and owner_of(before) != owner_of(body):
                self._touch(kind, before)

    def _missed(self, kind: Kind, what: Object | Name) -> None:
        """A list showed what no watch had told."""
        if self._listed.is_set():
            self._metrics.missed.labels(kind.kind).inc()
        if isinstance(what, tuple):
            self._touch_readers(kind, what)
        else:
            self._touch(kind, what)

    def _touch(self, kind: Kind, body: Object) -> None:
        """Have the TusServers looked at that an object concerns."""
        namespace, name = name_of(body)
        if kind == TUSSERVER:
            self._add((namespace, name))
            return
        owner = owner_of(body) if kind in CHILDREN else None
        if owner is not None:
            self._add((namespace, owner))
        self._touch_readers(kind, (namespace, name))

    def _touch_readers(self, kind: Kind, name: Name) -> None:
        for key in self._readers.of(kind, *name):
            self._add(key)

    def _add(self, key: Key) -> None:
        if self._leading:
            self._queue.add(key)

    def _look_at_all(self) -> None:
        for key in self._store.servers():
            self._add(key)

    def _watching_again(self) -> None:
        self._metrics.restarts.inc()
        self._list_now.set()

    def _turned(self, leading: bool) -> None:
        self._leading = leading
        self._metrics.leading.set(leading)
        if not leading:
            self._queue.clear()
            for key in self._store.servers():
                self._metrics.forget(*key)

    def _told(self, namespace: str, name: str, status: Mapping[str, Any]) -> None:
        self._metrics.told(namespace, name, status)
