"""Points that no way comes to in a run in which nothing fails, and why each is no gap."""

from __future__ import annotations

_FAILURE = "comes after a failure: the tests of that failure go there"

UNREACHED: dict[str, str] = {
}
"""Names of points, without what follows the last step's name, with their reasons."""

_ENDS = (":enter:before", ":enter:after", ":exit:before", ":exit:after", ":before", ":after")


def point_of(point: str) -> str:
    """What the points around one step have in common."""
    return next(point.removesuffix(end) for end in _ENDS if point.endswith(end))
