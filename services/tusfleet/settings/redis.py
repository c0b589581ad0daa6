"""How Redis is reached and used."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel, Field

from tusfleet.settings.values import Duration


class RedisSettings(BaseModel):
    """What concerns `infostore=redis`."""

    redis_url: str = Field(
        "redis://127.0.0.1:6379/0",
        description="Where Redis is: `redis://host:6379/0`, `rediss://` with TLS, `redis+sentinel://host:26379,host2:26379/service/0` "
        "or `redis+cluster://host:6379,host2:6379`. Better without a password: see `redis_password_file`.",
        json_schema_extra={"secret": True},
    )
    redis_username: str | None = Field(None, description="ACL user of Redis; wins over that of the URL.")
    redis_password_file: Path | None = Field(
        None,
        description="File with the password of Redis, read again for every connection; wins over that of the URL.",
    )
    redis_sentinel_username: str | None = Field(
        None, description="ACL user of the Sentinels themselves; none with a password alone, or without one."
    )
    redis_sentinel_password: str | None = Field(
        None,
        description="Password of the Sentinels themselves. Better in `redis_sentinel_password_file`.",
        json_schema_extra={"secret": "all"},
    )
    redis_sentinel_password_file: Path | None = Field(
        None, description="File with the password of the Sentinels, read again for every connection; wins."
    )
    redis_ca_file: Path | None = Field(
        None, description="Certificates that sign those of the Redis servers; none trusts those of the system."
    )
    redis_certificate_file: Path | None = Field(
        None, description="Our certificate, where the Redis servers ask for one."
    )
    redis_key_file: Path | None = Field(None, description="The key of `redis_certificate_file`.")
    redis_prefix: str = Field("tf", description="In front of every key; several stores may share one Redis.")
    redis_shards: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Parts the keys are spread over; none takes what the store has, 64 for a new one. It stays as it is for the life of a store.",
    )
    redis_connect_timeout: Duration = Field(
        timedelta(seconds=1), description="Time for a connection to Redis with its handshake."
    )
    redis_timeout: Duration = Field(timedelta(seconds=2), description="Time Redis has for one answer.")
    redis_patience: Duration = Field(
        timedelta(seconds=5),
        description="Time after which a step that needs Redis fails, with all of its attempts; the client gets 503 with Retry-After.",
    )
    redis_wait_replicas: int = Field(
        0, ge=0, description="Replicas that must have a change before it is acknowledged; 0 waits for none."
    )
    redis_wait_timeout: Duration = Field(
        timedelta(seconds=1), description="Time those replicas have; then the request fails with 503."
    )
    lease_ttl: Duration = Field(
        timedelta(seconds=8),
        ge=timedelta(milliseconds=200),
        description="Time after which the lease of a gateway that died is free; it is renewed three times as often.",
    )
