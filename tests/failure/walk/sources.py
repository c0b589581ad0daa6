"""The bytes that clients of a walk send: known at every place without being kept."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

BLOCK_BYTES = 64 * 1024
"""Bytes that are made at a time; no two blocks of a walk are alike, so that a mix-up is seen."""


@functools.lru_cache(maxsize=512)
def _block(name: str, number: int) -> bytes:
    return Random(f"{name}/{number}").randbytes(BLOCK_BYTES)


@dataclass(frozen=True)
class Source:
    """The content of one upload.

    Parameters:
        name: what its bytes are made from.
        size: how many there are in the end.
    """

    name: str
    size: int

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from `start` up to `stop`, in pieces."""
        while start < stop:
            number, within = divmod(start, BLOCK_BYTES)
            piece = _block(self.name, number)[within : within + stop - start]
            yield piece
            start += len(piece)

    def part(self, start: int, stop: int) -> bytes:
        """The bytes from `start` up to `stop`."""
        return b"".join(self.pieces(start, stop))


def sha256(sources: tuple[Source, ...]) -> str:
    """The SHA-256 of one content after the other, in hexadecimal."""
    digest = hashlib.sha256()
    for source in sources:
        for piece in source.pieces(0, source.size):
            digest.update(piece)
    return digest.hexdigest()


def joined(sources: tuple[Source, ...], start: int, stop: int) -> bytes:
    """The bytes from `start` up to `stop` of one content after the other."""
    found = []
    for source in sources:
        if start < source.size and stop > 0:
            found.append(source.part(max(start, 0), min(stop, source.size)))
        start, stop = start - source.size, stop - source.size
    return b"".join(found)
