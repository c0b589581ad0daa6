"""How one object is made of many: which runs of bytes S3 copies by itself, and which have to be read and sent again.

Pure functions. S3 copies a range only out of an object of more than 5 MiB, and takes no part below 5 MiB but the last.
So what is smaller is read and merged with what follows it, and with no more of that than is needed: two objects of
100 GB cost no byte through this process, and one of 1 MiB before them costs 5 MiB.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tusfleet.datastores.s3.options import LARGEST_PART, LEAST_PART, MIB, S3Options
from tusfleet.datastores.s3.sizes import Sizes
from tusfleet.uploads.errors import TooLarge

COPIED_BYTES = 1024 * MIB
"""Bytes of one copy while there are enough part numbers: several run at once, and each ends in seconds, long before the
read timeout, also where the service is silent meanwhile."""


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes from `start` up to, not including, `stop` of the source with this index."""

    source: int
    start: int
    stop: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of the new object: `copied` by S3, otherwise read and sent."""

    spans: tuple[Span, ...]
    copied: bool = False

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(span.size for span in self.spans)


def pieces(lengths: Sequence[int], options: S3Options, sizes: Sizes) -> list[Piece]:
    """The parts that join sources of these lengths, in order; nothing at all for nothing at all.

    Raises:
        TooLarge: it takes more parts than there are, and larger ones do not fit into memory.
    """
    total = sum(lengths)
    if options.equal_parts:
        return _of_one_size(lengths, sizes.full_part(total, 0, 1), options.max_parts)
    natural = _natural(lengths, max(COPIED_BYTES, -(-2 * total // options.max_parts)))
    if len(natural) <= options.max_parts:
        return natural
    size = max(LEAST_PART, -(-total // options.max_parts // MIB) * MIB)
    if size > sizes.largest:
        raise TooLarge(
            "So many partial uploads need larger parts than memory allows; a larger buffer_memory lifts that"
        )
    return _of_one_size(lengths, size, options.max_parts)


def _natural(lengths: Sequence[int], copied: int) -> list[Piece]:
    """Whatever is large enough is copied, up to `copied` bytes at a time."""
    left = deque(Span(index, 0, length) for index, length in enumerate(lengths) if length)
    found = []
    while left:
        span = left.popleft()
        if span.size >= LEAST_PART or not left:
            found += [Piece((part,), copied=True) for part in _split(span, min(copied, LARGEST_PART))]
        else:
            found.append(Piece(tuple(_gathered(span, left, lengths))))
    return found


def _split(span: Span, most: int) -> list[Span]:
    """A span in parts of about the same size."""
    count = -(-span.size // most)
    edges = [span.start + span.size * number // count for number in range(count + 1)]
    return [Span(span.source, start, stop) for start, stop in pairwise(edges)]


def _gathered(first: Span, left: deque[Span], lengths: Sequence[int]) -> list[Span]:
    """Spans from `first` on that make a part together, taken from what is `left`: the last one perhaps not whole."""
    spans, have = [first], first.size
    while have < LEAST_PART and left:
        span = left.popleft()
        need = LEAST_PART - have
        # What stays behind has to be a part too: a large one, or the last one, of an object that has ranges.
        rest = span.size - need
        if rest >= LEAST_PART or (rest > 0 and not left and lengths[span.source] > LEAST_PART):
            left.appendleft(Span(span.source, span.start + need, span.stop))
            span = Span(span.source, span.start, span.start + need)
        spans.append(span)
        have += span.size
    return spans


def _of_one_size(lengths: Sequence[int], size: int, most: int) -> list[Piece]:
    """Every part but the last has `size` bytes, whatever it is made of."""
    if sum(lengths) > size * most:
        raise TooLarge(f"The object would need more than {most} parts; a larger buffer_memory makes them larger")
    found, spans, room = [], list[Span](), size
    for index, length in enumerate(lengths):
        position = 0
        while position < length:
            step = min(room, length - position)
            spans.append(Span(index, position, position + step))
            position, room = position + step, room - step
            if not room:
                found.append(_piece(spans, lengths))
                spans, room = [], size
    if spans:
        found.append(_piece(spans, lengths))
    return found


def _piece(spans: Sequence[Span], lengths: Sequence[int]) -> Piece:
    length = lengths[spans[0].source]
    copied = len(spans) == 1 and (spans[0].size == length or length > LEAST_PART) and spans[0].size <= LARGEST_PART
    return Piece(tuple(spans), copied)
