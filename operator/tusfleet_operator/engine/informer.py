"""Watches, by kopf: it lists, streams, reconnects and logs in; it tells us what it saw, and does nothing else.

Of kopf's handlers only `kopf.on.event` is used: the others put finalizers and annotations on objects, and act on
differences instead of on how things are. It runs in a thread with an event loop of its own, because it cancels every
task of its loop when it ends, and it ends with any error of a watch that it does not know: then it is started again.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

import kopf

from tusfleet_operator import names
from tusfleet_operator.cluster.kinds import CHILDREN, CONFIG_MAP, SECRET, Kind, Object

logger = logging.getLogger(__name__)

Deliver = Callable[[Kind, str | None, Object], None]
"""Gets what was seen: kind, type of the event (None: in a list), object."""

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
"""Seconds before a failed request of kopf's is tried again, and before kopf itself is started again."""

SECRETS_OF_OTHERS = ("type!=helm.sh/release.v1", "type!=kubernetes.io/service-account-token")
"""Secrets that no TusServer refers to: those of Helm are large, and there are many."""

STOP_SECONDS = 10.0


class Forever(Iterable[float]):
    """Pauses between attempts, without an end: an API server that is away for an hour ends no process."""

    def __iter__(self) -> Iterator[float]:
        pause = FIRST_PAUSE
        while True:
            yield pause
            pause = min(2 * pause, LONGEST_PAUSE)


class Informer:
    """Watches some kinds in some namespaces, from a thread of its own.

    Parameters:
        login: gives the credentials.
        namespaces: to be watched; None for all.
        deliver: called in the event loop in which `run` is called.
        restarted: told whenever watches begin again, so that what they missed can be looked for.
    """

    def __init__(
        self,
        login: Callable[..., kopf.ConnectionInfo],
        namespaces: Sequence[str] | None,
        deliver: Deliver,
        restarted: Callable[[], None],
    ) -> None:
        self._login = login
        self._namespaces = namespaces
        self._deliver = deliver
        self._restarted = restarted

    async def run(self, kinds: Sequence[Kind]) -> None:
        """Watch until cancelled."""
        loop = asyncio.get_running_loop()

        def deliver(kind: Kind, event: str | None, body: Object) -> None:
            loop.call_soon_threadsafe(self._deliver, kind, event, body)

        pauses = iter(Forever())
        while True:
            began = loop.time()
            stop = threading.Event()
            ended: asyncio.Future[str] = loop.create_future()
            thread = threading.Thread(
                target=self._watch, args=(kinds, deliver, stop, loop, ended), name="informer", daemon=True
            )
            thread.start()
            try:
                reason = await ended
            finally:
                stop.set()
                await asyncio.to_thread(thread.join, STOP_SECONDS)
            if loop.time() - began > LONGEST_PAUSE:
                pauses = iter(Forever())
            pause = next(pauses)
            logger.error("Watching has ended: %s; it begins again in %g s", reason, pause)
            await asyncio.sleep(pause)
            self._restarted()

    def _watch(
        self,
        kinds: Sequence[Kind],
        deliver: Deliver,
        stop: threading.Event,
        loop: asyncio.AbstractEventLoop,
        ended: asyncio.Future[str],
    ) -> None:
        reason = "kopf has stopped"
        try:
            with asyncio.Runner() as runner:
                runner.get_loop().set_exception_handler(_left_over)
                runner.run(watch(kinds, self._namespaces, self._login, deliver, stop))
        except Exception as error:  # noqa: BLE001 - whatever it was, watching goes on
            reason = f"{error.__class__.__name__}: {error}"

        def tell() -> None:
            if not ended.done():
                ended.set_result(reason)

        if not stop.is_set():
            loop.call_soon_threadsafe(tell)


def _left_over(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Of errors in several tasks of kopf's at once it raises the first; the others are the same as a rule."""
    logger.debug("Beside the end of watching: %s", context.get("exception") or context.get("message"))


async def watch(
    kinds: Iterable[Kind],
    namespaces: Sequence[str] | None,
    login: Callable[..., kopf.ConnectionInfo],
    deliver: Deliver,
    stop: threading.Event | None = None,
) -> None:
    """Run kopf until `stop` is set, or until it gives up."""
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry, errors=kopf.ErrorsMode.TEMPORARY, backoff=FIRST_PAUSE)(login)
    for kind in kinds:
        handler = _handler(kind, deliver)
        kopf.on.event(kind.group, kind.version, kind.plural, id=kind.plural, registry=registry)(handler)
    await kopf.operator(
        registry=registry,
        settings=settings(kinds),
        standalone=True,
        # Nobody is told it. By default it has the name of the user in it, and users of containers have none.
        identity=cast("Any", names.OPERATOR),
        clusterwide=namespaces is None,
        namespaces=namespaces or (),
        stop_flag=stop,
    )


def settings(kinds: Iterable[Kind]) -> kopf.OperatorSettings:
    """How kopf is to behave: it only watches, for ever, and writes nothing."""
    found = kopf.OperatorSettings()
    found.posting.enabled = False
    found.peering.standalone = True
    # We look for new kinds ourselves: it needs no right to watch definitions and namespaces.
    found.scanning.disabled = True
    # It would kill the whole process some minutes after its own end.
    found.process.ultimate_exiting_timeout = None
    found.networking.error_backoffs = Forever()
    found.networking.connect_timeout = 10
    found.watching.chunk_size = 500
    found.queueing.idle_timeout = 1
    for kind in kinds:
        # As a tuple: a text would be taken for a name, and match nothing.
        if kind in CHILDREN and kind != CONFIG_MAP:
            found.watching.label_selectors[kind.group, kind.version, kind.plural] = (
                f"{names.MANAGED_BY}={names.OPERATOR}"
            )
    if SECRET in kinds:
        found.watching.field_selectors[SECRET.group, SECRET.version, SECRET.plural] = ",".join(SECRETS_OF_OTHERS)
    return found


def _handler(kind: Kind, deliver: Deliver) -> Callable[..., Any]:
    # Returns nothing: kopf would write it into the object. Not synchronous: it would be run in a pool of threads.
    async def seen(event: Any, **_: Any) -> None:
        deliver(kind, event["type"], event["object"])

    return seen
