"""One client of a walk: it takes random steps with uploads of its own, and holds every answer against its model."""

from __future__ import annotations

import hashlib
import threading
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.failure.client import BYTES, KIB, MIB, path_of
from tests.failure.fleet.stores import PART
from tests.failure.walk.checks import content_is, look_at_object, prefix_is
from tests.failure.walk.ground import Ground
from tests.failure.walk.model import Declared, Gone, Known, Violation
from tests.failure.walk.requests import Answered, Sending, asked, patching
from tests.failure.walk.sources import Source

MOST_OPEN = 6
"""Uploads that a client goes on with; it is nearly always one that somebody is at already."""

MOST_HANGING = 3
MOST_GRAVES = 8


@dataclass
class Hanging:
    """A PATCH that has stopped in the middle of its body."""

    sending: Sending
    upload: Known
    start: int
    sent: int
    length: int
    checked: bool


class Client:
    """A client.

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

    def walk(self) -> None:
        """Take steps until it is time to stop, or somebody has found a violation."""
        while not self.ground.stop.is_set():
            try:
                self.step()
            except Violation as violation:
                self.ground.broken(self.name, str(violation))
            except Exception as error:  # noqa: BLE001 - a defect of the walk itself must not look like a pass
                self.ground.broken(self.name, f"the walk itself failed: {error!r}")

    def step(self) -> None:
        """Take one step."""
        steps: list[tuple[int, Callable[[], None]]] = [
            (0 if len(self.living()) >= MOST_OPEN else 4, self.create),
            (12, self.patch),
            (3, self.cut),
            (3, self.hang),
            (4, self.go_on_hanging),
            (3, self.checked),
            (2, self.refused),
            (3, self.race),
            (5, self.head),
            (3, self.get),
            (1, self.terminate),
            (2, self.concatenate),
            (1, self.visit_grave),
            (2, self.retire),
        ]
        (step,) = self.numbers.choices([step for _, step in steps], [weight for weight, _ in steps])
        self.taken[step.__name__] += 1
        step()

    # Choices.

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

    # Steps.

    def create(self) -> None:
        self._made += 1
        source = Source(f"{self.seed}:{self.name}.{self._made}", self.size() + self.numbers.choice((0, self.size())))
        partial, deferred = self.numbers.random() < 0.35, self.numbers.random() < 0.3
        first = min(self.size(), source.size) if self.numbers.random() < 0.35 else None
        fields = {"Upload-Defer-Length": "1"} if deferred else {"Upload-Length": str(source.size)}
        fields["Upload-Metadata"] = f"walk {b64encode(source.name.encode()).decode()}"
        if partial:
            fields["Upload-Concat"] = "partial"
        if first is not None:
            fields |= BYTES
        gateway = self.gateway()
        words = f"{'partial ' * partial}{'deferred ' * deferred}{source.size} bytes" + (
            f", {first} with it" if first is not None else ""
        )
        self.note(f"create {self._made} at {gateway}: {words}")
        answered = asked(self.ground, gateway, "POST", self.ground.gateways[0].path, fields, source.part(0, first or 0))
        self.note(f"create {self._made}: {answered}")
        if answered.status != 201:
            self.lost[source.name] = (source,)
            self._expect(answered, {0, 423, 503})
            return
        assert answered.answer is not None
        declared = Declared.NO if deferred else Declared.YES
        upload = Known(path_of(answered.answer["location"]), (source,), declared, partial)
        upload.high = first or 0
        self.uploads.append(upload)
        self.note(f"create {self._made} is {upload}")
        if first is not None:
            if int(answered.answer["upload-offset"]) != first:
                raise Violation(f"{upload}: created with {answered} rather than {first}")
            upload.told(first)
        elif source.size == 0 and not deferred:
            upload.told(0)

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
        self._expect(
            answered,
            {0, 204, 400 if tells and before is Declared.PERHAPS else 204, 404, 409, 410, 423, 503} | (also or set()),
        )
        if answered.answer is None:
            return
        if answered.status in (404, 410):
            upload.missing(answered.status)
        elif answered.status == 204:
            upload.there("PATCH 204")
            offset = int(answered.answer["upload-offset"])
            if offset not in stops:
                raise Violation(f"{upload}: 204 at {offset}, but it brought {stops}")
            if tells:
                upload.declared = Declared.YES
            upload.told(offset, late=late)
            if upload.finished and self.numbers.random() < 0.5:
                look_at_object(self.ground, upload)
        elif answered.status == 409:
            upload.there("PATCH 409")
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
        gone = upload.gone
        also = {204, 408}
        if answered.status == 204 and gone is Gone.YES:
            return  # it was finished before it ended
        self._patched(upload, answered, hanging.start, {hanging.length}, also=also, late=True)

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
        self._expect(answered, {0, 404, 410, 423, 503, *statuses})
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

    def head(self) -> None:
        if (upload := self.one(final=None)) is not None:
            self.inspect(upload)

    def inspect(self, upload: Known) -> Answered:
        """Ask where it stands."""
        gateway = self.gateway()
        self.note(f"head {upload} at {gateway}")
        answered = asked(self.ground, gateway, "HEAD", upload.path)
        self.note(f"head {upload}: {answered}")
        self._expect(answered, {0, 200, 404, 410, 423, 503})
        if answered.status in (404, 410):
            upload.missing(answered.status)
        elif answered.status == 200 and answered.answer is not None:
            upload.there("HEAD 200")
            upload.inspected(answered.answer)
        return answered

    def get(self) -> None:
        """Read an upload, or a piece of it, finished or not."""
        if (upload := self.one(final=None)) is None:
            return
        gateway = self.gateway()
        if upload.low and self.numbers.random() < 0.5:
            start = self.numbers.randrange(upload.low)
            stop = self.numbers.randint(start + 1, upload.low)
            self.note(f"get {upload} at {gateway}: {start} to {stop}")
            answered = asked(self.ground, gateway, "GET", upload.path, {"Range": f"bytes={start}-{stop - 1}"})
            expected = {206}
        else:
            start, stop = 0, upload.low
            self.note(f"get {upload} at {gateway}")
            answered = asked(self.ground, gateway, "GET", upload.path)
            expected = {200}
        self.note(f"get {upload}: {answered}")
        self._expect(answered, {0, 404, 410, 423, 503, *expected, *({416} if upload.final else set())})
        if answered.status == 404 and not upload.finished and (upload.final or self.ground.proxy is not None):
            return  # nothing is given out before all of it is in its place
        if answered.status in (404, 410):
            upload.missing(answered.status)
        elif answered.status in expected and answered.answer is not None:
            upload.there(f"GET {answered.status}")
            whole = answered.status == 200
            prefix_is(upload, start, answered.answer.body, None if whole else stop - start)
            if whole and not upload.final:
                upload.told(len(answered.answer.body))

    def terminate(self) -> None:
        upload = self.one(final=None)
        if upload is None or self.numbers.random() < 0.4:
            return
        gateway = self.gateway()
        self.note(f"terminate {upload} at {gateway}")
        before = upload.gone
        upload.endangered()
        answered = asked(self.ground, gateway, "DELETE", upload.path)
        self.note(f"terminate {upload}: {answered}")
        self._expect(answered, {0, 204, 404, 410, 423, 503})
        if answered.status in (404, 410) and before is Gone.NO:
            raise Violation(f"{upload}: DELETE found it gone ({answered.status}), which nobody asked for before")
        if answered.status in (204, 404, 410):
            upload.ended()
        if upload.gone is Gone.YES:
            self.graves = [*self.graves, upload][-MOST_GRAVES:]

    def concatenate(self) -> None:
        parts = [one for one in self.living() if one.partial]
        if not parts or len([one for one in self.living() if one.final]) >= 2:
            return
        chosen = self.numbers.choices(parts, k=self.numbers.randint(1, 3))
        content = tuple(part.content[0] for part in chosen)
        gateway = self.gateway()
        self._made += 1
        name = f"{self.seed}:{self.name}.{self._made}"
        fields = {
            "Upload-Concat": f"final;{' '.join(part.path for part in chosen)}",
            "Upload-Metadata": f"walk {b64encode(name.encode()).decode()}",
        }
        self.note(f"concatenate {self._made} at {gateway}: {', '.join(map(str, chosen))}")
        self.lost[name] = content
        answered = asked(self.ground, gateway, "POST", self.ground.gateways[0].path, fields)
        self.note(f"concatenate {self._made}: {answered}")
        endangered = any(part.gone is not Gone.NO for part in chosen)
        self._expect(answered, {0, 201, 423, 503, *({400, 404, 410} if endangered else set())})
        if answered.status == 201 and answered.answer is not None:
            upload = Known(path_of(answered.answer["location"]), content, Declared.PERHAPS, parts=tuple(chosen))
            upload.gone = Gone.PERHAPS if endangered else Gone.NO
            for part in chosen:
                part.finals.append(upload)
            self.uploads.append(upload)
            self.note(f"concatenate {self._made} is {upload}")

    def visit_grave(self) -> None:
        """See that what is gone stays gone."""
        if self.graves:
            upload = self.numbers.choice(self.graves)
            gateway = self.gateway()
            answered = asked(self.ground, gateway, self.numbers.choice(("HEAD", "GET")), upload.path)
            self.note(f"visit {upload} at {gateway}: {answered}")
            self._expect(answered, {0, 404, 410, 423, 503})

    def retire(self) -> None:
        """Look at a finished upload from all sides, and keep it for the end."""
        found = [one for one in self.living() if one.finished and one.gone is Gone.NO]
        if not found:
            return
        upload = self.numbers.choice(found)
        if any(final.gone is not Gone.YES and not final.finished for final in upload.finals):
            return  # still needed
        self.note(f"retire {upload}")
        content_is(self.ground, upload)
        self.uploads.remove(upload)
        self.done.append(upload)

    def _expect(self, answered: Answered, statuses: set[int]) -> None:
        if answered.status not in statuses:
            body = b"" if answered.answer is None else answered.answer.body
            raise Violation(f"{answered} is none of {sorted(statuses)}: {body[:300]!r}")
