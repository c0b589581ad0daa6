"""How large parts are: few for short uploads, and never more than there are numbers for long ones.

Pure functions. A part is closed when it is full (`full_part`); at the end of a request what is there becomes a part if
it is large enough (`least_part`), otherwise a tail.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from tusfleet.datastores.s3.options import LARGEST_PART, LEAST_PART, MIB, MOST_PARTS, SPARE_PARTS, S3Options

LARGEST_OBJECT = 5 * 1024 * 1024 * MIB
"""Largest object in bytes, 5 TiB, which uploads of unknown length must be able to reach."""

PLANNED = 0.9
"""Share of the numbers that parts of full size are planned to use. The others are for parts that requests end early,
and for those that a lease had reserved whose holder died."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of parts under one set of rules.

    Parameters:
        part_size: bytes of a part while nothing asks for more.
        most: highest part number used for appending.
        largest: largest part in bytes that memory allows.
        equal: whether all parts of an upload but the last have one size.
    """

    part_size: int
    most: int = MOST_PARTS - SPARE_PARTS
    largest: int = LARGEST_PART
    equal: bool = False

    @classmethod
    def of(cls, options: S3Options) -> Sizes:
        """The rules that `options` ask for: a quarter of the memory is the most that one part may take."""
        largest = max(options.part_size, options.buffer_memory // 4)
        return cls(options.part_size, options.max_parts - SPARE_PARTS, min(largest, LARGEST_PART), options.equal_parts)

    def full_part(self, length: int | None, stored: int, number: int, fixed: int | None = None) -> int:
        """Size in bytes at which the part `number` is full.

        Parameters:
            length: of the upload, None while it is unknown.
            stored: bytes in parts before this one.
            number: of this part, from 1.
            fixed: size that the upload began with, in `equal` mode.
        """
        if self.equal:
            return fixed or self._bounded(_share(length or 0, self.most))
        if length is None:
            return self._bounded(self._unknown(number))
        return self._bounded(self._needed(length - stored, number))

    def least_part(self, length: int | None, stored: int, number: int, fixed: int | None = None) -> int:
        """Bytes that make a part worth its number when a request ends; fewer become a tail."""
        if self.equal:
            return self.full_part(length, stored, number, fixed)
        if length is None:
            early = number <= self.most // 10
            return LEAST_PART if early else self.full_part(None, stored, number)
        return max(LEAST_PART, min(self._needed(length - stored, number), self.largest))

    def capacity(self, length: int | None = None) -> int:
        """Most bytes that one upload can have for certain, whatever numbers its requests end early or lose.

        Parameters:
            length: of the upload; None while it is unknown, when the parts begin small.
        """
        if length is not None:
            return min(LARGEST_OBJECT, self._planned * self.largest)
        return min(LARGEST_OBJECT, self._planned * self.part_size if self.equal else _reached(self, self._planned))

    @property
    def _planned(self) -> int:
        """Numbers that uploads are planned to come out with."""
        return int(self.most * PLANNED)

    def _bounded(self, size: int) -> int:
        return min(max(size, self.part_size), self.largest)

    def _needed(self, left: int, number: int) -> int:
        """Size of parts from `number` on that gets `left` bytes into the planned share of the numbers left."""
        planned = max(1, int((self.most - number + 1) * PLANNED))
        return _share(max(left, 0), planned)

    def _unknown(self, number: int) -> int:
        """Sizes for an unknown length: flat for the first tenth of the numbers, then a straight line up."""
        flat = self.most // 10
        if number <= flat:
            return self.part_size
        rising = self._planned - flat
        # The flat ones may have been ended early, by requests that ended.
        missing = max(0, LARGEST_OBJECT - flat * LEAST_PART - rising * self.part_size)
        # The mean of a line is half of its end.
        end = 2 * missing / rising
        return self.part_size + _rounded(int(end * (number - flat) / rising) + 1)


@cache
def _reached(sizes: Sizes, planned: int) -> int:
    """Bytes in so many parts of an unknown length, the smallest that may be sent."""
    return sum(sizes.least_part(None, 0, number) for number in range(1, planned + 1))


def _share(size: int, count: int) -> int:
    """The size of each of `count` parts that hold `size` bytes together, in whole MiB."""
    return _rounded(-(-size // count))


def _rounded(size: int) -> int:
    return -(-size // MIB) * MIB
