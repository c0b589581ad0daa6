"""The process of a service: allocator, sockets, signals, and uvicorn around it."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import ipaddress
import logging
import math
import os
import resource
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import uvicorn

from tusfleet.gateway.app import ALL_ROLES, Role, Service
from tusfleet.gateway.crew import Crew
from tusfleet.gateway.folder import exclusive
from tusfleet.gateway.http_intake import allow
from tusfleet.gateway.http_protocol import ProtocolLimits, configured_protocol
from tusfleet.gateway.workers import ORPHAN_SECONDS, Supervisor, shared_port
from tusfleet.observability.logs import LOGGER, configure
from tusfleet.settings import LogFormat, Settings, SettingsError
from tusfleet.uploads.ports import intake_of

logger = logging.getLogger(LOGGER)

BACKLOG = 2048
"""Connections that may wait to be accepted."""

OPEN_FILES = 65536
"""Open files asked for; macOS refuses more than its own bound."""

DISK_THREADS = 16
"""Threads that wait for the disk. With the six that Python takes on two cores, small durable uploads queue for a sync:
1,000/s instead of 1,600/s."""

ENDED_AT_ONCE = 1
"""Exit status after a second signal."""

# From malloc.h of glibc.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3

MMAP_THRESHOLD = 32 * 1024 * 1024
TRIM_THRESHOLD = 256 * 1024 * 1024
"""Chunks of a body come from the heap and stay in the process. With the defaults of glibc each is mapped and given
back: 347,000 page faults per GiB, and 2.5 times the CPU. Only both together have that effect."""


def serve(settings: Settings, roles: frozenset[Role] = ALL_ROLES) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status.

    Raises:
        SettingsError: an address, the data folder or a file cannot be used; one sentence.
        Unavailable: a store cannot be opened; one sentence.
    """
    configure(json_lines=settings.log_format is LogFormat.JSON, level=settings.log_level)
    keep_memory()
    allow(intake_of(settings.buffer_memory))
    raise_file_limit()
    with ExitStack() as stack:
        shown = None
        if settings.metrics_port is not None:
            shown = stack.enter_context(_listening(settings.host, "metrics_port", settings.metrics_port))
        if Role.UPLOADS not in roles:
            if shown is None:
                raise SettingsError("metrics_port: a process that takes no uploads needs it for health and metrics")
            return _serve(settings, Service(settings, roles=roles), Sockets(None, shown))
        if settings.workers > 1:
            return _serve_together(settings, shown)
        taking = stack.enter_context(_listening(settings.host, "port", settings.port))
        return _serve(settings, Service(settings, roles=roles), Sockets(taking, shown))


@dataclass(frozen=True, slots=True)
class Sockets:
    """Where a process listens: for uploads, and for who asks after its health."""

    uploads: socket.socket | None
    health: socket.socket | None


def _serve_together(settings: Settings, shown: socket.socket | None) -> int:
    """Serve with several processes; returns in each of them."""
    # Processes of a server that was killed are about to notice that.
    with (
        exclusive(settings.data_dir, ORPHAN_SECONDS),
        _listening(settings.host, "port", settings.port) as listener,
    ):
        listeners = shared_port(listener, settings.workers)
        grace = (settings.drain_delay + settings.drain_grace).total_seconds()
        supervisor = Supervisor(listeners, grace, lambda: _announce(settings, Sockets(listeners[0], shown)))
        found = supervisor.run()
        if isinstance(found, int):
            return found
        return _serve(settings, Service(settings, crew=found), Sockets(listeners[found.number], shown), found)


def _serve(settings: Settings, service: Service, sockets: Sockets, crew: Crew | None = None) -> int:
    # The loop that uvicorn would choose: uvloop where it exists.
    factory = _config(settings, service, service).get_loop_factory()
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_run(settings, service, sockets, crew))


def raise_file_limit() -> None:
    """Allow as many open files as the machine lets this process have: every connection and running write takes one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        logger.debug("The limit of open files stays at %d", soft)


def keep_memory() -> None:
    """Tell glibc to keep freed memory; elsewhere (musl, macOS) there is nothing to tell."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD)
    mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD)


def settle_memory() -> None:
    """Give back what the start needed and nobody will again: some 15 MiB.

    What is left by then stays, so the garbage collector need not look at it any more.
    """
    gc.collect()
    gc.freeze()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


