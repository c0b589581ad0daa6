"""Digests over the bytes of one request."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from typing import Protocol

from tusfleet.uploads.errors import ChecksumMismatch
from tusfleet.uploads.intents import CHECKSUM_SIZES, Checksum


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def _new(algorithm: str) -> _Hash:
    return _Crc32() if algorithm == "crc32" else hashlib.new(algorithm, usedforsecurity=False)


class Hasher:
    """Computes the digests a request may ask for: one, or all when it tells the algorithm only at its end."""

    def __init__(self, algorithm: str | None) -> None:
        names = CHECKSUM_SIZES if algorithm is None else (algorithm,)
        self._hashes = {name: _new(name) for name in names}

    def update(self, chunks: Sequence[bytes]) -> None:
        """Add bytes. Releases the interpreter lock, so that it can run in a thread."""
        for chunk in chunks:
            for item in self._hashes.values():
                item.update(chunk)

    def check(self, expected: Checksum) -> None:
        """Compare with what the client announced.

        Raises:
            ChecksumMismatch: the bytes are others.
        """
        if self._hashes[expected.algorithm].digest() != expected.digest:
            raise ChecksumMismatch("The bytes do not match Upload-Checksum; nothing of this request was kept")
