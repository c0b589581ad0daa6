"""The steps of a walk that bring bytes: whole, cut, hanging, checked, refused, and two at once."""

from __future__ import annotations

import hashlib
import threading
from base64 import b64encode
from collections import Counter
from dataclasses import dataclass
from random import Random

from tests.failure.client import KIB, MIB
from tests.failure.fleet.stores import PART
from tests.failure.walk.checks import look_at_object
from tests.failure.walk.ground import Ground
from tests.failure.walk.model import Declared, Gone, Known, Violation
from tests.failure.walk.requests import Answered, Sending, asked, patching
from tests.failure.walk.sources import Source

MOST_HANGING = 3


@dataclass
class Hanging:
    """A PATCH that has stopped in the middle of its body."""

    sending: Sending
    upload: Known
    start: int
    sent: int
    length: int
    checked: bool


class Writer:
    """A client that brings bytes to its uploads.

    Parameters:
        name: in the journal.
        numbers: decide everything that it does.
        lost: content of the uploads whose creation was not answered, by name; shared by all clients.
    """

    def __init__(
        self, name: str, ground: Ground, numbers: Random, seed: str, lost: dict[str, tuple[Source, ...]]
    ) -> None:
        self.name = name
        self.ground = ground
        self.numbers = numbers
        self.seed = seed
        self.lost = lost
        self.uploads: list[Known] = []
        self.graves: list[Known] = []
        self.done: list[Known] = []
        self.hanging: list[Hanging] = []
        self.taken: Counter[str] = Counter()
        self._made = 0

    def living(self) -> list[Known]:
        return [one for one in self.uploads if one.gone is not Gone.YES]

    def one(self, *, final: bool | None = False) -> Known | None:
        """An upload to go on with."""
        found = [one for one in self.living() if final is None or one.final == final]
        return self.numbers.choice(found) if found else None

    def gateway(self) -> int:
        return self.numbers.randrange(len(self.ground.gateways))

    def size(self) -> int:
        """How large a body or an upload is: often around what makes a difference to a store."""
        return self.numbers.choice(
            [
                0,
                self.numbers.randint(1, 64 * KIB),
                self.numbers.randint(1, MIB),
                256 * KIB + self.numbers.randint(-2, 2),
                PART + self.numbers.randint(-2, 2),
                self.numbers.randint(MIB, 12 * MIB),
                self.numbers.randint(MIB, 12 * MIB),
            ]
        )

    def note(self, what: str) -> None:
        self.ground.journal.note(self.name, what)

    def patch(self) -> None:
        if (upload := self.one()) is not None:
            stop = min(upload.low + self.size(), upload.total)
            self.bring(upload, stop, declares=stop == upload.total or self.numbers.random() < 0.1)

    def bring(self, upload: Known, stop: int, *, declares: bool, gateway: int | None = None) -> Answered:
        """Bring the bytes up to `stop` in one request."""
        start, gateway = upload.low, self.gateway() if gateway is None else gateway
        fields = patching(start, stop - start)
        tells = declares and upload.declared is not Declared.YES
        if tells:
            fields["Upload-Length"] = str(upload.total)
        self.note(f"patch {upload} at {gateway}: {start} to {stop}{' of ' + str(upload.total) if tells else ''}")
        sending = Sending(self.ground, gateway)
        upload.high = max(upload.high, stop)
        before = upload.declared
        if tells:
            upload.declared = Declared.PERHAPS
        sending.head("PATCH", upload.path, fields)
        sending.body(upload.content[0].part(start, stop))
        answered = sending.answer()
        self.note(f"patch {upload}: {answered}")
        self._patched(upload, answered, start, {stop}, tells=tells, before=before)
        return answered

    def _patched(
        self,
        upload: Known,
        answered: Answered,
        start: int,
        stops: set[int],
        *,
        tells: bool = False,
        before: Declared | None = None,
        also: set[int] | None = None,
        late: bool = False,
    ) -> None:
        """Hold the answer to a PATCH from `start`, which comes to one of `stops`, against what is known."""
        self.expect(
            answered,
            {0, 204, 400 if tells and before is Declared.PERHAPS else 204, 404, 409, 410, 423, 503} | (also or set()),
        )
        if answered.answer is None:
            return
        if answered.status in (404, 410):
            upload.missing(answered.status)
        elif answered.status == 204:
            upload.there("PATCH 204", late=late)
            offset = int(answered.answer["upload-offset"])
            if offset not in stops:
                raise Violation(f"{upload}: 204 at {offset}, but it brought {stops}")
            if tells:
                upload.declared = Declared.YES
            upload.told(offset, late=late)
            if upload.finished and self.numbers.random() < 0.5:
                look_at_object(self.ground, upload)
        elif answered.status == 409:
            upload.there("PATCH 409", late=late)
            offset = int(answered.answer["upload-offset"])
            if offset == start:
                raise Violation(f"{upload}: refused at {start}, at which it stands")
            upload.told(offset, late=late)
            if before is not None:
                upload.declared = before  # a request that is refused declares nothing
        elif answered.status == 400 and tells:
            upload.declared = Declared.YES  # an earlier request of which nothing was heard did it

    def cut(self) -> None:
        """A PATCH whose client vanishes in the middle."""
        if (upload := self.one()) is None or upload.low == upload.total:
            return
        start, stop = upload.low, min(upload.low + self.size() + 1, upload.total)
        sent, gateway = self.numbers.randint(start, stop - 1), self.gateway()
        checked = self.numbers.random() < 0.3
        way = self.numbers.choice(("reset", "end", "half"))
        self.note(f"cut {upload} at {gateway}: {start} to {sent} of {stop}, {way}{', checked' * checked}")
        sending = Sending(self.ground, gateway, may_break=True)
        if not checked:  # with a checksum it counts as a whole or not at all
            upload.high = max(upload.high, sent)
        sending.head(
            "PATCH",
            upload.path,
            patching(start, stop - start, **self._checksum(upload, start, stop) if checked else {}),
        )
        sending.body(upload.content[0].part(start, sent))
        if way != "half":
            sending.close(way)
            return
        sending.end_of_body()
        answered = sending.answer()
        self.note(f"cut {upload}: {answered}")
        # Who ends in the middle gets no answer, or 400.
        self._patched(upload, answered, start, set(), also={400, 408})

    def hang(self) -> None:
        """A PATCH that stops in the middle and stays."""
        if (upload := self.one()) is None or upload.low == upload.total or len(self.hanging) >= MOST_HANGING:
            return
        start, stop = upload.low, min(upload.low + self.size() + 1, upload.total)
        sent, gateway = self.numbers.randint(start, stop - 1), self.gateway()
        checked = self.numbers.random() < 0.2
        self.note(f"hang {upload} at {gateway}: {start} to {sent} of {stop}{', checked' * checked}")
        sending = Sending(self.ground, gateway, may_break=True)
        if not checked:
            upload.high = max(upload.high, sent)
        sending.head(
            "PATCH",
            upload.path,
            patching(start, stop - start, **self._checksum(upload, start, stop) if checked else {}),
        )
        sending.body(upload.content[0].part(start, sent))
        self.hanging.append(Hanging(sending, upload, start, sent, stop, checked))

    def go_on_hanging(self) -> None:
        """What hangs gets its late bytes, or is left."""
        if not self.hanging:
            return
        hanging = self.hanging.pop(self.numbers.randrange(len(self.hanging)))
        upload = hanging.upload
        if self.numbers.random() < 0.3:
            self.note(f"leave {upload} hanging no more")
            hanging.sending.close(self.numbers.choice(("reset", "end")))
            return
        self.note(f"late {upload} at {hanging.sending.gateway}: {hanging.sent} to {hanging.length}")
        upload.high = max(upload.high, hanging.length)
        hanging.sending.body(upload.content[0].part(hanging.sent, hanging.length))
        answered = hanging.sending.answer()
        self.note(f"late {upload}: {answered}")
        self._patched(upload, answered, hanging.start, {hanging.length}, also={204, 408}, late=True)

    def _checksum(self, upload: Known, start: int, stop: int) -> dict[str, str]:
        digest = hashlib.sha1(upload.content[0].part(start, stop)).digest()
        return {"Upload_Checksum": f"sha1 {b64encode(digest).decode()}"}

    def checked(self) -> None:
        """A PATCH with its checksum, which may be wrong."""
        if (upload := self.one()) is None:
            return
        start, stop, gateway = upload.low, min(upload.low + self.size(), upload.total), self.gateway()
        right = self.numbers.random() < 0.6
        fields = (
            self._checksum(upload, start, stop)
            if right
            else {"Upload_Checksum": f"sha1 {b64encode(bytes(20)).decode()}"}
        )
        self.note(f"checked {upload} at {gateway}: {start} to {stop}, {'right' if right else 'wrong'}")
        if right:
            upload.high = max(upload.high, stop)
        answered = asked(
            self.ground,
            gateway,
            "PATCH",
            upload.path,
            patching(start, stop - start, **fields),
            upload.content[0].part(start, stop),
        )
        self.note(f"checked {upload}: {answered}")
        self._patched(upload, answered, start, {stop} if right else set(), also=set() if right else {460})

    def refused(self) -> None:
        """A request that may change nothing."""
        if (upload := self.one(final=None)) is None:
            return
        ways: dict[str, tuple[int, int, set[int]]] = {"beyond": (upload.high + self.numbers.randint(1, MIB), 10, {409})}
        if upload.low:
            ways["before"] = (self.numbers.randrange(upload.low), 10, {409})
        if upload.declared is Declared.YES:
            ways["too long"] = (upload.low, upload.total - upload.low + 1, {409, 413})
        if upload.final:
            ways = {"final": (0, 10, {403})}
        way = self.numbers.choice(sorted(ways))
        offset, size, statuses = ways[way]
        gateway = self.gateway()
        self.note(f"refused {upload} at {gateway}: {way}, {size} bytes at {offset}")
        answered = asked(
            self.ground,
            gateway,
            "PATCH",
            upload.path,
            patching(offset, size),
            bytes(min(size, MIB)) if way != "too long" else bytes(size),
        )
        self.note(f"refused {upload}: {answered}")
        self.expect(answered, {0, 404, 410, 423, 503, *statuses})
        if answered.status in (404, 410):
            upload.missing(answered.status)
        elif answered.status == 409 and answered.answer is not None:
            upload.told(int(answered.answer["upload-offset"]))

    def race(self) -> None:
        """Two PATCHes from the same offset at once, of different sizes, at two gateways."""
        if (upload := self.one()) is None or upload.low == upload.total:
            return
        start = upload.low
        stops = [min(start + self.size() + 1, upload.total) for _ in range(2)]
        gateways = self.numbers.sample(range(len(self.ground.gateways)), 2)
        self.note(f"race {upload} at {gateways}: {start} to {stops}")
        upload.high = max(upload.high, *stops)
        found: list[Answered | Violation | None] = [None, None]

        def run(number: int) -> None:
            try:
                body = upload.content[0].part(start, stops[number])
                found[number] = asked(
                    self.ground, gateways[number], "PATCH", upload.path, patching(start, len(body)), body
                )
            except Violation as violation:
                found[number] = violation

        threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.note(f"race {upload}: {' and '.join(map(str, found))}")
        for answered, stop in zip(found, stops, strict=True):
            if isinstance(answered, Violation):
                raise answered
            if answered is not None:
                self._patched(upload, answered, start, {stop}, late=True)
        if [one.status for one in found if isinstance(one, Answered)] == [204, 204]:
            raise Violation(f"{upload}: both PATCHes from {start} were taken")

    def expect(self, answered: Answered, statuses: set[int]) -> None:
        if answered.status not in statuses:
            body = b"" if answered.answer is None else answered.answer.body
            raise Violation(f"{answered} is none of {sorted(statuses)}: {body[:300]!r}")
