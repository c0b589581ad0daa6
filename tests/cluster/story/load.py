"""Clients that upload all the time, and one that asks whether anybody can: what an event costs them."""

from __future__ import annotations

import itertools
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.cluster.story.site import Site, sha256

UPLOADERS = 2
FILE_BYTES = 24 * 2**20
PAUSE_SECONDS = 0.05

_numbers = itertools.count()
"""Of files: several loads may be there at the same time."""

PROBE = {
    "Tus-Resumable": "1.0.0",
    "Upload-Length": "1024",
    "Content-Type": "application/offset+octet-stream",
}

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Not used, and made for every client otherwise: that would be the largest part of the load."""


@dataclass
class Seen:
    """What clients have seen.

    Parameters:
        uploaded: files that were uploaded whole.
        asked: small uploads that were tried.
        refused: answers that were not what a client could try again on.
        gap: longest time in which no small upload of the same client succeeded, in seconds.
    """

    uploaded: int = 0
    asked: int = 0
    refused: list[str] = field(default_factory=list)
    gap: float = 0.0

    def __str__(self) -> str:
        return f"{self.uploaded} files, {self.asked} small uploads, interrupted for {self.gap:.2f} s"


@contextmanager
def steady_load(
    site: Site, *, uploaders: int = UPLOADERS, rate: str | None = None, askers: int = 1, pause: float = PAUSE_SECONDS
) -> Iterator[Seen]:
    """Upload for as long as the block lasts; afterwards everything must be in the bucket, byte by byte.

    With a `rate`, such as 1MiB, each of the uploaders sends so much in a second at most; each of the askers waits for
    `pause` seconds after a small upload. What is seen is there when the block has ended.
    """
    seen, stop = Seen(), threading.Event()
    with ThreadPoolExecutor(uploaders + askers) as threads:
        options = () if rate is None else ("--rate", rate)
        uploading = [threads.submit(_upload, site, options, stop) for _ in range(uploaders)]
        asking = [threads.submit(_ask, site.url, pause, stop) for _ in range(askers)]
        try:
            yield seen
        finally:
            stop.set()
        for key, digest in (file for upload in uploading for file in upload.result()):
            assert site.bucket.sha256(key) == digest, f"{key} has other bytes than were sent"
            seen.uploaded += 1
        for asked in (one.result() for one in asking):
            seen.asked += asked.asked
            seen.refused += asked.refused
            seen.gap = max(seen.gap, asked.gap)


def _upload(site: Site, options: Sequence[str], stop: threading.Event) -> list[tuple[str, str]]:
    """The keys of what was uploaded, and what it has to be; to be looked at when the bucket is well again."""
    done: list[tuple[str, str]] = []
    with site.cluster.network.entered():
        while not stop.is_set() or not done:
            place = site.file(f"load-{next(_numbers)}", FILE_BYTES)
            done.append((site.upload(place, *options), sha256(place)))
            place.unlink()
    return done


def _ask(url: str, pause: float, stop: threading.Event) -> Seen:
    seen, last = Seen(), time.monotonic()
    while not stop.wait(pause):
        seen.asked += 1
        if _once(url, seen):
            now = time.monotonic()
            seen.gap = max(seen.gap, now - last)
            last = now
    seen.gap = max(seen.gap, time.monotonic() - last)
    return seen


def _once(url: str, seen: Seen) -> bool:
    try:
        # A connection of its own each time, which the Service may lead to any gateway.
        answer = httpx.post(url, headers=PROBE, content=bytes(1024), timeout=10, trust_env=False, verify=NO_TLS)
    except httpx.TransportError:
        return False
    if answer.status_code == 201:
        return True
    if answer.status_code != 503 or "retry-after" not in answer.headers:
        seen.refused.append(f"{answer.status_code} {answer.text[:200]}")
    return False
