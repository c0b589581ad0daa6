"""Which part numbers a holder of the lease may use, so that nobody ever overwrites a part that is referenced.

A part that is sent again under the same number replaces the other one, whatever the record says. A holder that was
frozen past its lease, or whose last bytes are still in some socket, may do so at any later time; so the numbers of two
leases must never meet. Ordering the parts by position, S3 wants numbers that grow with it, and there are only 10,000.

The record's placement has `next`, `ahead` and `fence`: the fence of the lease that wrote them. It means:

- Numbers below `next` belong to that lease or to earlier ones. Every commit that references parts moves `next` beyond
  the numbers of all parts that are under way, and as many more as may be begun before the following commit. So a holder
  has only to stay below what it has committed. Its last commit, with nothing under way, takes `next` back.
- Numbers from `next` to `next + ahead - 1` belong to the lease that follows it at once (`Upload.follows`). That one
  alone can use them before a commit, so the usual case, one lease after the other, costs no round trip and no number.
- Everybody else begins at `next + ahead`, and commits a larger `next` (a checkpoint without bytes, a *note*) before the
  first part is sent. That is one round trip more after a takeover; and where nobody can tell which lease follows which,
  because leases and records are kept apart, `ahead` is set to 0, so that this costs no numbers.

It holds because a commit of a lease is refused once a later one has begun: whoever reads the record under its lease
reads the last word of all before. A multipart upload that no commit has referenced yet is known to its maker alone, who
may use all of its numbers. When all bytes are there and `finish` has to send a last part, its bytes are frozen in the
record: whoever sends it sends the same bytes as number `next + ahead`.

(Leaving it to S3 to refuse a list whose ETags do not fit would be simpler: nothing wrong would be served. But the bytes
that were overwritten would be gone, and they had been acknowledged.)
"""

from __future__ import annotations

from dataclasses import replace

from tusfleet.datastores.s3.placement import S3Placement
from tusfleet.uploads.errors import TooLarge

AHEAD = 4
"""Numbers for the next lease: as many as parts of one upload are sent at once by default."""

ENDLESS = 1 << 30
"""A limit for numbers that nobody else can use."""


class Numbers:
    """The numbers of one lease.

    Parameters:
        placement: of the record, as it stood when the lease began.
        fence: of the lease.
        follows: fence of the lease before it, 0 when nobody can tell.
        most: highest number there may be.
        window: numbers that a commit reserves beyond those that are given out.
    """

    __slots__ = ("_ahead", "_most", "_window", "fence", "limit", "next")

    def __init__(self, placement: S3Placement, fence: int, follows: int, most: int, window: int) -> None:
        self.fence = fence
        self._most = most
        self._window = window
        if placement.multipart is None:
            self.next, self.limit, self._ahead = 1, ENDLESS, AHEAD
        elif follows and follows == placement.fence:
            self.next, self.limit, self._ahead = placement.next, placement.next + placement.ahead, AHEAD
        else:
            self.next = self.limit = placement.next + placement.ahead
            self._ahead = 0

    @property
    def free(self) -> bool:
        """Whether `take` may be called without a commit before."""
        return self.next < self.limit or self.next > self._most

    def take(self) -> int:
        """Give out the next number.

        Raises:
            TooLarge: there are no more.
        """
        if self.next > self._most:
            raise TooLarge("The upload has used all part numbers of an S3 object; send it in larger requests")
        number = self.next
        self.next += 1
        return number

    def write(self, placement: S3Placement, *, quiet: bool) -> S3Placement:
        """The placement for a commit; `quiet` when no part is under way and none will be under this lease."""
        reach = self.next if quiet else max(self.next, min(self.next + self._window, self._most + 1))
        return replace(placement, next=reach, ahead=self._ahead, fence=self.fence)

    def committed(self, placement: S3Placement) -> None:
        """Take note of what a commit has reserved."""
        if placement.multipart is not None:
            self.limit = placement.next
