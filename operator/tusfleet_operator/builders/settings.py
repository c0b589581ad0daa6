"""The ConfigMap with the settings of gateways and janitors, as environment variables.

Its name ends with a hash of what is in it, and it never changes: pods that start while settings change, and those of a
rollout that is undone, find exactly the settings that their template was made with.
"""

from __future__ import annotations

import hashlib
import json
import math

from tusfleet_operator import names
from tusfleet_operator.builders import redis
from tusfleet_operator.builders._common import Manifest, Observed, metadata
from tusfleet_operator.references import (
    AUTH_TOKENS,
    REDIS_CA,
    REDIS_CERTIFICATE,
    REDIS_KEY,
    REDIS_PASSWORD,
    S3_CA,
    SENTINEL_PASSWORD,
    by_purpose,
)
from tusfleet_operator.resource.fields import seconds
from tusfleet_operator.resource.redis import Redis
from tusfleet_operator.resource.server import TusServer
from tusfleet_operator.resource.settings import variable
from tusfleet_operator.resource.spec import Spec

DRAIN_DELAY = 5
"""Seconds in which a gateway that was told to leave still takes requests: until then everybody has learnt it.

It replaces a preStop hook that sleeps: the gateway knows that it is leaving and says so to whoever asks if it is ready.
"""

DRAIN_MARGIN = 5
"""Seconds of `drainTimeout` that are left for the end of the process, before it is killed."""

HASH_LENGTH = 10

FILES = {
    AUTH_TOKENS: variable("auth_tokens_file"),
    REDIS_PASSWORD: variable("redis_password_file"),
    SENTINEL_PASSWORD: variable("redis_sentinel_password_file"),
    REDIS_CA: variable("redis_ca_file"),
    REDIS_CERTIFICATE: variable("redis_certificate_file"),
    REDIS_KEY: variable("redis_key_file"),
    S3_CA: "AWS_CA_BUNDLE",
}
"""Variables with the path of a file that is mounted, by what it is for."""


def build(server: TusServer, observed: Observed) -> list[Manifest]:  # noqa: ARG001  # as every builder
    """The ConfigMap; one."""
    data = environment(server)
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(server, name(server), names.GATEWAY),
            "immutable": True,
            "data": data,
        }
    ]


def name(server: TusServer) -> str:
    """The name, with the hash."""
    return f"{prefix(server)}{config_hash(server)}"


def prefix(server: TusServer) -> str:
    """What all names of such ConfigMaps of a TusServer begin with."""
    return f"{server.name}-settings-"


def config_hash(server: TusServer) -> str:
    """Tells settings apart; the chart without an operator makes the same one of the same settings."""
    text = json.dumps(environment(server), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    # Go's encoder, which charts use, writes these three so.
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_LENGTH]


def environment(server: TusServer) -> dict[str, str]:
    """All variables that are not secret."""
    spec = server.spec
    found = {
        variable("s3_bucket"): spec.storage.s3.bucket,
        # Two that share one Redis would take each other's uploads for theirs, if that were not wanted.
        variable("redis_prefix"): default_redis_prefix(server.namespace, server.name),
        **spec.gateway.environment(),
        **spec.storage.s3.environment(),
        **spec.redis.environment(),
        **{FILES[purpose]: named.path for purpose, named in by_purpose(spec).items() if purpose in FILES},
        **_drain(spec),
    }
    if (url := _redis_url(server)) is not None:
        found[variable("redis_url")] = url
    if spec.redis.sentinel is not None and spec.redis.sentinel.username is not None:
        found[variable("redis_sentinel_username")] = spec.redis.sentinel.username
    return dict(sorted(found.items()))


def default_redis_prefix(namespace: str, name: str) -> str:
    """What keys in Redis begin with, when the TusServer does not say it."""
    return f"tf:{namespace}.{name}"


def _drain(spec: Spec) -> dict[str, str]:
    grace = seconds(spec.drain_timeout) - DRAIN_DELAY - DRAIN_MARGIN
    return {
        variable("drain_delay"): f"{DRAIN_DELAY}s",
        variable("drain_grace"): f"{max(1, math.floor(grace))}s",
    }


def _redis_url(server: TusServer) -> str | None:
    given: Redis = server.spec.redis
    if given.dev is not None:
        return f"redis://{redis.name(server)}:{redis.PORT}/0"
    scheme = "redis" if given.tls is None else "rediss"
    if given.sentinel is not None:
        hosts = ",".join(given.sentinel.hosts)
        return f"{scheme}+sentinel://{hosts}/{given.sentinel.master}/{given.sentinel.database}"
    if given.cluster is not None:
        return f"{scheme}+cluster://{','.join(given.cluster.hosts)}"
    return given.url
