"""How Redis is reached: one URL for a single server, Sentinel or a Cluster, and what belongs to it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from redis.credentials import CredentialProvider

DEFAULT_PORT = 6379
DEFAULT_SENTINEL_PORT = 26379

FORMS = (
    "redis://host:6379/0, rediss:// with TLS, unix:///path, redis+sentinel://host:26379,host2:26379/service/0 "
    "or redis+cluster://host:6379,host2:6379"
)


class Topology(StrEnum):
    """How the servers belong together."""

    STANDALONE = "standalone"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class RedisAccess:
    """How Redis is reached.

    Parameters:
        url: `redis://[user:password@]host[:port][/database]`, `unix:///path`, `redis+sentinel://host[:port],.../service[/database]`
            or `redis+cluster://host[:port],...`; `rediss` instead of `redis` speaks TLS.
        username: ACL user; wins over that of the URL.
        password: wins over that of the URL.
        password_file: file with the password, read again for every connection, so that it may change; wins over both.
        sentinel_username, sentinel_password, sentinel_password_file: likewise, for the Sentinels themselves.
        ca_file: certificates that sign those of the servers; None trusts those of the system.
        certificate_file, key_file: the certificate that we show, where servers ask for one.
        verify_hostname: whether a certificate must carry the name that was connected to.
        prefix: in front of every key and channel; several stores may share one Redis.
        shards: how many parts the keys are spread over, 1-1024; None takes what the store has, 64 for a new one.
        connect_timeout: seconds for a connection with its handshake.
        timeout: seconds for an answer.
        patience: seconds after which a call fails, with all of its attempts.
        wait_replicas: replicas that must have a change before it is acknowledged; 0 waits for none.
        wait_timeout: seconds that they have.
    """

    url: str = f"redis://127.0.0.1:{DEFAULT_PORT}/0"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    password_file: Path | None = None
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    sentinel_password_file: Path | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    verify_hostname: bool = True
    prefix: str = "tf"
    shards: int | None = None
    connect_timeout: float = 1.0
    timeout: float = 2.0
    patience: float = 5.0
    wait_replicas: int = 0
    wait_timeout: float = 1.0


@dataclass(frozen=True, slots=True)
class Target:
    """What a URL names; `service` is what Sentinels call their servers, `path` a socket of this machine."""

    topology: Topology
    tls: bool
    hosts: tuple[tuple[str, int], ...] = ()
    database: int = 0
    service: str = ""
    path: str = ""
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        where = self.path or ", ".join(f"{host}:{port}" for host, port in self.hosts)
        return f"Redis at {where}" if self.topology is Topology.STANDALONE else f"Redis ({self.topology}) at {where}"


def target_of(url: str) -> Target:
    """Take a URL apart.

    Raises:
        ValueError: it is none of the forms; the message has no password in it.
    """
    parts = urlsplit(url)
    scheme, _, kind = parts.scheme.partition("+")
    if scheme not in {"redis", "rediss", "unix"} or kind not in {"", "sentinel", "cluster"} or parts.query:
        raise ValueError(f"a Redis URL is {FORMS}")
    username, password = _part(parts.username), _part(parts.password)
    if scheme == "unix":
        if kind or not parts.path:
            raise ValueError("a Unix socket is named by unix:///path and is one server")
        return Target(Topology.STANDALONE, False, path=unquote(parts.path), username=username, password=password)
    topology = Topology(kind) if kind else Topology.STANDALONE
    hosts = _hosts(parts, DEFAULT_SENTINEL_PORT if topology is Topology.SENTINEL else DEFAULT_PORT)
    if topology is Topology.STANDALONE and len(hosts) > 1:
        raise ValueError("several hosts need redis+sentinel:// or redis+cluster://")
    path = [unquote(segment) for segment in parts.path.split("/") if segment]
    service = ""
    if topology is Topology.SENTINEL:
        if not path:
            raise ValueError("redis+sentinel:// needs the name of the service: redis+sentinel://host:26379/service")
        service = path.pop(0)
    database = _database(path)
    if topology is Topology.CLUSTER and database:
        raise ValueError("a Redis Cluster has the database 0 only")
    return Target(topology, scheme == "rediss", hosts, database, service, username=username, password=password)


def _part(value: str | None) -> str | None:
    return unquote(value) if value else None


def _hosts(parts: SplitResult, port: int) -> tuple[tuple[str, int], ...]:
    hosts = []
    for item in parts.netloc.rpartition("@")[2].split(","):
        # Each item is a netloc of its own: IPv6 addresses stand in brackets.
        one = urlsplit(f"//{item}")
        if not one.hostname:
            raise ValueError(f"a Redis URL names a host: {FORMS}")
        hosts.append((one.hostname, one.port or port))
    return tuple(hosts)


def _database(path: list[str]) -> int:
    if not path:
        return 0
    if len(path) > 1 or not path[0].isdecimal():
        raise ValueError("the path of a Redis URL is the number of the database, such as /0")
    return int(path[0])


class Credentials(CredentialProvider):
    """User and password; one in a file is read for every connection."""

    def __init__(self, username: str | None, password: str | None, file: Path | None) -> None:
        self._username = username
        self._password = password
        self._file = file

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        password = self._password or ""
        if self._file is not None:
            try:
                password = self._file.read_text(errors="replace").strip("\r\n")
            except OSError as error:
                # Told as any failure to connect, and tried again: a secret may be mounted a little later.
                raise OSError(f"the file of the password cannot be read: {error}") from error
        return (self._username, password) if self._username else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        # A few bytes of a local file: a thread would take longer.
        return self.get_credentials()


def connection_options(access: RedisAccess, target: Target) -> dict[str, Any]:
    """The options of redis-py for every connection to a server that keeps records."""
    username = access.username or target.username
    password = access.password or target.password
    options: dict[str, Any] = {
        "decode_responses": True,
        # Its own retries would hide from us whether a change may have been sent twice; a batch has one time limit.
        "retry": None,
        "socket_timeout": None,
        "socket_connect_timeout": access.connect_timeout,
        "protocol": 2,
    }
    if username or password or access.password_file:
        options["credential_provider"] = Credentials(username, password, access.password_file)
    return options | _tls_options(access, target)


def sentinel_options(access: RedisAccess, target: Target) -> dict[str, Any]:
    """The options of redis-py for connections to the Sentinels."""
    options: dict[str, Any] = {
        "socket_timeout": access.connect_timeout,
        "socket_connect_timeout": access.connect_timeout,
        "retry": None,
    }
    username, password, file = access.sentinel_username, access.sentinel_password, access.sentinel_password_file
    if username or password or file:
        options["credential_provider"] = Credentials(username, password, file)
    return options | ({"ssl": True, **_tls_options(access, target)} if target.tls else {})


def _tls_options(access: RedisAccess, target: Target) -> dict[str, Any]:
    """The options of redis-py that concern TLS; none without it."""
    if not target.tls:
        return {}
    return {
        "ssl_ca_certs": None if access.ca_file is None else str(access.ca_file),
        "ssl_certfile": None if access.certificate_file is None else str(access.certificate_file),
        "ssl_keyfile": None if access.key_file is None else str(access.key_file),
        "ssl_check_hostname": access.verify_hostname,
        "ssl_min_version": ssl.TLSVersion.TLSv1_2,
    }