class _Server(uvicorn.Server):
    """uvicorn without its signals: after them it would end the process by the signal instead of with status 0."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _run(settings: Settings, service: Service, sockets: Sockets, crew: Crew | None) -> int:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(DISK_THREADS, thread_name_prefix="tusfleet-disk"))
    await service.start()
    settle_memory()
    try:
        # Where nobody sends requests to, nobody needs time to learn that it is leaving.
        delay = settings.drain_delay.total_seconds() if sockets.uploads is not None else 0.0
        ending = _Ending(delay, service)
        if crew is None:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, ending.signalled)
        else:
            # What Ctrl-C and a second signal mean is decided for all workers together: whoever tells a whole group of
            # processes to end has this one told twice.
            loop.add_signal_handler(signal.SIGTERM, ending.begin)
        # Before the line that others wait for: whoever connects from then on is queued, not refused.
        for listener in (sockets.uploads, sockets.health):
            if listener is not None:
                listener.listen(BACKLOG)
        if crew is None:
            _announce(settings, sockets)
        else:
            crew.ready()
        async with asyncio.TaskGroup() as group:
            health = _Server(_config(settings, service, service.health))
            if sockets.health is not None:
                group.create_task(health.serve(sockets=[sockets.health]))
            if sockets.uploads is not None:
                uploads = _Server(_config(settings, service, service))
                group.create_task(_end_with(ending, uploads))
                await uploads.serve(sockets=[sockets.uploads])
            else:
                await ending.wait()
            # To the last: who asks meanwhile is to hear that this process is leaving.
            health.should_exit = True
        logger.info("Stopped")
        return 0
    finally:
        await service.stop()


class _Ending:
    """The way out: not ready, then no new connections and uploads flushed, then the end; a second signal ends at once.

    Parameters:
        delay: seconds from the first step to the second.
        service: what is ended.
    """

    def __init__(self, delay: float, service: Service) -> None:
        self._delay = delay
        self._service = service
        self._begun = asyncio.Event()

    def signalled(self) -> None:
        """Begin to end; the second time end without any delay."""
        if self._begun.is_set():
            logger.warning("A second signal: ending at once; what was not acknowledged is lost")
            os._exit(ENDED_AT_ONCE)
        self.begin()

    def begin(self) -> None:
        """Begin to end. Safe to repeat."""
        if not self._begun.is_set():
            logger.info("Shutting down; uploads under way are flushed")
            self._begun.set()
            self._service.leave()

    async def wait(self) -> None:
        """Return when no more connections are to be accepted; uploads under way are being flushed then."""
        await self._begun.wait()
        await asyncio.sleep(self._delay)
        self._service.drain()


async def _end_with(ending: _Ending, server: uvicorn.Server) -> None:
    await ending.wait()
    server.should_exit = True


def _config(settings: Settings, service: Service, application: Any) -> uvicorn.Config:
    limits = ProtocolLimits(
        header_timeout=settings.header_timeout.total_seconds(),
        header_bytes=settings.max_header_size,
        header_count=settings.max_header_count,
        # Each worker has its share of them, rounded up.
        max_connections=None if settings.max_connections is None else -(-settings.max_connections // settings.workers),
        idle_timeout=settings.body_idle_timeout.total_seconds(),
        lane_bytes=settings.lane_min_size,
    )
    return uvicorn.Config(
        application,
        http=configured_protocol(limits, service.metrics.connections.inc, service.metrics.body),
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=math.ceil(settings.keep_alive_timeout.total_seconds()),
        timeout_graceful_shutdown=max(1, round(settings.drain_grace.total_seconds())),
    )


@contextmanager
def _listening(host: str, setting: str, port: int) -> Iterator[socket.socket]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise SettingsError(f"host: {host} is not an address of this machine: {error.strerror}") from None
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError as error:
            raise SettingsError(f"{setting}: {host}:{port} cannot be used: {error.strerror}") from None
        listener.setblocking(False)
        yield listener


def _announce(settings: Settings, sockets: Sockets) -> None:
    if sockets.health is not None:
        logger.info("health and metrics on http://%s", _shown(sockets.health))
    if sockets.uploads is None:
        return
    logger.info("listening on http://%s%s", _shown(sockets.uploads), settings.base_path)
    host = sockets.uploads.getsockname()[0]
    if settings.auth_tokens_file is None and not ipaddress.ip_address(host).is_loopback:
        logger.warning(
            "anybody who reaches %s may upload, download and delete: nobody is asked for credentials; "
            "set auth_tokens_file, or put something in front that asks",
            f"[{host}]" if ":" in host else host,
        )


def _shown(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
