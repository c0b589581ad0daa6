"""What must hold of each upload of a walk, by what its client sent and was told."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from tests.failure.client import id_of, offset_of
from tests.failure.walk.sources import Source
from tests.raw_http import Response


class Violation(AssertionError):
    """A promise was broken."""


class Gone(enum.IntEnum):
    """Whether an upload has ended other than by being finished."""

    NO = 0
    PERHAPS = 1
    """Its end was asked for and nobody said whether that came to pass; or a part of it may be gone."""
    YES = 2


class Declared(enum.Enum):
    """Whether the server knows the length."""

    NO = 0
    PERHAPS = 1
    """It was told, and nobody said whether that counts."""
    YES = 2


@dataclass
class Known:
    """One upload.

    Parameters:
        path: where it is.
        content: what it is made of; of a final upload, one source for each part.
        declared: whether the server knows its length.
        partial: whether it is a part of others.
        parts: of a final upload.
        low: the largest offset that the client was told.
        high: how far its bytes may have come: the end of what was sent from an offset that may have been right.
        finished: whether the client was told so.
        ended_at: when it was finished, as the API tells: it happens once.
        finals: made of this one.
    """

    path: str
    content: tuple[Source, ...]
    declared: Declared
    partial: bool = False
    parts: tuple[Known, ...] = ()
    low: int = 0
    high: int = 0
    finished: bool = False
    gone: Gone = Gone.NO
    ended_at: str | None = None
    finals: list[Known] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.name} ({self.id[:8]})"

    @property
    def id(self) -> str:
        return id_of(self.path)

    @property
    def name(self) -> str:
        return "+".join(source.name.rpartition(":")[2] for source in self.content)

    @property
    def total(self) -> int:
        """Bytes that it has in the end."""
        return sum(source.size for source in self.content)

    @property
    def final(self) -> bool:
        return bool(self.parts)

    @property
    def settled(self) -> bool:
        """Whether its end has been told, one or the other."""
        return self.finished or self.gone is Gone.YES

    def told(self, offset: int, *, late: bool = False) -> None:
        """Take note of an offset; a `late` answer may have been overtaken by others."""
        if offset > self.high:
            raise Violation(f"{self}: it stands at {offset}, but no more than {self.high} bytes were sent")
        if offset < self.low and not late:
            raise Violation(f"{self}: it stands at {offset}, but {self.low} was acknowledged")
        self.low = max(self.low, offset)
        if self.low == self.total and self.declared is Declared.YES:
            self.finished = True

    def inspected(self, answer: Response) -> None:
        """Hold the answer to a HEAD against what is known."""
        length, offset = answer.get("upload-length"), answer.get("upload-offset")
        if length is not None and int(length) != self.total:
            raise Violation(f"{self}: its length is {length} rather than {self.total}")
        if self.final:
            self._final_inspected(offset, length)
            return
        if length is not None:
            if self.declared is Declared.NO:
                raise Violation(f"{self}: it has a length that nobody declared")
            self.declared = Declared.YES
        elif self.declared is Declared.YES:
            raise Violation(f"{self}: its length is forgotten")
        self.told(offset_of(answer))

    def _final_inspected(self, offset: str | None, length: str | None) -> None:
        if offset is None:
            if self.finished:
                raise Violation(f"{self}: it was finished, and is not any more")
            return
        if int(offset) != self.total or length is None:
            raise Violation(f"{self}: merged to {offset} of {self.total} bytes")
        self.low = self.high = self.total
        self.finished = True

    def missing(self, status: int) -> None:
        """Take note of a 404 or 410."""
        if self.gone is Gone.NO:
            raise Violation(f"{self}: it is gone ({status}), which nobody asked for")
        self.ended()

    def there(self, what: str, *, late: bool = False) -> None:
        """Take note of an answer that only an upload that lives can give; a `late` one may have been on its way."""
        if self.gone is Gone.YES and not late:
            raise Violation(f"{self}: it was gone, and is back ({what})")

    def ended(self) -> None:
        """Take note of its end: it stays gone."""
        self.gone = Gone.YES
        self.endangered()

    def endangered(self) -> None:
        """Take note that it may be gone, and with it what is to be made of it."""
        self.gone = max(self.gone, Gone.PERHAPS)
        for final in self.finals:
            if not final.finished:
                final.gone = max(final.gone, Gone.PERHAPS)

    def finished_at(self, moment: str) -> None:
        """Take note of the time when it was finished."""
        if self.ended_at is not None and self.ended_at != moment:
            raise Violation(f"{self}: it was finished at {self.ended_at} and again at {moment}")
        self.ended_at = moment
