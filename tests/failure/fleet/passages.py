"""Uploads that begin at one gateway and go on at another when that one dies, held to every promise on their way."""

from __future__ import annotations

import hashlib
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from tests.failure.client import KIB, MIB, Wire, ask, concatenate, create, head, id_of, offset_of, patch
from tests.failure.fleet.stores import PART, Place
from tests.raw_http import Response
from tests.servers import Server

T = TypeVar("T")

TAKEOVER_SECONDS = 10.0
"""Within which an upload can go on elsewhere when its gateway was killed (promise 4)."""

TRY_AGAIN = {409, 423, 503}
"""What a client may be told for a while; then it asks where the upload stands, and goes on."""

TRIES = 40
"""Requests that one step may take before the test gives up."""

GONE = (OSError, EOFError)
"""What a client meets when its gateway dies."""


@dataclass
class Passage:
    """One client that has the addresses of two gateways, and leaves the first when that is gone."""

    first: Server
    second: Server
    died: float | None = None
    """When it was noticed that the first one is gone."""
    takeover: float = 0.0
    """Seconds from then to the first answer about the upload."""

    @property
    def server(self) -> Server:
        """The one that it talks to."""
        return self.first if self.died is None else self.second

    def until_answered(self, request: Callable[[Server], T]) -> T:
        """The answer of the first gateway, or of the second when the first is gone."""
        if self.died is None:
            try:
                return request(self.first)
            except GONE:
                self.died = time.monotonic()
        return request(self.second)


@dataclass
class Sent:
    """One upload: what it is made of, and what was acknowledged."""

    passage: Passage
    data: bytes
    headers: dict[str, str] = field(default_factory=dict)
    checked: bool = False
    """Whether every request announces its checksum."""
    deferred: bool = False
    """Whether the length is told with the last bytes, or behind them."""
    path: str = ""
    acknowledged: int = 0
    reach: int = 0
    """Where the farthest request ends that was left hanging: it may still wait for its turn, and have it later."""

    def begin(self, first: int = 0) -> None:
        """Create it, with its first bytes when there are some; who is told no URL begins again."""
        body = self.data[:first] if first else None
        length = None if self.deferred else len(self.data)
        self.path = self.passage.until_answered(lambda server: create(server, length, self.headers, body))
        self.acknowledged = first

    def send(self, size: int, *, tells: bool = False) -> None:
        """Bring `size` more bytes across, in as many requests as it takes; perhaps one `tells` the length."""
        goal = min(self.acknowledged + size, len(self.data))
        for _ in range(TRIES):
            if self.acknowledged >= goal and not (tells and self.deferred):
                return
            try:
                self._patch(goal, tells=tells)
            except GONE:
                assert self.passage.died is None, "the second gateway is gone too"
                self.passage.died = time.monotonic()
                self.recover(goal)
        raise AssertionError(f"{self.path} stays at {self.acknowledged} of {goal}")

    def _patch(self, goal: int, *, tells: bool) -> None:
        start = self.acknowledged
        body = self.data[start:goal]
        fields = {}
        if self.checked:
            fields["Upload-Checksum"] = f"sha1 {b64encode(hashlib.sha1(body).digest()).decode()}"
        if tells and self.deferred:
            fields["Upload-Length"] = f"{len(self.data)}"
        answer = patch(self.passage.server, self.path, start, body, fields)
        if answer.status in TRY_AGAIN:
            self.recover(goal)
            return
        assert answer.status == 204, (answer.status, answer.body, self.path)
        assert offset_of(answer) == goal
        self.acknowledged = goal
        self.deferred = self.deferred and not tells

    def hang(self, size: int, *, promised: int = 0, chunked: bool = False) -> Wire:
        """Begin a PATCH that brings `size` of `promised` bytes and never ends; gives its connection."""
        length = None if chunked else promised or size + 1
        return self.passage.until_answered(lambda server: self._half(server, size, length))

    def _half(self, server: Server, size: int, length: int | None) -> Wire:
        wire = Wire(server)
        self.reach = max(self.reach, self.acknowledged + size)
        body = self.data[self.acknowledged : self.acknowledged + size]
        try:
            wire.patch(self.path, self.acknowledged, length)
            (wire.send_chunk if length is None else wire.send)(body)
        except GONE:
            wire.close()
            raise
        return wire

    def recover_after(self, size: int) -> None:
        """Ask where it stands, when `size` more bytes may have arrived."""
        self.recover(self.acknowledged + size)

    def recover(self, sent: int) -> None:
        """Ask where it stands, and hold the answer to what was acknowledged before."""
        began = time.monotonic()
        answer = self._asked_until_told()
        if self.passage.died is not None and not self.passage.takeover:
            self.passage.takeover = time.monotonic() - began
            assert self.passage.takeover < TAKEOVER_SECONDS, f"{self.passage.takeover:.1f} s to take over {self.path}"
        low, high, offset = self.acknowledged, max(sent, self.reach), offset_of(answer)
        assert low <= offset <= high, f"{self.path}: acknowledged {low}, sent {high}, but it stands at {offset}"
        assert not self.checked or offset in (low, sent), f"{self.path}: {offset} is inside of a checked request"
        self.acknowledged = offset
        self.deferred = self.deferred and "upload-length" not in answer

    def _asked_until_told(self) -> Response:
        for _ in range(TRIES):
            answer = self.passage.until_answered(lambda server: head(server, self.path))
            if answer.status not in TRY_AGAIN:
                assert answer.status == 200, (answer.status, self.path, self.acknowledged)
                return answer
            time.sleep(0.05)  # between two questions, of which there are so many at most
        raise AssertionError(f"nobody tells where {self.path} stands")

    @property
    def name(self) -> str:
        """Of its object."""
        return id_of(self.path)

    @property
    def sha256(self) -> str:
        """Of its bytes."""
        return hashlib.sha256(self.data).hexdigest()

    def check(self, place: Place) -> None:
        """See that the second gateway calls it finished, and that its object is what was sent."""
        finished(self.passage.second, place, self.path, self.data)


