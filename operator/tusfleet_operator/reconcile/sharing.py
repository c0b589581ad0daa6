"""Whether two TusServers share records or bytes, and not both.

Two fleets whose records differ and whose bytes lie in one place would lose uploads: to the janitor of each, the parts
of the other are what no record knows. Two with the same records and other places would give each other's uploads away.
With the same records and the same place they are one fleet, which may be wanted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from tusfleet_operator.builders.settings import default_redis_prefix
from tusfleet_operator.cluster.kinds import Object
from tusfleet_operator.cluster.store import Name, name_of
from tusfleet_operator.reconcile.troubles import STORES_SHARED, Trouble

_ID = "{id}"
_FIELDS_OF_A_CLIENT = ("{filename}", "{tenant}", "{metadata.")
"""Parts of a key template that may be any text: keys made by it may look like those below a longer prefix."""


@dataclass(frozen=True, slots=True)
class Stores:
    """Where the uploads of a TusServer are.

    Parameters:
        bucket: its endpoint and its name; an address without a dot is one of the namespace.
        prefix: in front of all keys in it.
        template: of the keys.
        records: the Redis and the prefix in it.
    """

    bucket: str
    prefix: str
    template: str
    records: str

    @classmethod
    def of(cls, body: Object) -> Stores:
        """Those of a TusServer as the API server gave it, whatever a newer definition lets it say."""
        namespace, name = name_of(body)
        s3 = partial(_member, body, "spec", "storage", "s3")
        ways = {
            way: _member(body, "spec", "redis", way) for way in ("url", "urlSecretRef", "sentinel", "cluster", "dev")
        }
        redis = {way: said for way, said in ways.items() if said is not None}
        hosts = [redis.get("url"), *_hosts(redis.get("sentinel")), *_hosts(redis.get("cluster"))]
        if "dev" in redis:
            place = f"{namespace}/{name}"
        else:
            place = namespace if "urlSecretRef" in redis or any(map(_is_local, hosts)) else ""
        endpoint = s3("endpoint")
        return cls(
            bucket=_text([endpoint, namespace if _is_local(endpoint) else "", s3("bucket")]),
            prefix=str(s3("keyPrefix") or ""),
            template=str(s3("keyTemplate") or _ID),
            records=_text([redis, place, _redis_prefix(body)]),
        )

    def overlap(self, other: Stores) -> bool:
        """Whether one of the two may take parts of the other for its own."""
        if self.bucket != other.bucket:
            return False
        shorter, longer = sorted((self, other), key=lambda stores: len(stores.prefix))
        if shorter.prefix == longer.prefix:
            return True
        is_loose = any(field in shorter.template for field in _FIELDS_OF_A_CLIENT)
        return is_loose and longer.prefix.startswith(shorter.prefix)


def sharing(body: Object, all_servers: Iterable[Object]) -> Trouble | None:
    """What keeps a TusServer from being made because of an older one; None when nothing does."""
    mine, words, age = Stores.of(body), _words(body), _age(body)
    # Each is compared with all others: most of them are told apart by two words.
    alike = (other for other in all_servers if words & _words(other) and _age(other) < age)
    for other in alike:
        theirs = Stores.of(other)
        called = "TusServer " + "/".join(name_of(other))
        if mine.records == theirs.records and (mine.bucket, mine.prefix) != (theirs.bucket, theirs.prefix):
            told = (
                f"{called} has the same Redis and redis.prefix and keeps its bytes elsewhere: each would serve the "
                "other's uploads. Make this one anew with another redis.prefix, or with the bucket and keyPrefix of "
                "that one"
            )
            return Trouble(STORES_SHARED, told)
        if mine.records != theirs.records and mine.overlap(theirs):
            told = (
                f"{called} keeps its bytes in the same place of the same bucket, and knows other uploads: the janitor "
                "of each would remove parts of the other's. Make this one anew with a storage.s3.keyPrefix of its own, "
                "or with the Redis and redis.prefix of that one"
            )
            return Trouble(STORES_SHARED, told)
    return None


def _words(body: Object) -> set[tuple[str, str]]:
    """What two that share anything have in common: the name of the bucket, or the prefix in Redis."""
    return {("bucket", str(_member(body, "spec", "storage", "s3", "bucket"))), ("prefix", _redis_prefix(body))}


def _redis_prefix(body: Object) -> str:
    return str(_member(body, "spec", "redis", "prefix") or default_redis_prefix(*name_of(body)))


def _age(body: Object) -> tuple[str, Name]:
    """In the order of these they were made."""
    return body["metadata"].get("creationTimestamp") or "", name_of(body)


def _member(value: Any, *path: str) -> Any:
    """What is at the end of a path of fields; None when there is no such path."""
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _hosts(given: object) -> list[object]:
    hosts = _member(given, "hosts")
    return hosts if isinstance(hosts, list) else []


def _is_local(address: object) -> bool:
    """Whether the name of a host is one that each namespace may have."""
    if not isinstance(address, str):
        return False
    host = address.rpartition("//")[2].rpartition("@")[2].partition("/")[0]
    return bool(host) and "." not in host and not host.startswith("[")


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)
