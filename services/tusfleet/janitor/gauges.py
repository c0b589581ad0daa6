"""What the janitor sees of the state of a fleet, as metrics."""

from __future__ import annotations

from collections.abc import Callable

from tusfleet.observability.metrics import Metrics

MOST_TRACKED = 10_000
"""Uploads whose time of being stuck is known, about 1 MB. With more of them something else is wrong than one upload."""


class Gauges:
    """Whether this process leads, and what it sees then; nothing while it does not.

    Parameters:
        metrics: where it is shown.
        now: seconds of a clock that never goes back.
    """

    def __init__(self, metrics: Metrics, now: Callable[[], float]) -> None:
        self._metrics = metrics
        self._now = now
        # When uploads that could not be finished were met first: in the round before, and in this one.
        self._before: dict[str, float] = {}
        self._stuck: dict[str, float] = {}

    def begin(self) -> None:
        """This process does the work from now on."""
        self._metrics.janitor_leading.set(1)

    def end(self) -> None:
        """It does it no more."""
        self._before, self._stuck = {}, {}
        for gauge in (
            self._metrics.janitor_leading,
            self._metrics.janitor_overdue,
            self._metrics.janitor_finishing_seconds,
        ):
            gauge.set(0)

    def stuck(self, id: str) -> None:
        """Note an upload that has all of its bytes and was not finished in this round."""
        if len(self._stuck) < MOST_TRACKED:
            self._stuck.setdefault(id, self._before.get(id, self._now()))

    def round_ended(self) -> None:
        """All uploads that are being finished have been met: who was not met any more is finished."""
        self._before, self._stuck = self._stuck, {}

    def overdue(self, count: int) -> None:
        """Show how many uploads are overdue."""
        self._metrics.janitor_overdue.set(count)

    def pass_ended(self, seconds: float) -> None:
        """Show how long a pass took, and the age of what has been stuck for longest."""
        self._metrics.janitor_pass_seconds.observe(seconds)
        since = min((*self._before.values(), *self._stuck.values()), default=None)
        self._metrics.janitor_finishing_seconds.set(0 if since is None else self._now() - since)