def finished(server: Server, place: Place, path: str, data: bytes) -> None:
    """See that an upload is finished, and that its object has these bytes and no others."""
    answer = head(server, path)
    assert answer.status == 200, (answer.status, path)
    assert (offset_of(answer), int(answer["upload-length"])) == (len(data), len(data))
    assert place.sha256(id_of(path)) == hashlib.sha256(data).hexdigest(), f"{path}: other bytes than were sent"


# The ways in which an upload comes across.


def one_request(passage: Passage, place: Place, numbers: Random) -> dict[str, bytes]:
    """An upload that one PATCH brings as a whole."""
    sent = Sent(passage, numbers.randbytes(300 * KIB))
    sent.begin()
    sent.send(len(sent.data))
    sent.check(place)
    return {sent.path: sent.data}


def several_requests(passage: Passage, place: Place, numbers: Random) -> dict[str, bytes]:
    """Several PATCHes: a part and a tail above what a record holds, a tail within it, parts at once, a last part."""
    pieces = (PART + MIB, 100 * KIB, 2 * PART, PART // 2)
    sent = Sent(passage, numbers.randbytes(sum(pieces)))
    sent.begin()
    for size in pieces:
        sent.send(size)
    sent.check(place)
    return {sent.path: sent.data}


def elsewhere_before(passage: Passage, place: Place, numbers: Random) -> dict[str, bytes]:
    """Uploads that began at the second gateway: the first has to read the tails that it goes on from."""
    sent = [Sent(passage, numbers.randbytes(size), deferred=True) for size in (PART + 2 * MIB, PART + MIB, 300 * KIB)]
    for one, before in zip(sent, ((MIB,), (PART, MIB), (300 * KIB,)), strict=True):
        one.passage = Passage(passage.second, passage.second)
        one.begin()
        for size in before:
            one.send(size)
        one.passage = passage
        # Into a part, as the last part, and as the whole object.
        one.send(len(one.data), tells=True)
        one.check(place)
    return {one.path: one.data for one in sent}


def with_creation(passage: Passage, place: Place, numbers: Random) -> dict[str, bytes]:
    """Creations that bring bytes: all of them, none because there are none, and some with the rest behind."""
    sent = [Sent(passage, numbers.randbytes(size)) for size in (64 * KIB, 0, 400 * KIB)]
    for one, first in zip(sent, (64 * KIB, 0, 300 * KIB), strict=True):
        one.begin(first)
        one.send(len(one.data))
        one.check(place)
    return {one.path: one.data for one in sent}


def concatenation(passage: Passage, place: Place, numbers: Random) -> dict[str, bytes]:
    """A final upload of parts, some smaller than what S3 copies; one made before its last part, one small."""
    sent = [Sent(passage, numbers.randbytes(size), {"Upload-Concat": "partial"}) for size in (PART + KIB, 7000, 3000)]
    sent[2].deferred = True
    for one in sent:
        one.begin()
    for one in sent[:2]:
        one.send(len(one.data))
    paths = [one.path for one in sent]
    early = passage.until_answered(lambda server: concatenate(server, paths))
    sent[2].send(len(sent[2].data), tells=True)
    late = passage.until_answered(lambda server: concatenate(server, paths[:2]))
    small = passage.until_answered(lambda server: concatenate(server, paths[1:]))
    data = [one.data for one in sent]
    finals = {early: b"".join(data), late: b"".join(data[:2]), small: b"".join(data[1:])}
    for path, whole in finals.items():
        _merged(passage.second, path, len(whole))
        finished(passage.second, place, path, whole)
    return {**{one.path: one.data for one in sent}, **finals}


def checked_and_deferred(passage: Passage, place: Place, numbers: Random) -> dict[str, bytes]:
    """Requests that count as a whole or not at all; lengths told with the last bytes, and behind them."""
    pieces = (PART + MIB, 200 * KIB)
    checked = Sent(passage, numbers.randbytes(sum(pieces)), checked=True)
    checked.begin()
    for size in pieces:
        checked.send(size)
    sent = [Sent(passage, numbers.randbytes(300 * KIB), deferred=True) for _ in range(2)]
    for one, last in zip(sent, (100 * KIB, 0), strict=True):
        one.begin()
        one.send(len(one.data) - last)
        one.send(last, tells=True)
    for one in (checked, *sent):
        one.check(place)
    return {one.path: one.data for one in (checked, *sent)}


def interrupted(passage: Passage, place: Place, numbers: Random) -> dict[str, bytes]:
    """Requests that hang in the middle; a HEAD and a PATCH have them let go, and the last is cut."""
    sent = Sent(passage, numbers.randbytes(PART + MIB))
    sent.begin()
    for size, again in ((PART // 2, sent.recover_after), (300 * KIB, sent.send)):
        hanging = sent.hang(size)
        again(size)
        hanging.close()
    sent.hang(100 * KIB, chunked=True).close()
    sent.recover_after(100 * KIB)
    sent.send(len(sent.data))
    sent.check(place)
    return {sent.path: sent.data}


def _merged(server: Server, path: str, size: int) -> None:
    """Wait until a final upload is merged: who asks for it drives it on."""
    for _ in range(TRIES):
        answer = ask(server, "HEAD", path)
        assert answer.status in (200, *TRY_AGAIN), (answer.status, path)
        if answer.status == 200 and answer.get("upload-offset") == str(size):
            return
        time.sleep(0.1)  # between two looks, of which there are so many at most
    raise AssertionError(f"{path} is not merged")


WAYS: dict[str, Callable[[Passage, Place, Random], dict[str, bytes]]] = {
    "one request": one_request,
    "several requests": several_requests,
    "elsewhere before": elsewhere_before,
    "with creation": with_creation,
    "concatenation": concatenation,
    "checked and deferred": checked_and_deferred,
    "interrupted": interrupted,
}
"""What every death is tried on; each gives the contents of all uploads that it made, by their paths."""
