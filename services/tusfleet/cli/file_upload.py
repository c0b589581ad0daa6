"""The upload of one file or of standard input, from creation or from where an earlier run ended."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, BinaryIO

from tusfleet.cli.contents import Changed, FilePart, LocalFile, windows
from tusfleet.cli.failures import Failure, Missing, ServerFailure, Transient
from tusfleet.cli.parallel import run_together, spans
from tusfleet.cli.resume_state import ResumeState
from tusfleet.cli.sending import Sender
from tusfleet.cli.text import size_text
from tusfleet.cli.tus_client import Status, encode_metadata

STARTS = 3
"""How often an upload may vanish from the server before the command says so."""

WINDOW_BYTES = 8 * 1024 * 1024
"""What is held of a stream until the server has it."""


class FileUpload:
    """Sends one file. Where its bytes go is saved before the first of them is sent.

    Parameters:
        parts: number of uploads that share the file and are put together in the end.
    """

    def __init__(
        self, sender: Sender, file: LocalFile, state: ResumeState, metadata: Mapping[str, str], parts: int
    ) -> None:
        self._sender = sender
        self._client = sender.client
        self._file = file
        self._state = state
        self._metadata = encode_metadata(metadata)
        self._spans = spans(file.size, parts)

    def run(self) -> str:
        """Send the file; returns the URL of the finished upload.

        Raises:
            Failure: it cannot be done; what the server has is kept for the next run.
            Changed: the file changed; nothing is kept.
        """
        with self._state.locked():
            saved = _Saved(self._state.load())
            for _ in range(STARTS):
                try:
                    url = self._parallel(saved) if len(self._spans) > 1 else self._single(saved)
                except Missing:
                    self._sender.progress.note("the server does not know the upload any more; starting anew")
                    self._state.remove()
                    saved = _Saved(None)
                except Changed:
                    self._discard(saved)
                    raise
                else:
                    self._state.remove()
                    return url
            raise ServerFailure("The server forgets uploads as soon as they are made")

    def _single(self, saved: _Saved) -> str:
        size = self._file.size
        if saved.urls:
            stream = self._sender.stream(saved.urls[0])
            status = self._known(stream.inspect(), size)
        else:
            self._create(saved, size, partial=False)
            stream, status = self._sender.stream(saved.urls[0]), Status(0, size)
        self._tell_resumed(status.offset or 0)
        stream.push(FilePart(self._file, 0, size), size, status)
        return saved.urls[0]

    def _parallel(self, saved: _Saved) -> str:
        if saved.final is None:
            fresh = not saved.urls
            for _, size in self._spans[len(saved.urls) :]:
                self._create(saved, size, partial=True)
            streams = [self._sender.stream(url, part) for part, url in enumerate(saved.urls)]
            standing = [
                Status(0, size) if fresh else self._known(stream.inspect(), size)
                for stream, (_, size) in zip(streams, self._spans, strict=True)
            ]
            self._tell_resumed(sum(status.offset or 0 for status in standing))
            jobs = [
                lambda stream=stream, span=span, status=status: stream.push(
                    FilePart(self._file, *span), span[1], status
                )
                for stream, span, status in zip(streams, self._spans, standing, strict=True)
            ]
            run_together(jobs, self._sender.stop)
            self._file.check()
            saved.final = self._sender.patience().persist(lambda: self._client.create_final(saved.urls, self._metadata))
            self._state.save(saved.as_dict())
        self._wait_merged(saved.final)
        return saved.final

    def _create(self, saved: _Saved, size: int, *, partial: bool) -> None:
        metadata = "" if partial else self._metadata
        create = self._client.create
        saved.urls.append(self._sender.patience().persist(lambda: create(size, metadata, partial=partial)))
        self._state.save(saved.as_dict())

    def _wait_merged(self, url: str) -> None:
        def merged() -> None:
            status = self._client.inspect(url)
            if status.offset is None:
                raise Transient("the server is still putting the parts together")
            if status.offset != self._file.size:
                raise Failure(f"The parts have {status.offset} bytes together, not {self._file.size}")

        self._sender.patience().persist(merged)

    def _known(self, status: Status, size: int) -> Status:
        # An id that was given to something else is as good as none.
        if status.length != size or status.offset is None:
            raise Missing("The upload at the saved address is another one")
        return status

    def _tell_resumed(self, offset: int) -> None:
        if offset:
            self._sender.progress.note(f"going on at {size_text(offset)} of {size_text(self._file.size)}")

    def _discard(self, saved: _Saved) -> None:
        """Let go of an upload that can never be finished; when the server does not hear, it expires there."""
        self._state.remove()
        for url in saved.urls:
            with suppress(Transient, Missing, Failure):
                self._client.terminate(url)


class _Saved:
    """What the state file holds: addresses of the parts, and of the whole once it is put together."""

    def __init__(self, saved: Mapping[str, Any] | None) -> None:
        urls = (saved or {}).get("urls", [])
        final = (saved or {}).get("final")
        fine = isinstance(urls, list) and all(isinstance(url, str) for url in urls)
        self.urls: list[str] = list(urls) if fine else []
        self.final: str | None = final if isinstance(final, str) else None

    def as_dict(self) -> dict[str, Any]:
        return {"urls": self.urls, "final": self.final}


def send_stream(sender: Sender, stream: BinaryIO, metadata: Mapping[str, str]) -> str:
    """Send what can be read once, of unknown length; returns the URL of the finished upload.

    Raises:
        Failure: it cannot be done; the bytes that were read are gone.
    """
    try:
        url = sender.patience().persist(lambda: sender.client.create(None, encode_metadata(metadata)))
        requests, status = sender.stream(url), Status(0, None)
        size = min(WINDOW_BYTES, sender.manner.chunk_size or WINDOW_BYTES)
        for window, last in windows(stream, size):
            if last:
                sender.progress.expect(window.stop)
            status = requests.push(window, window.stop, status, closing=last)
    except Missing as error:
        raise ServerFailure(f"The server lost the upload, and standard input cannot be read again: {error}") from None
    return url
