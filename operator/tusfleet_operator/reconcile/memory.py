"""What was applied, and whether it still is so: drift is told by who owns the fields.

Whoever changes or removes a field that we applied becomes its owner in `managedFields`, and we cease to be. So an
object is as we applied it as long as we own what we owned then, however the API server writes quantities, fills in
defaults or sorts lists, and whatever others add. After a start nothing is remembered: everything is applied once, and
the API server writes nothing where that changes nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from tusfleet_operator.cluster.kinds import Kind, Object
from tusfleet_operator.cluster.store import Name, name_of
from tusfleet_operator.reconcile.ownership import applied_by


@dataclass(frozen=True, slots=True)
class _Applied:
    wanted: str
    owned: str
    uid: str


class Memory:
    """What was applied last, by object and field manager."""

    def __init__(self) -> None:
        self._applied: dict[tuple[Kind, Name, str], _Applied] = {}

    def holds(self, kind: Kind, wanted: Object, live: Object, manager: str) -> bool:
        """Whether the object is as it is to be, as far as we said so."""
        known = self._applied.get((kind, name_of(wanted), manager))
        return known is not None and known == _applied(wanted, live, manager)

    def remember(self, kind: Kind, wanted: Object, live: Object, manager: str) -> None:
        """It was applied, and this is how it is then."""
        self._applied[kind, name_of(wanted), manager] = _applied(wanted, live, manager)

    def forget(self, kind: Kind, name: Name, manager: str | None = None) -> None:
        """It is to be applied again, whatever it is like."""
        for key in [key for key in self._applied if key[:2] == (kind, name) and manager in {None, key[2]}]:
            del self._applied[key]

    def has_drifted(self, kind: Kind, wanted: Object, live: Object | None, manager: str) -> bool:
        """Whether somebody else changed or deleted what was applied, rather than that something else is wanted."""
        known = self._applied.get((kind, name_of(wanted), manager))
        if known is None or known.wanted != json.dumps(wanted, sort_keys=True):
            return False
        return live is None or known != _applied(wanted, live, manager)

    def clear(self) -> None:
        """Somebody else has been at work."""
        self._applied.clear()


def _applied(wanted: Object, live: Object, manager: str) -> _Applied:
    return _Applied(
        wanted=json.dumps(wanted, sort_keys=True),
        owned=json.dumps(applied_by(live, manager), sort_keys=True),
        uid=str(live["metadata"].get("uid", "")),
    )
