"""One client of a walk: it takes random steps with uploads of its own, and holds every answer against its model."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable

from tests.failure.client import BYTES, path_of
from tests.failure.walk.checks import content_is, prefix_is
from tests.failure.walk.model import Declared, Gone, Known, Violation
from tests.failure.walk.requests import Answered, asked
from tests.failure.walk.sources import Source
from tests.failure.walk.writer import Writer

MOST_OPEN = 6
"""Uploads that a client goes on with; it is nearly always one that somebody is at already."""

MOST_GRAVES = 8


class Client(Writer):
    """A client that also makes, watches and ends uploads."""

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
            self.expect(answered, {0, 423, 503})
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

    def head(self) -> None:
        if (upload := self.one(final=None)) is not None:
            self.inspect(upload)

    def inspect(self, upload: Known) -> Answered:
        """Ask where it stands."""
        gateway = self.gateway()
        self.note(f"head {upload} at {gateway}")
        answered = asked(self.ground, gateway, "HEAD", upload.path)
        self.note(f"head {upload}: {answered}")
        self.expect(answered, {0, 200, 404, 410, 423, 503})
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
        self.expect(answered, {0, 404, 410, 423, 503, *expected, *({416} if upload.final else set())})
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
        self.expect(answered, {0, 204, 404, 410, 423, 503})
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
        self.expect(answered, {0, 201, 423, 503, *({400, 404, 410} if endangered else set())})
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
            self.expect(answered, {0, 404, 410, 423, 503})

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
