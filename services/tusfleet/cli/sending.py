"""Bytes on their way to one upload: requests, retries, and going on where the server stands."""

from __future__ import annotations

import base64
import hashlib
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tusfleet.cli.contents import Content
from tusfleet.cli.failures import Failure, Transient
from tusfleet.cli.progress import Progress
from tusfleet.cli.retrying import Heartbeat, Patience, Throttle
from tusfleet.cli.tus_client import Status, TusClient

CHECKED_BYTES = 16 * 1024 * 1024
"""Size of a request with a digest: the server keeps nothing of one that is cut, so little is lost with it."""

ALGORITHMS = ("sha256", "sha1", "sha512", "md5", "crc32")


@dataclass(frozen=True, slots=True)
class Manner:
    """How bytes are sent.

    Parameters:
        chunk_size: most bytes of a request; None sends all that is left in one.
        checksum: algorithm of Upload-Checksum, one of `ALGORITHMS`; None sends no digest.
        rate: bytes per second; None as fast as it goes.
        retries: most tries in a row without progress; None for no limit.
        give_up_after: seconds without progress.
    """

    chunk_size: int | None
    checksum: str | None
    rate: int | None
    retries: int | None
    give_up_after: float

    @property
    def request_bytes(self) -> int | None:
        """Most bytes of one request; None for no limit."""
        if self.checksum is None:
            return self.chunk_size
        return min(CHECKED_BYTES, self.chunk_size or CHECKED_BYTES)


class Sender:
    """Sends what belongs to one transfer; its parts share the rate, the clock of progress and the order to stop."""

    def __init__(self, client: TusClient, manner: Manner, progress: Progress, clock: Callable[[], float]) -> None:
        self.client = client
        self.manner = manner
        self.progress = progress
        self.stop = threading.Event()
        self._heart = Heartbeat(clock)
        self._throttle = Throttle(manner.rate, clock, self.stop)

    def patience(self) -> Patience:
        """The patience for one stream of requests."""
        return Patience(
            self._heart,
            give_up_after=self.manner.give_up_after,
            retries=self.manner.retries,
            stop=self.stop,
            notify=self.progress.note,
        )

    def stream(self, url: str, part: int = 0) -> Stream:
        """A stream of requests to one upload."""
        return Stream(self, url, part)

    def passing(self, block: bytes) -> Iterator[bytes]:
        """A block in slices, as fast as the rate allows.

        Raises:
            Stopped: the whole has failed meanwhile.
        """
        grain = self._throttle.grain(len(block)) or 1
        for start in range(0, len(block), grain):
            piece = block[start : start + grain]
            self._throttle.take(len(piece))
            yield piece


class Stream:
    """Requests to one upload, one after the other.

    Parameters:
        part: number of the upload within its transfer, for the progress.
    """

    def __init__(self, sender: Sender, url: str, part: int) -> None:
        self._sender = sender
        self._client = sender.client
        self._url = url
        self._part = part
        self._patience = sender.patience()

    def inspect(self) -> Status:
        """Where the server stands.

        Raises:
            Missing: it does not know the upload.
        """
        status = self._patience.persist(lambda: self._client.inspect(self._url))
        self._sender.progress.stands(self._part, status.offset or 0)
        return status

    def push(self, content: Content, stop: int, status: Status, *, closing: bool = False) -> Status:
        """Bring the upload from where it stands up to `stop`, however often the connection breaks.

        Parameters:
            closing: `stop` is the length of the upload, which was deferred.

        Raises:
            Missing: the server does not know the upload any more.
            Failure: another try cannot help.
        """
        while (offset := self._offset(status, stop)) < stop or (closing and status.length is None):
            # A request that was cut may have told the length all the same; telling it twice is an error.
            length = stop if closing and status.length is None else None
            end = min(stop, offset + (self._sender.manner.request_bytes or stop))
            try:
                offset = self._request(content, offset, end, length if end == stop else None)
            except Transient as trouble:
                self._patience.wait(trouble)
                status = self.inspect()
                self._patience.moved(status.offset or 0)
                continue
            self._patience.moved(offset)
            status = Status(offset, length if end == stop and length is not None else status.length)
        return status

    def _offset(self, status: Status, stop: int) -> int:
        if status.offset is None or status.offset > stop:
            raise Failure(f"The server has {status.offset} bytes of {stop} that were to be sent; somebody else wrote")
        return status.offset

    def _request(self, content: Content, offset: int, end: int, length: int | None) -> int:
        blocks, checksum = content.blocks(offset, end), None
        if (algorithm := self._sender.manner.checksum) is not None:
            held = list(blocks)
            blocks, checksum = iter(held), checksum_value(algorithm, held)
        body = self._body(blocks, offset)
        return self._client.append(self._url, offset, end - offset, body, length=length, checksum=checksum)

    def _body(self, blocks: Iterator[bytes], position: int) -> Iterator[bytes]:
        for block in blocks:
            for piece in self._sender.passing(block):
                yield piece
                position += len(piece)
                self._patience.moved(position)
                self._sender.progress.moved(self._part, position)


def checksum_value(algorithm: str, blocks: list[bytes]) -> str:
    """The value of Upload-Checksum over `blocks` (tus 1.0.0, checksum); crc32 in network byte order."""
    if algorithm == "crc32":
        value = 0
        for block in blocks:
            value = zlib.crc32(block, value)
        digest = value.to_bytes(4, "big")
    else:
        hasher = hashlib.new(algorithm, usedforsecurity=False)
        for block in blocks:
            hasher.update(block)
        digest = hasher.digest()
    return f"{algorithm} {base64.b64encode(digest).decode()}"
