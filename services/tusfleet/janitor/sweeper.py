"""Lets uploads expire, drives on what stands half-way, and removes what nobody needs any more: pass after pass."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from datetime import timedelta

from tusfleet.janitor.gauges import Gauges
from tusfleet.janitor.pool import each
from tusfleet.janitor.report import Action, Outcome, Report
from tusfleet.janitor.steps import Step, overdue, steps
from tusfleet.observability.logs import LOGGER
from tusfleet.uploads.context import Context
from tusfleet.uploads.errors import Draining, FenceLost, Locked, Unavailable, UploadError
from tusfleet.uploads.models import State, Upload

logger = logging.getLogger(LOGGER)

LEFTOVER_SECONDS = 60.0
"""Bytes without a record are removed at this age: a creation has both within milliseconds."""

LEFTOVER_PAUSE = 3600.0
"""Seconds between two looks for what died half-way: each looks at every unfinished file, and few find anything."""

LOOK_AGAIN = 600.0
"""Seconds after which such a look is repeated that failed."""

AT_ONCE = 8
"""Uploads worked on at a time: enough to hide the way to a bucket, too few for requests to notice."""

MOST_PER_PASS = 2_000
"""Uploads one step takes in one pass: a few seconds. With more of them, the other steps have their turn in between."""

OVERDUE_COUNTED = 10_000
"""So many overdue uploads are counted at most: beyond it, the number tells nothing more."""

SICK_AFTER = 16
"""Uploads in a row for which a store is not available although it answers: it lets us look, and nothing else."""

LONGEST_PAUSE = 120.0
"""Seconds between two passes at most while a store is sick; the pause doubles up to it."""

MOST_DOUBLINGS = 16
"""So often the pause doubles at most: from the shortest interval to beyond the longest pause."""


class Sweeper:
    """One pass after the other over what the stores hold.

    Parameters:
        context: what the use cases work with.
        interval: pause between two passes in seconds.
        tombstone_ttl: how long expired and failed uploads are remembered.
        finished_ttl: how long finished uploads are remembered; None for ever.
        leftover_age: seconds for which bytes without a record must have been left alone before they are removed.
        leftover_pause: seconds between two looks for what died half-way.
    """

    def __init__(
        self,
        context: Context,
        interval: float,
        tombstone_ttl: timedelta,
        *,
        finished_ttl: timedelta | None = None,
        leftover_age: float = LEFTOVER_SECONDS,
        leftover_pause: float = LEFTOVER_PAUSE,
    ) -> None:
        self._context = context
        self._interval = interval
        self._steps = steps(tombstone_ttl, finished_ttl, leftover_age, leftover_pause)
        self._gauges = Gauges(context.metrics, _now)
        # Where rounds stand that did not fit into one pass, and when those are due that are not made in every one.
        self._found: dict[Action, AsyncGenerator[Upload, None]] = {}
        self._due: dict[Action, float] = {}
        self._in_a_row = 0

    async def run(self, most: int = MOST_PER_PASS) -> None:
        """Sweep until cancelled.

        Parameters:
            most: so many uploads each step takes in one pass.
        """
        self._due.clear()  # what others have left half-done meanwhile is looked for at once
        self._gauges.begin()
        early = 0
        try:
            while True:
                report = await self.sweep(most=most)
                early = min(early + 1, MOST_DOUBLINGS) if report.ended_early else 0
                pause = min(self._interval * 2**early, max(self._interval, LONGEST_PAUSE))
                _tell(report, pause)
                await asyncio.sleep(0 if report.more and not early else pause)
        finally:
            self._gauges.end()
            for found in self._found.values():
                await found.aclose()
            self._found.clear()

    async def sweep(self, *, most: float = float("inf"), dry_run: bool = False) -> Report:
        """Make one pass; what fails for one upload is left to the next pass, and a sick store ends it.

        Parameters:
            most: so many uploads each step takes; the next pass goes on where this one stopped.
            dry_run: change nothing, and tell what would be done.
        """
        report = Report(dry_run)
        began = _now()
        self._in_a_row = 0
        for step in self._steps:
            if report.ended_early is None and _now() >= self._due.get(step.action, 0.0):
                await self._round(step, report, most)
        report.seconds = _now() - began
        if not dry_run:
            self._gauges.pass_ended(report.seconds)
        return report

    async def _round(self, step: Step, report: Report, most: float) -> None:
        """Carry out one step for all it finds, or for a part of that."""
        failed = report.failed
        found = self._found.pop(step.action, None) or step.find(self._context)
        ended = True
        try:
            ended = await each(found, lambda one: self._carry_out(step, one, report), at_once=AT_ONCE, most=most)
        except UploadError as error:
            if step.action is Action.LEFTOVER:
                report.fail(step.action, None, error)  # who may use a bucket may not be allowed to list it
            else:
                report.ended_early = error
        finally:
            if ended:
                await found.aclose()
        if not ended:
            self._found[step.action] = found
            report.more = True
        await self._look_back(step, report, failed=report.failed > failed, ended=ended)

    async def _look_back(self, step: Step, report: Report, *, failed: bool, ended: bool) -> None:
        """Note, after a round or a part of one, when the next is due and what the fleet looks like now."""
        failed = failed or report.ended_early is not None
        if step.pause and ended:
            self._due[step.action] = _now() + (min(LOOK_AGAIN, step.pause) if failed else step.pause)
        if step.action is Action.EXPIRE and failed:
            # Some may be tombstones by now that still have their bytes.
            again = _now() + LOOK_AGAIN
            self._due[Action.FREE] = min(self._due.get(Action.FREE, again), again)
        if report.dry_run or report.ended_early is not None:
            return
        if step.action is Action.MERGE and ended and Action.FINISH not in self._found:
            self._gauges.round_ended()
        elif step.action is Action.EXPIRE:
            tally = report.tallies[step.action]
            try:
                self._gauges.overdue(tally.left + tally.failed if ended else await self._count_overdue())
            except UploadError as error:
                report.ended_early = error

    async def _carry_out(self, step: Step, upload: Upload, report: Report) -> bool:
        """Do a step for one upload, or only look; tell whether to go on with others."""
        try:
            outcome = await (step.preview if report.dry_run else step.act)(self._context, upload)
        except (Draining, FenceLost, Locked):
            outcome = Outcome.LEFT  # somebody else has taken it
        except UploadError as error:
            outcome = Outcome.FAILED
            report.fail(step.action, upload, error)
            if isinstance(error, Unavailable) and report.ended_early is None:
                # Probes write: a dry run takes the store at its word.
                sick = error if report.dry_run else await self._sickness(error)
                if sick is not None:
                    report.ended_early = sick
        else:
            if outcome is Outcome.DONE:
                self._in_a_row = 0
            if outcome is not None:
                report.count(step.action, upload, outcome)
        if outcome is not None and not report.dry_run:
            self._context.metrics.janitor_items.labels(step.action.value, outcome.value).inc()
            if outcome is not Outcome.DONE and upload.state is State.FINISHING:
                self._gauges.stuck(upload.id)
        return report.ended_early is None

    async def _sickness(self, error: Unavailable) -> UploadError | None:
        """What is wrong with a store when something is; None when it was about one upload."""
        self._in_a_row += 1
        if self._in_a_row >= SICK_AFTER:
            return error
        try:
            await self._context.info.probe()
            await self._context.data.probe()
        except UploadError as sick:
            return sick
        return None

    async def _count_overdue(self) -> int:
        count = 0
        found = overdue(self._context)
        try:
            async for _ in found:
                count += 1
                if count == OVERDUE_COUNTED:
                    break
        finally:
            await found.aclose()
        return count


def _now() -> float:
    return asyncio.get_running_loop().time()


def _tell(report: Report, pause: float) -> None:
    """Write what a pass did to the log, when it did something."""
    if report.ended_early is not None:
        # One line: what failed before it failed for the same reason.
        message = "The janitor gave up a pass (%s) and tries again in %g s: %s"
        extra = {"reason": report.ended_early.code}
        logger.warning(message, report.line(), pause, report.ended_early.detail, extra=extra)
        return
    for failure in report.failures:
        fields = {"upload_id": failure.upload_id, "reason": failure.reason}
        logger.warning("Cannot be %s by the janitor now: %s", failure.action.done, failure.detail, extra=fields)
    if report.eventful:
        milliseconds = {"milliseconds": round(report.seconds * 1000)}
        logger.info("A pass of the janitor: %s", report.line(), extra=milliseconds)
