"""The CRCs that S3 knows, and how that of a whole object follows from those of its parts."""

from __future__ import annotations

import base64
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

try:
    from isal.isal_zlib import crc32
except ImportError:  # no wheels for this machine
    from zlib import crc32

NAMES = ("crc32", "crc32c", "crc64nvme")
"""What may be asked for. The first is in Python itself, and ten times faster in isal; the others need awscrt."""

# Reflected polynomials, as S3 documents them for its checksums.
_POLYNOMIALS = {"crc32": 0xEDB88320, "crc32c": 0x82F63B78, "crc64nvme": 0x9A6C9329AC4BC9B5}
_MODULES = {"crc32c": ("awscrt.checksums", "crc32c"), "crc64nvme": ("awscrt.checksums", "crc64nvme")}


@dataclass(frozen=True, slots=True)
class Checksum:
    """One kind of CRC.

    Parameters:
        name: as in the settings.
        bits: 32 or 64.
        update: gives the CRC of bytes that follow bytes of a known CRC; 0 is that of nothing.
    """

    name: str
    bits: int
    update: Callable[[Any, int], int]

    @property
    def algorithm(self) -> str:
        """As the S3 API names it."""
        return self.name.upper()

    @property
    def parameter(self) -> str:
        """Field of the S3 API that carries a value of it."""
        return f"Checksum{self.algorithm}"

    @property
    def header(self) -> str:
        """Header that carries a value of it."""
        return f"x-amz-checksum-{self.name}"

    def encode(self, value: int) -> str:
        """A value as S3 takes it: big-endian, base64."""
        return base64.b64encode(value.to_bytes(self.bits // 8, "big")).decode()

    def decode(self, text: str) -> int:
        """The value that `encode` made `text` of."""
        return int.from_bytes(base64.b64decode(text), "big")

    def combine(self, first: int, second: int, size: int) -> int:
        """The CRC of two runs of bytes, of which the second has `size` bytes; 60 us, whatever the size."""
        power = 0
        while size:
            if size & 1:
                first = _times(_zeros(self.name, power), first)
            size >>= 1
            power += 1
        return first ^ second


def checksum(name: str) -> Checksum | None:
    """The CRC of that name; None for `none`.

    Raises:
        ValueError: it needs a package that is not installed; the message names it.
    """
    if name == "none":
        return None
    if name == "crc32":
        return Checksum(name, 32, crc32)
    module, function = _MODULES[name]
    try:
        update = getattr(importlib.import_module(module), function)
    except ImportError:
        raise ValueError(f"checksum: {name} needs the package awscrt; install tusfleet[s3-crt], or use crc32") from None
    return Checksum(name, 64 if name == "crc64nvme" else 32, update)


@cache
def _zeros(name: str, power: int) -> tuple[int, ...]:
    """What 2**power bytes of zeros do to a CRC: a matrix over GF(2), one column a bit (as zlib's crc32_combine)."""
    polynomial = _POLYNOMIALS[name]
    bits = 64 if name == "crc64nvme" else 32
    if power == 0:
        matrix = (polynomial, *(1 << bit for bit in range(bits - 1)))
        for _ in range(3):
            matrix = _squared(matrix)
        return matrix
    return _squared(_zeros(name, power - 1))


def _squared(matrix: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(_times(matrix, column) for column in matrix)


def _times(matrix: tuple[int, ...], vector: int) -> int:
    result = 0
    for column in matrix:
        if vector & 1:
            result ^= column
        vector >>= 1
        if not vector:
            break
    return result
