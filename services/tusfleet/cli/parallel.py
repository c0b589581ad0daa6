"""Several parts of one transfer at the same time."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Sequence

from tusfleet.cli.failures import Failure, Missing, ServerFailure, Stopped, Transient

SMALLEST_PART = 256 * 1024
"""A part below this many bytes costs more in requests than it gains."""

STOP_SECONDS = 2.0
"""How long parts that were told to stop are waited for; then the process ends under them, which costs nothing."""


def spans(size: int, parts: int) -> list[tuple[int, int]]:
    """Cut `size` bytes into at most `parts` runs: first byte and number of bytes, all but equal, never tiny."""
    count = max(1, min(parts, size // SMALLEST_PART))
    borders = [size * index // count for index in range(count + 1)]
    return [(first, after - first) for first, after in itertools.pairwise(borders)]


def run_together(jobs: Sequence[Callable[[], object]], stop: threading.Event) -> None:
    """Do all jobs, each in a thread; when one fails the others are told to stop.

    Raises:
        Failure, Missing: what the first job that failed met.
    """
    done: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    workers = [_Worker(job, done) for job in jobs]
    for worker in workers:
        worker.start()
    error: Exception | None = None
    try:
        for _ in workers:
            if (error := done.get().error) is not None:
                break
    finally:
        # After the last has ended this reaches nobody.
        stop.set()
        for worker in workers:
            worker.join(STOP_SECONDS)
    if isinstance(error, Missing) and any(worker.is_alive() for worker in workers):
        raise ServerFailure("The server lost a part of the upload; run the same command again") from error
    stop.clear()
    if error is not None:
        raise error


class _Worker(threading.Thread):
    def __init__(self, job: Callable[[], object], done: queue.SimpleQueue[_Worker]) -> None:
        super().__init__(daemon=True)
        self._job = job
        self._done = done
        # Stays when something ends the thread that no job should meet; Python then prints its traceback.
        self.error: Exception | None = Failure("A part ended in an unforeseen way")

    def run(self) -> None:
        try:
            self._job()
            self.error = None
        except (Failure, Missing, Stopped, Transient) as error:
            self.error = error
        finally:
            self._done.put(self)
