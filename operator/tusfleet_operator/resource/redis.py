"""Where records and leases live."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from tusfleet_operator.resource.fields import (
    CertificateAuthority,
    DataKey,
    HostPort,
    ObjectName,
    Part,
    Quantity,
    Rule,
    SecretKey,
    exactly_one,
    never_changes,
    text,
)
from tusfleet_operator.resource.settings import WithSettings

Url = Annotated[
    str,
    text(
        r"^redis(s)?([+](sentinel|cluster))?://[^\s?#]+$",
        "is a URL such as redis://redis:6379/0, rediss:// with TLS, redis+sentinel:// or redis+cluster://",
        1024,
    ),
]
Image = Annotated[str, text(r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$", "is the name of an image", 512)]
Hosts = Annotated[
    list[HostPort], Field(min_length=1, max_length=16, json_schema_extra={"x-kubernetes-list-type": "set"})
]


class RedisSentinel(Part):
    """A Redis whose master is named by Sentinels."""

    hosts: Hosts = Field(description="Some of the Sentinels, each `host:port`.")
    master: Annotated[str, text(r"^[A-Za-z0-9._-]+$", "is the name of the service", 128)] = Field(
        description="Name under which the Sentinels know the master."
    )
    database: int = Field(0, ge=0, le=1023, description="Number of the database.")
    username: str | None = Field(None, max_length=256, description="ACL user of the Sentinels themselves.")
    password_secret_ref: SecretKey | None = Field(None, description="Password of the Sentinels themselves.")


class RedisCluster(Part):
    """A Redis Cluster."""

    hosts: Hosts = Field(description="Some of its servers, each `host:port`.")


class DevRedis(Part):
    """A Redis without a disk, made beside the gateways: for trying things out."""

    image: Image = Field("docker.io/valkey/valkey:8-alpine", description="Image with the program `redis-server` in it.")
    max_memory: Quantity = Field("128Mi", description="Memory for data; then what would grow is refused with 507.")


class ClientCertificate(Part):
    """A Secret with a certificate and its key (PEM)."""

    name: ObjectName = Field(description="Name of the Secret.")
    certificate_key: DataKey = Field("tls.crt", description="Key of the certificate in its data.")
    key_key: DataKey = Field("tls.key", description="Key of the private key in its data.")


class RedisTls(Part):
    """How the servers are known, and how they know us."""

    certificate_authority: CertificateAuthority | None = Field(
        None, description="Certificates that sign those of the servers; without it those of the image are trusted."
    )
    client_certificate_secret_ref: ClientCertificate | None = Field(
        None, description="Our certificate, where the servers ask for one."
    )


class Redis(WithSettings):
    """How Redis is reached: exactly one of url, urlSecretRef, sentinel, cluster and dev."""

    section: ClassVar[str] = "redis"

    rules = (
        exactly_one(
            "url", "urlSecretRef", "sentinel", "cluster", "dev",
            message="name Redis in exactly one way: url, urlSecretRef, sentinel, cluster or dev",
        ),
        Rule(
            "!has(self.url) || !self.url.matches(r'^[^/]+//[^/@]*:[^/@]*@')",
            "everybody who may read a TusServer may read url: put a URL with a password into a Secret (urlSecretRef), "
            "or the password alone (passwordSecretRef)",
        ),
        Rule(
            "!has(self.tls) || !has(self.url) || self.url.startsWith('rediss')",
            "tls goes with a url that begins with rediss://, rediss+sentinel:// or rediss+cluster://",
        ),
        Rule("!has(self.tls) || !has(self.dev)", "the Redis of dev speaks no TLS; leave tls out"),
        never_changes("prefix", "prefix cannot change: under another one all uploads would be unknown"),
        Rule(
            "!has(oldSelf.shards) || (has(self.shards) && self.shards == oldSelf.shards)",
            "shards stays as it is for the life of a store",
        ),
    )  # fmt: skip

    url: Url | None = Field(None, description="URL of Redis, without a password, such as `redis://redis:6379/0`.")
    url_secret_ref: SecretKey | None = Field(None, description="Secret with the URL, which may have a password in it.")
    sentinel: RedisSentinel | None = Field(None, description="Sentinels that name the master.")
    cluster: RedisCluster | None = Field(None, description="A Redis Cluster.")
    dev: DevRedis | None = Field(
        None,
        description="A Redis of its own, in memory only: when its pod ends, all unfinished uploads are forgotten. "
        "For trying things out, never for data that somebody misses.",
    )
    password_secret_ref: SecretKey | None = Field(
        None, description="Password of Redis; it wins over one in the URL. Read again for every connection."
    )
    tls: RedisTls | None = Field(
        None,
        description="Certificates, when Redis speaks TLS. With `sentinel` and `cluster` it turns TLS on, even as `{}`.",
    )
