"""Which TusServers read a Secret or a ConfigMap: those that have to be looked at when it changes."""

from __future__ import annotations

from collections.abc import Iterable

from tusfleet_operator.cluster.kinds import Kind
from tusfleet_operator.cluster.store import Name
from tusfleet_operator.reconcile.secrets import KINDS
from tusfleet_operator.references import Reference

Place = tuple[Kind, str, str]
"""Kind, namespace and name of what is referred to."""


class Readers:
    """An index from what is referred to, to who refers to it."""

    def __init__(self) -> None:
        self._places: dict[Name, frozenset[Place]] = {}
        self._keys: dict[Place, set[Name]] = {}

    def remember(self, key: Name, references: Iterable[Reference]) -> None:
        """This is what a TusServer refers to now."""
        places = frozenset((KINDS[found.kind], key[0], found.name) for found in references)
        if places == self._places.get(key):
            return
        self.forget(key)
        self._places[key] = places
        for place in places:
            self._keys.setdefault(place, set()).add(key)

    def forget(self, key: Name) -> None:
        """It refers to nothing any more."""
        for place in self._places.pop(key, frozenset()):
            keys = self._keys[place]
            keys.discard(key)
            if not keys:
                del self._keys[place]

    def of(self, kind: Kind, namespace: str, name: str) -> frozenset[Name]:
        """Who refers to it."""
        return frozenset(self._keys.get((kind, namespace, name), ()))
