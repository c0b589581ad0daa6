"""Clients that upload all the time, and one that asks whether anybody can: what an event costs them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.cluster.story.site import Site, sha256

UPLOADERS = 2
FILE_BYTES = 24 * 2**20
PAUSE_SECONDS = 0.05

PROBE = {
    "Tus-Resumable": "1.0.0",
    "Upload-Length": "1024",
    "Content-Type": "application/offset+octet-stream",
}


@dataclass
class Seen:
    """What clients have seen.

    Parameters:
        uploaded: files that were uploaded whole.
        asked: small uploads that were tried.
        refused: answers that were not what a client could try again on.
        gap: longest time in which no small upload succeeded, in seconds.
    """

    uploaded: int = 0
    asked: int = 0
    refused: list[str] = field(default_factory=list)
    gap: float = 0.0


@contextmanager
def steady_load(site: Site) -> Iterator[Seen]:
    """Upload for as long as the block lasts; afterwards everything must be in the bucket, byte by byte."""
    seen, stop = Seen(), threading.Event()
    with ThreadPoolExecutor(UPLOADERS + 1) as threads:
        uploading = [threads.submit(_upload, site, number, stop) for number in range(UPLOADERS)]
        asking = threads.submit(_ask, site.url, seen, stop)
        try:
            yield seen
        finally:
            stop.set()
        for key, digest in (file for upload in uploading for file in upload.result()):
            assert site.bucket.sha256(key) == digest, f"{key} has other bytes than were sent"
            seen.uploaded += 1
        asking.result()


def _upload(site: Site, number: int, stop: threading.Event) -> list[tuple[str, str]]:
    """The keys of what was uploaded, and what it has to be; to be looked at when the bucket is well again."""
    done: list[tuple[str, str]] = []
    with site.cluster.network.entered():
        while not stop.is_set() or not done:
            place = site.file(f"load-{number}-{len(done)}", FILE_BYTES)
            done.append((site.upload(place), sha256(place)))
            place.unlink()
    return done


def _ask(url: str, seen: Seen, stop: threading.Event) -> None:
    last = time.monotonic()
    while not stop.wait(PAUSE_SECONDS):
        seen.asked += 1
        if _once(url, seen):
            now = time.monotonic()
            seen.gap = max(seen.gap, now - last)
            last = now
    seen.gap = max(seen.gap, time.monotonic() - last)


def _once(url: str, seen: Seen) -> bool:
    try:
        # A connection of its own each time, which the Service may lead to any gateway.
        answer = httpx.post(url, headers=PROBE, content=bytes(1024), timeout=10, trust_env=False)
    except httpx.TransportError:
        return False
    if answer.status_code == 201:
        return True
    if answer.status_code != 503 or "retry-after" not in answer.headers:
        seen.refused.append(f"{answer.status_code} {answer.text[:200]}")
    return False
