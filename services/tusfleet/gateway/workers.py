"""The process that starts the workers of one server, keeps their number, and ends them.

Workers are forks: the program is loaded once, and a dead one is back within 50 ms. This process runs no event loop and
no thread, so that there is nothing a fork could break; it serves nobody. The first worker starts alone: it brings the
files into order, and what keeps the server from starting is told once, by it. Then come the others.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tusfleet.gateway.crew import Crew, Shared
from tusfleet.observability.logs import LOGGER
from tusfleet.settings import SettingsError

logger = logging.getLogger(LOGGER)

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
"""Seconds before a worker is started again that died soon after its start; the pause doubles from the first to the
longest. One that has lived for longer than the longest is started again at once."""

ENDING = frozenset({signal.SIGTERM, signal.SIGINT})

ORPHAN_SECONDS = 5.0
"""In which workers have ended whose starter was killed; it takes milliseconds, and more on a machine out of breath."""

SPARE_SECONDS = 10.0
"""Time beyond the grace of a drain in which a worker closes its stores; then it is killed."""


@dataclass(slots=True)
class Worker:
    """The process in one place of the server, and its predecessors."""

    number: int
    pid: int = 0
    up: bool = False
    started: float = 0.0
    failures: int = 0
    due: float = float("inf")


class Supervisor:
    """Starts workers and starts them again.

    Parameters:
        listeners: the sockets of the workers, as many as there are to be; see `shared_port`. It takes another one in
            the place of each that it has closed.
        grace: seconds that a drain may take.
        announce: is called once, when every worker takes requests.
    """

    def __init__(self, listeners: list[socket.socket], grace: float, announce: Callable[[], None]) -> None:
        count = len(listeners)
        self._listeners = listeners
        self._grace = grace
        self._announce = announce
        self._announced = False
        self._shared = Shared(count)
        self._workers = [Worker(number) for number in range(count)]
        self._workers[0].due = 0.0
        self._signals = 0
        self._kill_at = float("inf")
        self._status: int | None = None
        # The workers tell by the first pipe that they are up; by the second they learn that this process is gone.
        self._ready, self._tell_ready = os.pipe()
        self._orphaned, self._alive = os.pipe()
        self._woken, self._wake = socket.socketpair()
        for end in (self._woken, self._wake):
            end.setblocking(False)
        os.set_blocking(self._ready, False)

    def run(self) -> Crew | int:
        """Keep the workers going until they are to end.

        Returns twice: in each worker with its place among the others, and in this process, at the end, with the status
        to exit with: that of a worker that could not start, or 0 after SIGTERM or SIGINT.
        """
        self._listen_to_signals()
        while True:
            for worker in self._workers:
                if worker.due <= time.monotonic():
                    crew = self._start(worker)
                    if crew is not None:
                        return crew
            self._wait()
            self._note_ready()
            self._bury()
            if self._status is not None and not any(worker.pid for worker in self._workers):
                return self._status
            if time.monotonic() >= self._kill_at:
                logger.warning("Workers did not end in time and are killed")
                self._end(signal.SIGKILL, 1)

    def _listen_to_signals(self) -> None:
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for number in (*ENDING, signal.SIGCHLD):
            signal.signal(number, self._signalled)

    def _signalled(self, number: int, _: object) -> None:
        if number in ENDING:
            self._signals += 1

    def _start(self, worker: Worker) -> Crew | None:
        """Fork; gives its place to the worker, and nothing here."""
        worker.due, worker.started, worker.up = float("inf"), time.monotonic(), False
        if self._listeners[worker.number].fileno() < 0:
            self._listeners[worker.number] = _joining(next(one for one in self._listeners if one.fileno() >= 0))
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal that comes in between must meet either the handlers from before or none.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            worker.pid = os.fork()
            if worker.pid == 0:
                self._become_worker(worker.number)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        if worker.pid:
            return None
        number = worker.number

        def ready() -> None:
            os.write(self._tell_ready, bytes((number,)))

        return Crew(number, self._shared, ready)

    def _become_worker(self, number: int) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # Ctrl-C reaches every process of a terminal, and the one that started them tells them what to do.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for descriptor in (self._alive, self._ready):
            os.close(descriptor)
        others = (listener for listener in self._listeners if listener is not self._listeners[number])
        for unused in (self._woken, self._wake, *others):
            unused.close()
        threading.Thread(target=_end_as_orphan, args=(self._orphaned,), daemon=True, name="tusfleet-orphan").start()

    def _wait(self) -> None:
        """Wait for a signal, a worker that is up, or the next thing to do."""
        until = min(self._kill_at, *(worker.due for worker in self._workers))
        timeout = None if until == float("inf") else max(0.0, until - time.monotonic())
        select.select([self._woken.fileno(), self._ready], [], [], timeout)
        try:
            while self._woken.recv(256):
                pass
        except BlockingIOError:
            pass
        if self._signals == 1 and self._status is None:
            logger.info("Shutting down %d workers", len(self._workers))
            self._end(signal.SIGTERM, 0)
        elif self._signals > 1:
            self._signals = 1
            self._end(signal.SIGKILL, 1)

    def _note_ready(self) -> None:
        try:
            numbers = os.read(self._ready, 256)
        except BlockingIOError:
            return
        for number in numbers:
            self._workers[number].up = True
            self._shared.board.mark(number, up=True)
        if self._announced or self._status is not None:
            return
        for worker in self._workers:
            if not worker.pid:
                worker.due = 0.0
        if all(worker.up for worker in self._workers):
            self._announced = True
            self._announce()

    def _bury(self) -> None:
        """See which workers have ended, and have them started again, unless that was the end."""
        for worker in self._workers:
            if not worker.pid:
                continue
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if not pid:
                continue
            worker.pid, was_up, worker.up = 0, worker.up, False
            self._shared.board.mark(worker.number, up=False)
            code = os.waitstatus_to_exitcode(status)
            if self._status is not None:
                # Whoever had not come so far as to hear of the end is ended by it.
                if code not in (0, -signal.SIGTERM):
                    self._status = self._status or 1
            elif not was_up and (not self._announced or not any(other.pid for other in self._workers)):
                self._end(signal.SIGTERM, code if code > 0 else 1)
            else:
                self._start_again(worker, code)

    def _start_again(self, worker: Worker, code: int) -> None:
        lived = time.monotonic() - worker.started
        worker.failures = 0 if lived > LONGEST_PAUSE else worker.failures + 1
        pause = 0.0 if worker.failures <= 1 else min(FIRST_PAUSE * 2 ** (worker.failures - 2), LONGEST_PAUSE)
        worker.due = time.monotonic() + pause
        if pause and any(other.up and self._own(other) for other in self._workers):
            # Connections that would wait for it go to the others.
            self._listeners[worker.number].close()
        how = f"by signal {-code}" if code < 0 else f"with status {code}"
        logger.warning("Worker %d ended %s; it is started again in %g s", worker.number, how, pause)

    def _own(self, worker: Worker) -> bool:
        """Whether a worker has a socket of its own."""
        return sys.platform == "linux" and self._listeners[worker.number].fileno() >= 0

    def _end(self, number: signal.Signals, status: int) -> None:
        """Send all workers a signal, and start no more."""
        self._status = max(self._status or 0, status)
        self._kill_at = float("inf") if number == signal.SIGKILL else time.monotonic() + self._grace + SPARE_SECONDS
        # Otherwise it would go on taking connections that nobody serves.
        for listener in self._listeners:
            listener.close()
        for worker in self._workers:
            worker.due = float("inf")
            if worker.pid:
                os.kill(worker.pid, number)


def shared_port(listener: socket.socket, count: int) -> list[socket.socket]:
    """Sockets for so many workers on the address of `listener`, which is closed.

    On Linux each worker has its own, and the kernel spreads connections evenly among them. From one socket for all, who
    wakes first takes every connection that waits: with few long-lived ones most workers would have none. They stay open
    in the process that starts the workers, so that the connections of a dead one wait for its successor if that comes
    at once.

    `listener` is bound without sharing, so that the port of another server is refused, though both would share it.

    Raises:
        SettingsError: somebody took the port in between.
    """
    if sys.platform != "linux":
        return [listener] * count
    address = listener.getsockname()
    listener.close()
    sockets: list[socket.socket] = []
    try:
        for _ in range(count):
            sockets.append(_bound(listener, address))  # noqa: PERF401 - those that were made are closed after an error
    except OSError as error:
        for made in sockets:
            made.close()
        raise SettingsError(f"port: {address[0]}:{address[1]} cannot be used: {error.strerror}") from None
    return sockets


def _joining(listener: socket.socket) -> socket.socket:
    """One more socket on the address of a shared one."""
    return _bound(listener, listener.getsockname())


def _bound(like: socket.socket, address: Any) -> socket.socket:
    shared = socket.socket(like.family, like.type)
    try:
        shared.setblocking(False)
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        shared.bind(address)
    except OSError:
        shared.close()
        raise
    return shared


def _end_as_orphan(alive: int) -> None:
    """End this process with the one that started it: another server may want the folder.

    In a thread of its own, since it has to work while the event loop does not.
    """
    os.read(alive, 1)
    os._exit(1)
