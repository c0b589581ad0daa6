"""What a TusServer reads from Secrets and ConfigMaps: whether it is there, and a digest of it.

Only digests are kept. They are slow ones, since everybody who may read a Deployment may read them: nobody is to try
passwords against them. They change with the data alone, never with labels or with the object being made anew.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tusfleet_operator.cluster.client import Client
from tusfleet_operator.cluster.kinds import CONFIG_MAP, SECRET, Kind, Object
from tusfleet_operator.cluster.store import Store, version_of
from tusfleet_operator.references import Reference

_Place = tuple[Kind, str, str]
"""Kind, namespace and name."""

KINDS = {kind.kind: kind for kind in (SECRET, CONFIG_MAP)}

LENGTH = 16
"""Hexadecimal digits of the digest of everything together."""

COST = 2**12
"""Of scrypt: 4 MiB and some 10 ms for each value, once for each version of it."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found.

    Parameters:
        digest: of all values together; empty when nothing is referred to.
        missing: one sentence for each value that is not there.
    """

    digest: str
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Known:
    version: str
    digests: Mapping[str, str | None]


class Secrets:
    """Reads what is referred to, once for each version of it.

    Parameters:
        store: knows the newest version of everything that may be referred to.
    """

    def __init__(self, client: Client, store: Store) -> None:
        self._client = client
        self._store = store
        self._known: dict[_Place, _Known] = {}

    async def look(self, namespace: str, references: Sequence[Reference]) -> Found:
        """Find what is referred to.

        Raises:
            ApiFailure: something could not be read.
        """
        keys: dict[_Place, set[str]] = {}
        for reference in references:
            keys.setdefault(_place(namespace, reference), set()).add(reference.key)
        known = {place: await self._known_of(place, asked) for place, asked in keys.items()}
        lines, missing = set(), []
        for reference in references:
            found = known[_place(namespace, reference)]
            digest = None if found is None else found.digests[reference.key]
            if digest is None:
                missing.append(_told(namespace, reference, is_there=found is not None))
            lines.add(f"{reference.kind}/{reference.name}/{reference.key}={digest}")
        text = "\n".join(sorted(lines))
        together = hashlib.sha256(text.encode()).hexdigest()[:LENGTH] if lines else ""
        # An object that is not there is told once for every field that names it, however many keys that asks for.
        return Found(together, tuple(dict.fromkeys(missing)))

    async def _known_of(self, place: _Place, keys: set[str]) -> _Known | None:
        """Digests of these keys at least; None when there is no such object."""
        known = self._known.get(place)
        version = self._store.version(*place)
        if known is not None and known.version == version and keys <= known.digests.keys():
            return known
        body = None if version is None else await self._client.get(*place)
        if body is None:
            self._known.pop(place, None)
            return None
        wanted = keys | (known.digests.keys() if known is not None else set())
        found = _Known(version_of(body), await asyncio.to_thread(_digests, place, body, wanted))
        self._known[place] = found
        return found


def _place(namespace: str, reference: Reference) -> _Place:
    return KINDS[reference.kind], namespace, reference.name


def _digests(place: _Place, body: Object, keys: Iterable[str]) -> dict[str, str | None]:
    kind, namespace, name = place
    # Texts of ConfigMaps stand as they are, other bytes of theirs, and all of Secrets, in base 64.
    encoded = {**(body.get("binaryData") or {}), **((body.get("data") or {}) if kind == SECRET else {})}
    plain = {} if kind == SECRET else (body.get("data") or {})
    found: dict[str, str | None] = {}
    for key in keys:
        value = base64.b64decode(encoded[key]) if key in encoded else plain[key].encode() if key in plain else None
        salt = f"{namespace}/{name}/{key}".encode()
        found[key] = None if value is None else hashlib.scrypt(value, salt=salt, n=COST, r=8, p=1, dklen=16).hex()
    return found


def _told(namespace: str, reference: Reference, *, is_there: bool) -> str:
    if is_there:
        return (
            f"{reference.kind} {namespace}/{reference.name} has no key {reference.key}, which {reference.field} names"
        )
    return f"{reference.kind} {namespace}/{reference.name} is not there; {reference.field} names it"
