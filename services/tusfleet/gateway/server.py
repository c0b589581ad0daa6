"""The process of `tusfleet serve`: allocator, sockets, signals, and uvicorn around the service."""

from __future__ import annotations

import asyncio
import ctypes
import ipaddress
import logging
import resource
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import uvicorn

from tusfleet.gateway.app import Service
from tusfleet.gateway.crew import Crew
from tusfleet.gateway.folder import exclusive
from tusfleet.gateway.http_protocol import ProtocolLimits, configured_protocol
from tusfleet.gateway.workers import ORPHAN_SECONDS, Supervisor, shared_port
from tusfleet.observability.logs import LOGGER, configure
from tusfleet.settings import LogFormat, Settings, SettingsError

logger = logging.getLogger(LOGGER)

BACKLOG = 2048
"""Connections that may wait to be accepted."""

OPEN_FILES = 65536
"""Open files asked for; macOS refuses more than its own bound."""

DISK_THREADS = 16
"""Threads that wait for the disk. With the six that Python takes on two cores, small durable uploads queue for a sync:
1,000/s instead of 1,600/s."""

# From malloc.h of glibc.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3

MMAP_THRESHOLD = 32 * 1024 * 1024
TRIM_THRESHOLD = 256 * 1024 * 1024
"""Chunks of a body come from the heap and stay in the process. With the defaults of glibc each is mapped and given
back: 347,000 page faults per GiB, and 2.5 times the CPU. Only both together have that effect."""


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status.

    Raises:
        SettingsError: an address, the data folder or a file cannot be used; one sentence.
        Unavailable: a store cannot be opened; one sentence.
    """
    configure(json_lines=settings.log_format is LogFormat.JSON, level=settings.log_level)
    keep_memory()
    raise_file_limit()
    if settings.workers > 1:
        return _serve_together(settings)
    service = Service(settings)
    with _listening(settings) as listener:
        return _serve(settings, service, listener)


def _serve_together(settings: Settings) -> int:
    """Serve with several processes; returns in each of them."""
    # Processes of a server that was killed are about to notice that.
    with exclusive(settings.data_dir, ORPHAN_SECONDS), _listening(settings) as listener:
        listeners = shared_port(listener, settings.workers)
        grace = settings.drain_grace.total_seconds()
        supervisor = Supervisor(listeners, grace, lambda: _announce(settings, listeners[0]))
        found = supervisor.run()
        if isinstance(found, int):
            return found
        return _serve(settings, Service(settings, crew=found), listeners[found.number], found)


def _serve(settings: Settings, service: Service, listener: socket.socket, crew: Crew | None = None) -> int:
    config = _config(settings, service)
    # The loop that uvicorn would choose: uvloop where it exists.
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        return runner.run(_run(settings, service, config, listener, crew))


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


class _Server(uvicorn.Server):
    """uvicorn without its signals: after them it would end the process by the signal instead of with status 0."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _run(
    settings: Settings, service: Service, config: uvicorn.Config, listener: socket.socket, crew: Crew | None
) -> int:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(DISK_THREADS, thread_name_prefix="tusfleet-disk"))
    await service.start()
    try:
        server = _Server(config)

        def end() -> None:
            if not server.should_exit:
                logger.info("Shutting down; uploads under way are flushed")
                service.drain()
            server.should_exit = True

        # What Ctrl-C means is decided for all workers together.
        for number in (signal.SIGTERM, signal.SIGINT) if crew is None else (signal.SIGTERM,):
            loop.add_signal_handler(number, end)
        # Before the line that others wait for: whoever connects from then on is queued, not refused.
        listener.listen(BACKLOG)
        if crew is None:
            _announce(settings, listener)
        else:
            crew.ready()
        await server.serve(sockets=[listener])
        logger.info("Stopped")
        return 0
    finally:
        await service.stop()


def _config(settings: Settings, service: Service) -> uvicorn.Config:
    limits = ProtocolLimits(
        header_timeout=settings.header_timeout.total_seconds(),
        header_bytes=settings.max_header_size,
        header_count=settings.max_header_count,
        # Each worker has its share of them, rounded up.
        max_connections=None if settings.max_connections is None else -(-settings.max_connections // settings.workers),
        idle_timeout=settings.body_idle_timeout.total_seconds(),
    )
    return uvicorn.Config(
        service,
        http=configured_protocol(limits, service.metrics.connections.inc),
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=int(settings.keep_alive_timeout.total_seconds()),
        timeout_graceful_shutdown=max(1, round(settings.drain_grace.total_seconds())),
    )


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise SettingsError(f"host: {settings.host} is not an address of this machine: {error.strerror}") from None
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError as error:
            raise SettingsError(f"port: {settings.host}:{settings.port} cannot be used: {error.strerror}") from None
        listener.setblocking(False)
        yield listener


def _announce(settings: Settings, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    logger.info("listening on http://%s:%d%s", shown, port, settings.base_path)
    if settings.auth_tokens_file is None and not ipaddress.ip_address(host).is_loopback:
        logger.warning(
            "anybody who reaches %s may upload, download and delete: nobody is asked for credentials; "
            "set auth_tokens_file, or put something in front that asks",
            shown,
        )
