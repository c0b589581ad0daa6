"""One redis-server process, and how the tests talk to it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.testbed.certificates import Certificates
from tests.testbed.commands import Unavailable
from tests.testbed.processes import Program

ADMIN, ADMIN_PASSWORD = "testbed", "testbed-password"
"""The user of the tests themselves where the default user is switched off."""

CLIENT_SECONDS = 5.0
"""Longest wait for one answer."""


READ: dict[str, tuple[str | int, ...]] = {
    "hash": ("HGETALL", "KEY"),
    "list": ("LRANGE", "KEY", 0, -1),
    "stream": ("XRANGE", "KEY", "-", "+"),
    "string": ("GET", "KEY"),
    "zset": ("ZRANGE", "KEY", 0, -1, "WITHSCORES"),
}
"""How all of a key is read, by its type."""


@dataclass(frozen=True)
class Account:
    """A user with rights of its own (`rules` in the words of ACL SETUSER), and the password."""

    name: str = "tusfleet"
    password: str = "s3cret-of-tusfleet"
    rules: str = "~* &* +@all"


@dataclass
class RedisNode:
    """One redis-server process, or one sentinel.

    With an `account`, the default user is off. With `certificates`, it takes nothing but TLS.
    """

    port: int
    account: Account | None = None
    certificates: Certificates | None = None
    program: Program = field(init=False)

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """As clients take it, with the account when there is one."""
        scheme = "rediss" if self.certificates else "redis"
        user = f"{self.account.name}:{self.account.password}@" if self.account else ""
        return f"{scheme}://{user}{self.address}/0"

    @contextmanager
    def client(self) -> Iterator[redis.Redis]:
        """redis-py's client for this one process, with all rights; it does not try again."""
        login: dict[str, Any] = {"username": ADMIN, "password": ADMIN_PASSWORD} if self.account else {}
        if self.certificates:
            login |= {"ssl": True, "ssl_ca_certs": str(self.certificates.authority)}
        client = redis.Redis(
            "127.0.0.1",
            self.port,
            decode_responses=True,
            socket_timeout=CLIENT_SECONDS,
            socket_connect_timeout=CLIENT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            **login,
        )
        try:
            yield client
        finally:
            client.close()

    def ask(self, *command: str | int) -> Any:
        """The answer to one command, on a connection of its own."""
        with self.client() as client:
            return client.execute_command(*command)  # type: ignore[no-untyped-call]

    def answers(self) -> bool:
        """Whether it answers; it has loaded its data when it does."""
        try:
            return bool(self.ask("PING"))
        except redis.RedisError:
            return False

    def is_master(self) -> bool:
        """Whether it runs and takes writes."""
        try:
            return self.program.running and self.ask("ROLE")[0] == "master"
        except redis.RedisError:
            return False

    def replicas_online(self) -> int:
        """How many replicas of it are in sync."""
        known = self.ask("INFO", "replication")
        return sum(known[f"slave{number}"]["state"] == "online" for number in range(known["connected_slaves"]))

    def flush(self) -> None:
        """Remove every key."""
        self.ask("FLUSHALL")

    def contents(self) -> dict[str, Any]:
        """All keys and what they hold, but for those that run out by themselves."""
        lasting = [key for key in self.ask("KEYS", "*") if self.ask("TTL", key) < 0]
        return {
            key: self.ask(*(key if word == "KEY" else word for word in READ[self.ask("TYPE", key)])) for key in lasting
        }

    def kill(self) -> None:
        """Kill it (SIGKILL)."""
        self.program.kill()

    def start(self) -> None:
        """Start it again on its port and data."""
        self.program.start()

    def restart(self) -> None:
        """Kill it and start it again; without AOF the keys are lost."""
        self.program.restart()

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay, nobody answers."""
        self.program.pause()

    def resume(self) -> None:
        """Thaw it (SIGCONT)."""
        self.program.resume()


def server_node(
    folder: Path,
    port: int,
    *options: str,
    aof: bool = False,
    account: Account | None = None,
    certificates: Certificates | None = None,
) -> RedisNode:
    """A redis-server that works in `folder` and has not been started. Raises Unavailable where there is none.

    With `aof`, whatever was answered is on disk. `options` are more of its configuration, as on its command line.
    """
    command = [
        "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes" if aof else "no", "--appendfsync", "always",
        # Or a first sync of a replica waits 5 s.
        "--repl-diskless-sync-delay", "0",
        # DEBUG SLEEP blocks it as a slow command would.
        "--enable-debug-command", "local",
    ]  # fmt: skip
    command += listening(port, certificates)
    for user in users(account) if account else ():
        command += ["--user", *user.split()]
    return launchable(RedisNode(port, account, certificates), folder, "redis", *command, *options)


def listening(port: int, certificates: Certificates | None) -> list[str]:
    """Options for the port, which is one for TLS with `certificates`."""
    if certificates is None:
        return ["--port", str(port)]
    return [
        "--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no", "--tls-replication", "yes",
        "--tls-cert-file", str(certificates.certificate), "--tls-key-file", str(certificates.key),
        "--tls-ca-cert-file", str(certificates.authority),
    ]  # fmt: skip


def users(account: Account) -> tuple[str, ...]:
    """Whom a server with this account knows, in the words of ACL SETUSER."""
    return (
        "default off",
        f"{ADMIN} on >{ADMIN_PASSWORD} ~* &* +@all",
        f"{account.name} on >{account.password} {account.rules}",
    )


def launchable(node: RedisNode, folder: Path, name: str, *arguments: str) -> RedisNode:
    """The node with the program that runs it."""
    binary = shutil.which("redis-server")
    if binary is None:
        raise Unavailable("redis-server is not on PATH (Debian: apt-get install redis-server)")
    folder.mkdir(parents=True, exist_ok=True)
    node.program = Program(f"{name}-{node.port}", [binary, *arguments], folder, ready=node.answers)
    return node
