"""A list in a placement that only grows at its end, such as the ten thousand parts of an upload.

An append needs none of its entries, only whoever makes the object does. So an info store may keep it apart, and give
records without it until they are `finishing`: in its place stands where it goes on,

    {"kept": entries left with the store, "last": the last of them, "more": [entries after those]}

which a data store hands on with entries added to `more`. Any other list, and all else, stands for itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tusfleet.uploads.models import JSON, Placement

PARTS = "parts"
"""The key of a placement under which such a list may be."""

_NAMES = {"kept", "last", "more"}


@dataclass(frozen=True, slots=True)
class Growing:
    """Such a list, as far as it is here.

    Parameters:
        more: its last entries; all of them when none is kept elsewhere.
        kept: how many the info store has besides, in front of those.
        last: the last one of those; None without any.
    """

    more: Sequence[JSON] = ()
    kept: int = 0
    last: JSON = None

    @classmethod
    def of(cls, placement: Placement) -> Growing:
        """The list of a placement, empty where there is none."""
        value = placement.get(PARTS)
        if isinstance(value, list):
            return cls(value)
        if isinstance(value, Mapping) and value.keys() == _NAMES:
            kept, more = value["kept"], value["more"]
            if isinstance(kept, int) and isinstance(more, list):
                return cls(more, kept, value["last"])
        return cls()

    def json(self) -> JSON:
        """What stands in the placement."""
        more = list(self.more)
        return {"kept": self.kept, "last": self.last, "more": more} if self.kept else more

    def __len__(self) -> int:
        return self.kept + len(self.more)

    @property
    def end(self) -> JSON:
        """The last entry of all; None without any."""
        return self.more[-1] if self.more else self.last

    def since(self, before: Growing) -> Sequence[JSON] | None:
        """The entries after those of `before`; None when this is not the same list grown, as far as can be seen."""
        start = len(before) - self.kept
        if not 0 <= start <= len(self.more):
            return None
        both = min(start, len(before.more))
        if self.more[start - both : start] != before.more[len(before.more) - both :]:
            return None
        if before and (self.more[start - 1] if start else self.last) != before.end:
            return None
        return self.more[start:]


def kept_apart(placement: Placement) -> bool:
    """Whether there is such a list, or the place of one, under `PARTS`."""
    return isinstance(placement.get(PARTS), list) or bool(Growing.of(placement).kept)
