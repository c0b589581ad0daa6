"""Where one append stands: how many bytes are where, and whether its buffer is a part by now."""

from __future__ import annotations

from tusfleet.datastores.s3.flight import Flight
from tusfleet.datastores.s3.loading import Loading
from tusfleet.datastores.s3.means import Means
from tusfleet.datastores.s3.numbers import Numbers
from tusfleet.datastores.s3.placement import S3Placement
from tusfleet.uploads.errors import DataLost, TooLarge
from tusfleet.uploads.models import Upload


class Where:
    """The sums of one append.

    Parameters:
        means: of the store.
        length: of the upload, None while it is unknown.
        loading: what is in the buffer.
        flight: what is on its way.
        numbers: of the parts.
        placement: what is stored; it changes.
    """

    __slots__ = ("_flight", "_length", "_loading", "_means", "_numbers", "placement")

    def __init__(
        self,
        means: Means,
        length: int | None,
        loading: Loading,
        flight: Flight,
        numbers: Numbers,
        placement: S3Placement,
    ) -> None:
        self._means = means
        self._length = length
        self._loading = loading
        self._flight = flight
        self._numbers = numbers
        self.placement = placement

    @property
    def _stored(self) -> int:
        """Bytes in parts, those under way too."""
        return self.placement.stored + self._flight.size

    @property
    def position(self) -> int:
        """Bytes below the end of the buffer."""
        return self._stored + self._loading.size

    @property
    def part_bytes(self) -> int:
        """Bytes of the next part when it is full."""
        return self._means.sizes.full_part(self._length, self._stored, self._numbers.next, self.placement.part_size)

    @property
    def full(self) -> bool:
        """Whether the buffer is a full part."""
        return self._loading.buffer.size >= self.part_bytes and not self._whole_only

    @property
    def in_parts(self) -> bool:
        """Whether the upload has a part already, be it under way."""
        return self._flight.multipart is not None or self._flight.parts > 0

    @property
    def _whole_only(self) -> bool:
        """Whether all bytes of the upload will fit into one buffer, so that it never needs parts."""
        return self._length is not None and self._length <= self._means.options.part_size and not self.in_parts

    @property
    def expected(self) -> bool:
        """Whether bytes are missing that the upload is known to have."""
        return self._length is not None and self.position < self._length

    def wanted(self, arrived: int) -> int:
        """How many of the bytes that have arrived go into the same part as the tail and the buffer; at least one."""
        if self._whole_only:
            return arrived
        return max(1, min(arrived, self.part_bytes - self._loading.size))

    def is_part(self, *, ended: bool) -> bool:
        """Whether the buffer, if it has to go now, is a part rather than a tail."""
        if self._whole_only:
            return False
        if self.position == self._length and ended and self.in_parts:
            return True
        sizes, number = self._means.sizes, self._numbers.next
        least = sizes.least_part(self._length, self._stored, number, self.placement.part_size)
        return self._loading.buffer.size >= least


def verify(means: Means, upload: Upload, placement: S3Placement) -> None:
    """Check that the placement has the bytes that the record counts, and that there is room for the others.

    Raises:
        DataLost: it has not.
        TooLarge: there is none.
    """
    if placement.size != upload.offset or placement.whole is not None:
        raise DataLost("The record of the upload tells of other bytes than were stored")
    capacity = means.sizes.capacity(upload.length)
    if upload.length is not None and upload.length > capacity:
        raise TooLarge(
            f"An upload of {upload.length} bytes needs larger parts than memory allows, which is good for {capacity}; "
            "a larger buffer_memory lifts that"
        )
