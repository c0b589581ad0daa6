"""What one pass of the janitor did, or would do: for a person, for a program, and for one line of the log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from tusfleet.uploads.errors import UploadError
from tusfleet.uploads.models import Upload

LISTED = 20
"""Failures told one by one; a store that fails for all uploads fails for all of them in the same way."""

NAMED = 100
"""Uploads that a dry run names for each action; the numbers count all."""


class Action(StrEnum):
    """What the janitor does to uploads, in the order in which it does it. The values are labels of metrics."""

    FREE = "free"
    """Removes the bytes of a tombstone whose maker died before that."""
    FINISH = "finish"
    """Drives on what has all of its bytes."""
    MERGE = "merge"
    """Drives on a final upload whose parts are finished."""
    EXPIRE = "expire"
    """Ends what is overdue, and removes its bytes."""
    BURY = "bury"
    """Forgets a tombstone whose time is over."""
    FORGET = "forget"
    """Forgets the record of a finished upload whose time is over; its object stays."""
    LEFTOVER = "leftover"
    """Removes bytes of which no record speaks."""

    @property
    def done(self) -> str:
        """The word for what it was done to: a key of the JSON, and a row of the table."""
        return _DONE[self]


_DONE = {
    Action.FREE: "freed",
    Action.FINISH: "finished",
    Action.MERGE: "merged",
    Action.EXPIRE: "expired",
    Action.BURY: "buried",
    Action.FORGET: "forgotten",
    Action.LEFTOVER: "removed",
}

_REMOVES_BYTES = frozenset({Action.FREE, Action.EXPIRE, Action.BURY, Action.LEFTOVER})


class Outcome(StrEnum):
    """How it went with one upload. The values are labels of metrics."""

    DONE = "done"
    LEFT = "left"
    """Somebody is using it, or needs it for a little longer; the next pass looks again."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Failure:
    """What could not be done now.

    Parameters:
        action: that was tried.
        upload_id: of the upload; None when it failed before one was found.
        reason: the code of the error.
        detail: one sentence for a person.
    """

    action: Action
    upload_id: str | None
    reason: str
    detail: str


@dataclass(slots=True)
class Tally:
    """One action in numbers; `bytes` are those that were removed, as far as they are known."""

    done: int = 0
    left: int = 0
    failed: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Report:
    """One pass.

    Parameters:
        dry_run: nothing was done; the numbers tell what would have been.
        seconds: how long it took.
        more: there was more to do than fits into one pass; the next one goes on there.
        ended_early: why the pass was given up; None when it was not.
        tallies: the numbers.
        failures: the first ones.
        named: in a dry run, the first uploads of each action, with their bytes.
    """

    dry_run: bool = False
    seconds: float = 0.0
    more: bool = False
    ended_early: UploadError | None = None
    tallies: dict[Action, Tally] = field(default_factory=lambda: {action: Tally() for action in Action})
    failures: list[Failure] = field(default_factory=list)
    named: dict[Action, list[tuple[str, int]]] = field(default_factory=dict)

    def count(self, action: Action, upload: Upload, outcome: Outcome) -> None:
        """Count one upload that was done, or left alone."""
        tally = self.tallies[action]
        if outcome is Outcome.LEFT:
            tally.left += 1
            return
        removed = upload.offset if removes(action, upload) else 0
        tally.done += 1
        tally.bytes += removed
        if self.dry_run:
            names = self.named.setdefault(action, [])
            if len(names) < NAMED:
                names.append((upload.id, removed))

    def fail(self, action: Action, upload: Upload | None, error: UploadError) -> None:
        """Count a failure, and keep it while it is one of the first."""
        self.tallies[action].failed += 1
        if len(self.failures) < LISTED:
            self.failures.append(Failure(action, None if upload is None else upload.id, error.code, error.detail))

    @property
    def failed(self) -> int:
        """Failures of all actions."""
        return sum(tally.failed for tally in self.tallies.values())

    @property
    def well(self) -> bool:
        """Whether everything was done that was to be done."""
        return self.ended_early is None and not self.failed

    @property
    def eventful(self) -> bool:
        """Whether anything was done, or could not be."""
        return not self.well or any(tally.done for tally in self.tallies.values())

    def line(self) -> str:
        """The numbers in one line, without those that are 0."""
        return ", ".join(self._clauses()) or "nothing to do"

    def _clauses(self) -> Iterator[str]:
        for action, tally in self.tallies.items():
            if tally.done:
                yield f"{tally.done} {action.done}" + (f" ({tally.bytes} bytes)" if tally.bytes else "")
        if left := sum(tally.left for tally in self.tallies.values()):
            yield f"{left} left for later"
        if self.failed:
            yield f"{self.failed} failed"

    def plain(self) -> dict[str, object]:
        """An object for JSON."""
        numbers = {
            action.done: {"done": tally.done, "left": tally.left, "failed": tally.failed, "bytes": tally.bytes}
            for action, tally in self.tallies.items()
        }
        failures = [
            {"action": one.action.value, "upload": one.upload_id, "reason": one.reason, "detail": one.detail}
            for one in self.failures
        ]
        plain: dict[str, object] = {
            "dry_run": self.dry_run,
            "seconds": round(self.seconds, 3),
            "ended_early": None if self.ended_early is None else self.ended_early.detail,
            **numbers,
            "failures": failures,
            "failures_not_listed": self.failed - len(failures),
        }
        if self.dry_run:
            plain["uploads"] = [
                {"action": action.value, "upload": id, "bytes": size}
                for action, names in self.named.items()
                for id, size in names
            ]
        return plain


def removes(action: Action, upload: Upload) -> bool:
    """Tell whether `action` removes bytes of `upload`; those of most tombstones are gone when they are buried."""
    return action in _REMOVES_BYTES and (action is not Action.BURY or bool(upload.placement))
