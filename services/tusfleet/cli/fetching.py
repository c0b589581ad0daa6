"""Bytes from a server to a file or a stream: ranges, retries, and no mixture of two versions."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import httpx

from tusfleet.cli.failures import Failure, Missing, ServerFailure, Transient
from tusfleet.cli.http_client import detail, retry_after, transport_errors, worth_a_retry
from tusfleet.cli.progress import Progress
from tusfleet.cli.resume_state import ResumeState
from tusfleet.cli.retrying import Heartbeat, Patience, Throttle
from tusfleet.cli.sending import Manner
from tusfleet.cli.text import printable, size_text

_CONTENT_RANGE = re.compile(r"bytes (?:([0-9]{1,19})-([0-9]{1,19})|\*)/([0-9]{1,19})")


@dataclass(frozen=True, slots=True)
class _Answer:
    """The head of an answer: where its bytes begin, how long the whole is, and the version it belongs to."""

    start: int
    total: int | None
    tag: str | None
    disposition: str | None


class Target:
    """The file of a download: `NAME.part` until it is complete.

    Parameters:
        path: where to write; None takes a name from the server, made by `named`.
        state: remembers the name and the version of what stands in the `.part` file.
        named: a safe file name for what Content-Disposition says.
    """

    def __init__(self, path: Path | None, state: ResumeState, named: Callable[[str | None], str]) -> None:
        self._given = path is not None
        self._state = state
        self._named = named
        saved = state.load() or {}
        name, tag = saved.get("name"), saved.get("tag")
        if path is None and isinstance(name, str) and name == Path(name).name:
            path = Path(name)
        self._path = path
        self.tag: str | None = tag if isinstance(tag, str) else None
        if path is not None and path.is_dir():
            raise Failure(f"{printable(str(path))} is a folder; name a file")

    @property
    def path(self) -> Path:
        """The finished file; known from the first answer on at the latest."""
        if self._path is None:
            raise Failure("The server has not told a name yet")
        return self._path

    def standing(self) -> int:
        """Bytes of the version `tag` that are there already."""
        if self._path is None or self.tag is None:
            return 0
        try:
            return self._part.stat().st_size
        except FileNotFoundError:
            return 0

    def begin(self, answer: _Answer) -> BinaryIO:
        """Open the `.part` file where `answer` goes on, and remember which version it is."""
        if self._path is None:
            self._path = Path(self._named(answer.disposition))
        if not self._given and self._path.exists():
            raise Failure(f"{printable(str(self._path))} is there already; name another file with -o")
        self.tag = answer.tag
        self._state.save({"name": str(self._path), "tag": answer.tag})
        try:
            # Not truncated by opening: what an earlier run brought stays, up to where the answer begins.
            stream = self._part.open("r+b" if answer.start else "wb")
            stream.truncate(answer.start)
            stream.seek(answer.start)
        except OSError as error:
            raise self._unwritable(error) from None
        return stream

    def write(self, stream: BinaryIO, block: bytes) -> None:
        """Add a block to the `.part` file."""
        try:
            stream.write(block)
        except OSError as error:
            raise self._unwritable(error) from None

    def finish(self, total: int) -> None:
        """Give the complete file its name."""
        size = self._part.stat().st_size
        if size != total:
            raise ServerFailure(
                f"{printable(str(self._part))} has {size} bytes, not {total}; delete it and start again"
            )
        try:
            self._part.replace(self.path)
        except OSError as error:
            raise Failure(f"{printable(str(self.path))} cannot be written: {error.strerror}") from None
        self._state.remove()

    def _unwritable(self, error: OSError) -> Failure:
        return Failure(f"{printable(str(self._part))} cannot be written: {error.strerror}")

    @property
    def _part(self) -> Path:
        return self.path.with_name(self.path.name + ".part")


class Fetch:
    """One download."""

    def __init__(
        self, http: httpx.Client, url: str, manner: Manner, progress: Progress, clock: Callable[[], float]
    ) -> None:
        self._http = http
        self._url = url
        self._progress = progress
        stop = threading.Event()
        self._throttle = Throttle(manner.rate, clock, stop)
        self._patience = Patience(
            Heartbeat(clock),
            give_up_after=manner.give_up_after,
            retries=manner.retries,
            stop=stop,
            notify=progress.note,
        )

    def to_file(self, target: Target) -> None:
        """Fill `target`, going on where it stands.

        Raises:
            Failure: it cannot be done; what is there stays for the next run.
            Missing: there is nothing at the address.
        """
        target.finish(self._patience.persist(lambda: self._fill(target)))

    def to_stream(self, stream: BinaryIO) -> None:
        """Write everything to `stream`, once and in order.

        Raises:
            Failure: it cannot be done, or the upload changed after its first bytes had been written.
        """
        written, tag = 0, None

        def take() -> None:
            nonlocal written, tag
            with _opened(self._http, self._url, written, tag) as (response, answer):
                if written and (answer.start, answer.tag) != (written, tag):
                    raise Failure("The server cannot go on in the middle of this upload, or it changed; start again")
                tag = answer.tag
                self._expect(answer)
                for block in self._blocks(response, answer.start):
                    stream.write(block)
                    written += len(block)
                self._require(written, answer)

        self._patience.persist(take)
        stream.flush()

    def _fill(self, target: Target) -> int:
        with _opened(self._http, self._url, target.standing(), target.tag) as (response, answer):
            self._expect(answer)
            if answer.start:
                self._progress.note(f"going on at {size_text(answer.start)}")
            with target.begin(answer) as stream:
                position = answer.start
                for block in self._blocks(response, position):
                    target.write(stream, block)
                    position += len(block)
            return self._require(position, answer)

    def _blocks(self, response: httpx.Response, position: int) -> Iterator[bytes]:
        if response.status_code == 416:
            return  # all bytes are there already; what this answer has is about the request
        # As they come: a block of a fixed size would be lost with the connection before it is full.
        for block in response.iter_raw():
            self._throttle.take(len(block))
            yield block
            position += len(block)
            self._patience.moved(position)
            self._progress.moved(0, position)

    def _expect(self, answer: _Answer) -> None:
        self._progress.stands(0, answer.start)
        if answer.total is not None:
            self._progress.expect(answer.total)

    def _require(self, position: int, answer: _Answer) -> int:
        if answer.total is not None and position != answer.total:
            raise Transient(f"the answer ended after {position} of {answer.total} bytes")
        return position


@contextmanager
def _opened(http: httpx.Client, url: str, standing: int, tag: str | None) -> Iterator[tuple[httpx.Response, _Answer]]:
    """Ask for the bytes from `standing` on if the version is still `tag`, else for all of them (RFC 9110, 13.1.5)."""
    headers = {"Range": f"bytes={standing}-", "If-Range": tag} if standing and tag else {}
    with transport_errors(url), http.stream("GET", url, headers=headers) as response:
        if response.status_code not in {200, 206, 416}:
            response.read()
            raise _refused(response)
        yield response, _answer(response, standing, tag)


def _answer(response: httpx.Response, standing: int, asked: str | None) -> _Answer:
    headers = response.headers
    # A weak tag does not promise the same bytes.
    tag = None if (told := headers.get("ETag")) is None or told.startswith("W/") else told
    disposition = headers.get("Content-Disposition")
    if response.status_code == 200:
        length = headers.get("Content-Length", "")
        return _Answer(0, int(length) if length.isdecimal() else None, tag, disposition)
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if match is None or int(match[1] or match[3]) != standing:
        raise ServerFailure("The server answered with another range than was asked for; delete the .part file")
    # A range beyond the end is refused only while the version is the one asked for, and the answer may not tell it.
    return _Answer(standing, int(match[3]), asked if response.status_code == 416 else tag, disposition)


def _refused(response: httpx.Response) -> Exception:
    status, why = response.status_code, detail(response)
    url = printable(str(response.request.url))
    if worth_a_retry(status):
        return Transient(f"the server answered {status}{why}", retry_after(response))
    if status in {404, 410}:
        return Missing(f"There is nothing to download at {url}{why}")
    if status in {401, 403}:
        return ServerFailure(f"The server does not give {url} out without the right credentials{why}")
    if status == 405:
        return ServerFailure(f"The server does not give uploads out{why}")
    return ServerFailure(f"The server refused the download with {status}{why}")
