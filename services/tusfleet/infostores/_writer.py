"""Group commit: whatever is waiting is carried out in one transaction and made durable by one sync of the disk.

Statements run on the event loop, about 25 us for one operation, and what may sync the disk in a thread. In a thread
each step of a statement would have to win the interpreter back from the loop, up to 5 ms each while the loop is busy:
beside two fast uploads sixteen commits took 31 ms that way, and take 12 or, without the sync, 2 ms this way. While a
commit is under way the next operations gather.

An operation that is refused checks before it writes, and so does not disturb the others of its batch.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Generic, TypeVar

from tusfleet.infostores._schema import is_busy, told
from tusfleet.infostores._transaction import Transaction
from tusfleet.observability.logs import LOGGER
from tusfleet.uploads.errors import InternalError, Unavailable, UploadError

logger = logging.getLogger(LOGGER)

LARGEST_BATCH = 64
"""Operations of one transaction: about 2 ms on the event loop, and the commit is a small part of it by then."""

CHECKPOINT_EVERY = 500
"""Operations after which the log is merged into the file, if their commits are not durable: about 8 MiB of log.

SQLite would do it in the middle of a commit, which is on the event loop then."""

BUSY_PAUSE = 0.001
"""Seconds between two attempts to begin while another process holds the lock, as other workers do for a millisecond at
a time: with 10 ms two workers carried out fewer small uploads than one, and with this 1.3 to 1.7 times as many."""

CANNOT_WRITE = "The info store cannot be written"

T = TypeVar("T")


class _Operation(Generic[T]):
    """One change on its way: who waits for it, and how it went."""

    __slots__ = ("error", "landed", "result", "waiter", "work")

    def __init__(self, work: Callable[[Transaction], T], waiter: asyncio.Future[None]) -> None:
        self.work = work
        self.waiter = waiter
        self.landed = False
        self.result: T | None = None
        self.error: UploadError | None = None

    def carry_out(self, transaction: Transaction) -> None:
        try:
            self.result = self.work(transaction)
        except UploadError as error:
            self.error = error

    def land(self) -> None:
        self.landed = True
        if not self.waiter.done():
            self.waiter.set_result(None)


class Writer:
    """What writes, and the queue before it.

    Parameters:
        connection: in autocommit mode, never waiting for locks; nobody else uses it.
        loop: where those who wait are.
        durable: whether each commit syncs the disk.
        patience: seconds to wait for another program's lock.
    """

    def __init__(
        self, connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop, *, durable: bool, patience: float
    ) -> None:
        self.transactions = 0
        """Transactions committed so far."""
        self._connection = connection
        self._loop = loop
        self._durable = durable
        self._patience = patience
        self._unmerged = 0
        self._waiting: deque[_Operation[Any]] = deque()
        self._working = False
        self._locked_since: float | None = None
        self._closing: asyncio.Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tusfleet-info-commit")

    async def do(self, work: Callable[[Transaction], T]) -> T:
        """Have `work` carried out and made durable, and give its result.

        A caller that is cancelled gets its cancellation once the operation has been carried out: nothing that it
        ordered changes a record after it has let go of it.

        Raises:
            UploadError: what `work` raised.
            Unavailable, StoreFull: the transaction failed; nothing was changed.
        """
        if self._closing is not None:
            raise Unavailable("The info store is closed")
        operation = _Operation(work, self._loop.create_future())
        self._waiting.append(operation)
        if not self._working:
            # Not at once: others of this turn of the loop may have something, too.
            self._working = True
            self._loop.call_soon(self._next)
        try:
            await operation.waiter
        except asyncio.CancelledError:
            await self._landing(operation)
            raise
        if operation.error is not None:
            raise operation.error
        return operation.result  # type: ignore[return-value]

    async def _landing(self, operation: _Operation[T]) -> None:
        while not operation.landed:
            operation.waiter = self._loop.create_future()
            try:
                await operation.waiter
            except asyncio.CancelledError:
                continue

    async def close(self) -> None:
        """Carry out what is waiting, then close the connection. Safe to repeat."""
        if self._closing is None:
            self._closing = self._loop.create_future()
            if not self._working:
                self._closing.set_result(None)
        await self._closing
        # It merges the log into the file.
        await asyncio.to_thread(self._connection.close)
        self._thread.shutdown()

    def _next(self) -> None:
        """Begin the next transaction, if anything waits."""
        if not self._waiting:
            self._working = False
            if self._closing is not None and not self._closing.done():
                self._closing.set_result(None)
        elif self._begin():
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), LARGEST_BATCH))]
            error = self._attempt(partial(self._carry_out, batch))
            if error is not None:
                self._end(batch, error)
            elif self._durable:
                self._thread.submit(self._commit_in_thread, batch)
            else:
                self._end(batch, self._commit())

    def _begin(self) -> bool:
        """Take the lock; if another program has it, come back later and tell that it is not ours."""
        now = self._loop.time()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if self._locked_since is None:
                self._locked_since = now
            if is_busy(error) and now - self._locked_since < self._patience:
                self._loop.call_later(BUSY_PAUSE, self._next)
            else:
                # Whoever comes next is waited for as long as these were.
                self._locked_since = None
                batch = list(self._waiting)
                self._waiting.clear()
                self._end(batch, _failure(error))
            return False
        self._locked_since = None
        return True

    def _carry_out(self, batch: list[_Operation[Any]]) -> None:
        transaction = Transaction(self._connection)
        for operation in batch:
            operation.carry_out(transaction)
        transaction.close()

    def _commit(self) -> UploadError | None:
        return self._attempt(partial(self._connection.execute, "COMMIT"))

    def _commit_in_thread(self, batch: list[_Operation[Any]]) -> None:
        error = self._commit()
        self._tell(partial(self._end, batch, error))

    def _merge_in_thread(self) -> None:
        self._attempt(lambda: self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall())
        self._tell(self._next)

    def _tell(self, what: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(what)
        except RuntimeError:
            logger.debug("The event loop was closed during a commit")  # nobody waits for it any more

    def _attempt(self, step: Callable[[], object]) -> UploadError | None:
        try:
            step()
        except sqlite3.Error as error:
            return _failure(error)
        except Exception:
            # A defect must not leave everybody who writes waiting for ever.
            logger.exception(CANNOT_WRITE)
            return InternalError()
        return None

    def _end(self, batch: list[_Operation[Any]], error: UploadError | None) -> None:
        if error is None:
            self.transactions += 1
        else:
            self._roll_back()
        for operation in batch:
            if error is not None:
                # One each: an exception that several tasks raise would gather all of their tracebacks.
                operation.error = type(error)(error.detail)
            operation.land()
        self._unmerged += len(batch)
        if self._durable or self._unmerged < CHECKPOINT_EVERY:
            # In the next turn of the loop, when those who have just been answered may have something again.
            self._loop.call_soon(self._next)
        else:
            self._unmerged = 0
            self._thread.submit(self._merge_in_thread)

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            logger.warning("A transaction of the info store cannot be rolled back: %s", error)


def _failure(error: sqlite3.Error) -> UploadError:
    logger.warning("%s: %s", CANNOT_WRITE, error)
    return told(error, CANNOT_WRITE)
