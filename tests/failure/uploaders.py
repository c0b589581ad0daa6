"""Clients that upload without end through the deaths of a server, and notice every promise that it breaks."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from tests.failure.client import KIB, MIB, Wire, ask, concatenate, create, id_of, offset_of
from tests.raw_http import Response
from tests.servers import Server, eventually

T = TypeVar("T")

DOWN_SECONDS = 40.0
"""Longest that a server may be away; a restart takes under a second."""

GONE = (OSError, EOFError)
"""What a client meets when the server dies."""


@dataclass(slots=True)
class Ledger:
    """What became of the uploads of all clients of a test."""

    kept: dict[str, str] = field(default_factory=dict)
    """SHA-256 of finished uploads by id, which have to be there in the end."""
    verified: int = 0
    cut: int = 0
    """How often a client met a server that was gone."""
    broken: threading.Event = field(default_factory=threading.Event)
    """Set when a client has found a broken promise."""


def through_deaths(request: Callable[[], T], ledger: Ledger) -> T:
    """Repeat a request until there is a server that answers it."""
    deadline = time.monotonic() + DOWN_SECONDS
    while True:
        try:
            return request()
        except GONE:
            ledger.cut += 1
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)  # between two tries, up to the deadline


class Sending:
    """The bytes of one upload on their way.

    Parameters:
        server: may die at any moment.
        numbers: decides about everything that is left to chance.
        size: in bytes.
        headers: for the creation.
        checksums: announce one for every request; then a request counts as a whole or not at all.
        deferred: tell the length with the last bytes only.
    """

    def __init__(
        self,
        server: Server,
        numbers: Random,
        ledger: Ledger,
        size: int,
        *,
        headers: dict[str, str] | None = None,
        checksums: bool = False,
        deferred: bool = False,
    ) -> None:
        self.server = server
        self.numbers = numbers
        self.ledger = ledger
        self.data = numbers.randbytes(size)
        self.headers = headers or {}
        self.checksums = checksums
        self.deferred = deferred
        self.path = ""
        self.acknowledged = 0
        self.sent = 0
        self._wire: Wire | None = None
        # One process reads what comes in its order; of several, one may read a request that was given up behind those
        # that followed it on other connections. The client is told, and loses nothing.
        self._overtaken = "--workers" in server.flags

    def begin(self, first: int = 0) -> None:
        """Create the upload, with its first bytes when there are some."""
        length = None if self.deferred else len(self.data)
        body = self.data[:first] if first else None
        self.path = through_deaths(lambda: create(self.server, length, self.headers, body), self.ledger)
        # A creation has answered with 201 for all of its bytes.
        self.acknowledged = self.sent = first

    def run(self, until: int | None = None) -> None:
        """Send bytes up to `until`, in as many requests as it takes."""
        end = len(self.data) if until is None else until
        most = self.numbers.choice((64 * KIB, 300 * KIB, MIB, 4 * MIB, 64 * MIB))
        while self.acknowledged < end or (end == len(self.data) and self.deferred):
            try:
                self._request(min(most, end - self.acknowledged))
            except GONE:
                self.ledger.cut += 1
                self._drop()
                self.recover()
        self._drop()

    def recover(self) -> None:
        """Ask where the upload stands, and hold the server to what it has said before."""
        answer = through_deaths(lambda: ask(self.server, "HEAD", self.path), self.ledger)
        assert answer.status == 200, (answer.status, self.path)
        low, offset, high = self.acknowledged, offset_of(answer), self.sent
        assert low <= offset <= high, f"{self.path}: acknowledged {low}, sent {high}, but it stands at {offset}"
        assert not self.checksums or offset in (low, high), f"{self.path}: {offset} is inside of a checked request"
        if self.deferred and "upload-length" in answer:
            assert int(answer["upload-length"]) == len(self.data)
            self.deferred = False
        self.acknowledged = offset
        self.sent = max(offset, self.sent) if self._overtaken else offset

    def _request(self, size: int) -> None:
        body = self.data[self.acknowledged : self.acknowledged + size]
        wire = self._connected()
        wire.patch(self.path, self.acknowledged, size, self._fields(body))
        stop = self.numbers.randrange(size) if size and self.numbers.random() < 0.1 else size
        self._send(wire, body, stop)
        if stop < size:
            # A client that believes its connection dead goes on on another one, while the old one is still there.
            self._wire = None
            with wire:
                self.recover()
            return
        answer = wire.read("PATCH")
        if self._overtaken and answer.status in (409, 423):
            self.recover()
            return
        assert answer.status == 204, (answer.status, answer.body, self.path)
        assert offset_of(answer) == self.acknowledged + size
        self.acknowledged = offset_of(answer)
        if self.acknowledged == len(self.data):
            self.deferred = False

    def _fields(self, body: bytes) -> dict[str, str]:
        fields = {}
        if self.checksums:
            name = self.numbers.choice(("sha1", "sha256"))
            fields["Upload-Checksum"] = f"{name} {base64.b64encode(hashlib.new(name, body).digest()).decode()}"
        if self.deferred and self.acknowledged + len(body) == len(self.data):
            fields["Upload-Length"] = str(len(self.data))
        return fields

    def _send(self, wire: Wire, body: bytes, stop: int) -> None:
        """Send a body piece by piece, with pauses; `sent` is what may have arrived."""
        base, position = self.acknowledged, 0
        pause = self.numbers.choice((0.0, 0.0, 0.001, 0.01))
        most = self.numbers.choice((8 * KIB, 100 * KIB, MIB))
        if self.checksums:
            self.sent = base + len(body)
        while position < stop:
            piece = body[position : min(stop, position + self.numbers.randint(1, most))]
            position += len(piece)
            self.sent = max(self.sent, base + position)
            wire.send(piece)
            time.sleep(self.numbers.uniform(0, pause))  # the random pace of a client

    def _connected(self) -> Wire:
        if self._wire is None or self.numbers.random() < 0.3:
            self._drop()
            self._wire = Wire(self.server)
        return self._wire

    def _drop(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None


SIZES = (1, 50 * KIB, MIB, 3 * MIB, 8 * MIB)
"""Bytes of an upload, and up to `SPREAD` more."""

SPREAD = 5000


class Client:
    """Makes one upload after the other, of every kind, until it is told to stop."""

    def __init__(self, server: Server, numbers: Random, ledger: Ledger, sizes: Sequence[int] = SIZES) -> None:
        self.server = server
        self.numbers = numbers
        self.ledger = ledger
        self.sizes = sizes

    def run(self, stop: threading.Event) -> None:
        """Upload until `stop` is set; what has been begun is completed."""
        kinds = (self.single, self.checked, self.first_bytes, self.deferred, self.concatenated, self.deleted)
        while not stop.is_set():
            self.numbers.choice(kinds)()

    def sending(
        self, headers: dict[str, str] | None = None, *, checksums: bool = False, deferred: bool = False
    ) -> Sending:
        size = self.numbers.choice(self.sizes) + self.numbers.randrange(SPREAD)
        numbers = Random(self.numbers.random())
        return Sending(self.server, numbers, self.ledger, size, headers=headers, checksums=checksums, deferred=deferred)

    def single(self) -> None:
        self._whole(self.sending())

    def checked(self) -> None:
        self._whole(self.sending(checksums=True))

    def deferred(self) -> None:
        self._whole(self.sending(deferred=True))

    def first_bytes(self) -> None:
        sending = self.sending()
        self._whole(sending, first=self.numbers.choice((len(sending.data), 1 + len(sending.data) // 2)))

    def deleted(self) -> None:
        sending = self.sending()
        sending.begin()
        sending.run(until=self.numbers.randrange(len(sending.data) + 1))
        self._delete(sending.path)

    def concatenated(self) -> None:
        parts = [self.sending({"Upload-Concat": "partial"}) for _ in range(self.numbers.randint(1, 3))]
        for part in parts:
            part.begin()
        paths = [part.path for part in parts]
        early = self.numbers.random() < 0.5
        final = self._concatenate(paths) if early else ""
        for part in parts:
            part.run()
        if not early:
            final = self._concatenate(paths)
        whole = b"".join(part.data for part in parts)
        assert eventually(lambda: self._merged(final)) == str(len(whole))
        self._verify(final, whole)

    def _merged(self, final: str) -> str | None:
        """Where a final upload stands; nothing while it is being merged."""
        answer = self._ask("HEAD", final)
        assert (answer.status, "upload-length" in answer) == (200, True), answer
        return answer.get("upload-offset")

    def _concatenate(self, paths: list[str]) -> str:
        return through_deaths(lambda: concatenate(self.server, paths), self.ledger)

    def _whole(self, sending: Sending, first: int = 0) -> None:
        sending.begin(first)
        sending.run()
        self._verify(sending.path, sending.data)

    def _verify(self, path: str, data: bytes) -> None:
        answer = self._ask("GET", path)
        assert answer.status == 200, (answer.status, path)
        found, wanted = hashlib.sha256(answer.body).hexdigest(), hashlib.sha256(data).hexdigest()
        assert found == wanted, f"{path}: {len(answer.body)} of {len(data)} bytes, and others"
        self.ledger.verified += 1
        if self.numbers.random() < 0.3:
            self.ledger.kept[id_of(path)] = wanted
        else:
            self._delete(path)

    def _delete(self, path: str) -> None:
        answer = self._ask("DELETE", path)
        # 404: a DELETE whose answer was lost with the server.
        assert answer.status in (204, 404), (answer.status, path)
        assert self._ask("HEAD", path).status == 404

    def _ask(self, method: str, path: str) -> Response:
        return through_deaths(lambda: ask(self.server, method, path), self.ledger)


@contextmanager
def uploading(server: Server, seed: int, clients: int, sizes: Sequence[int] = SIZES) -> Iterator[Ledger]:
    """Clients at work; at the end each completes what it has begun. Whatever one of them finds is raised."""
    ledger, stop = Ledger(), threading.Event()
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            Client(server, Random(f"{seed}-{number}"), ledger, sizes).run(stop)
        except (AssertionError, *GONE) as failure:
            failures.append(failure)
            ledger.broken.set()
            stop.set()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield ledger
    finally:
        stop.set()
        for thread in threads:
            thread.join(2 * DOWN_SECONDS)
    if failures:
        raise failures[0]
    assert not any(thread.is_alive() for thread in threads)
