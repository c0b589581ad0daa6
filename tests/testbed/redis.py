"""Redis as one server, with Sentinel and as a Cluster, all of it on this machine."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import redis

from tests.servers import eventually
from tests.testbed.certificates import Certificates
from tests.testbed.ports import reserved_port
from tests.testbed.processes import running
from tests.testbed.redis_node import (
    ADMIN,
    ADMIN_PASSWORD,
    Account,
    RedisNode,
    launchable,
    listening,
    server_node,
    users,
)
from tests.testbed.redis_topologies import (
    MASTER_NAME,
    SETTLE_SECONDS,
    ClusterTopology,
    RedisTopology,
    SentinelTopology,
)

DOWN_AFTER_MS = 1000
"""So long a master may be silent before it counts as dead."""

FAILOVER_MS = 5000
"""After it, the sentinels try a fail-over again that came to nothing."""

SLOTS = 16384
"""Hash slots of a cluster (Redis Cluster specification)."""


@contextmanager
def standalone(
    folder: Path,
    *options: str,
    aof: bool = False,
    maxmemory: str | None = None,
    account: Account | None = None,
    certificates: Certificates | None = None,
) -> Iterator[RedisNode]:
    """One Redis. Raises Unavailable where redis-server is not installed.

    With `aof`, whatever was answered is on disk. `maxmemory` (`"8mb"`) refuses writes above it. With an `account`, the
    default user is off; with `certificates`, it takes nothing but TLS.
    """
    if maxmemory:
        options += ("--maxmemory", maxmemory, "--maxmemory-policy", "noeviction")
    with reserved_port() as port:
        node = server_node(folder, port, *options, aof=aof, account=account, certificates=certificates)
        with running(node.program):
            yield node


@contextmanager
def standalone_topology(folder: Path) -> Iterator[RedisTopology]:
    """One Redis with AOF."""
    with standalone(folder, aof=True) as node:
        yield RedisTopology("standalone", node.url, [node])


@contextmanager
def sentinel(
    folder: Path,
    replicas: int = 2,
    sentinels: int = 3,
    *,
    account: Account | None = None,
    watchers_account: Account | None = None,
    certificates: Certificates | None = None,
) -> Iterator[SentinelTopology]:
    """A master, its replicas and the sentinels, all of them agreed.

    With an `account`, which goes with no replicas, the master knows no others; with a `watchers_account`, which goes
    with one sentinel, that does not. With `certificates`, all of them take nothing but TLS.
    """
    with ExitStack() as stack:
        ports = [stack.enter_context(reserved_port()) for _ in range(1 + replicas + sentinels)]
        master = server_node(folder / "node-0", ports[0], aof=True, account=account, certificates=certificates)
        nodes = [master]
        for number, port in enumerate(ports[1 : 1 + replicas], start=1):
            origin = ("--replicaof", "127.0.0.1", str(master.port))
            nodes.append(server_node(folder / f"node-{number}", port, *origin, aof=True, certificates=certificates))
        watchers = [
            _sentinel(folder / f"sentinel-{number}", port, master, sentinels // 2 + 1, watchers_account)
            for number, port in enumerate(ports[1 + replicas :])
        ]
        stack.enter_context(running(*(node.program for node in nodes)))
        # Sentinels ask a master for its replicas when they meet it, and then not for 10 s.
        eventually(lambda: master.replicas_online() == replicas, SETTLE_SECONDS)
        stack.enter_context(running(*(watcher.program for watcher in watchers)))
        scheme = "rediss" if certificates else "redis"
        addresses = ",".join(watcher.address for watcher in watchers)
        found = SentinelTopology("sentinel", f"{scheme}+sentinel://{addresses}/{MASTER_NAME}/0", nodes, watchers)
        found.wait_until_it_stands()
        yield found


@contextmanager
def cluster(folder: Path, masters: int = 3, replicas: int = 0) -> Iterator[ClusterTopology]:
    """A cluster of so many masters, each with so many replicas, in which all slots are served."""
    with ExitStack() as stack:
        nodes: list[RedisNode] = []
        buses: list[int] = []
        for number in range(masters * (1 + replicas)):
            port, bus = stack.enter_context(reserved_port()), stack.enter_context(reserved_port())
            options = (
                "--cluster-enabled", "yes", "--cluster-port", str(bus), "--cluster-config-file", "nodes.conf",
                "--cluster-node-timeout", str(DOWN_AFTER_MS),
                # The replica of a master that died early may never have been in sync for long.
                "--cluster-replica-validity-factor", "0",
            )  # fmt: skip
            nodes.append(server_node(folder / f"node-{number}", port, *options, aof=True))
            buses.append(bus)
        stack.enter_context(running(*(node.program for node in nodes)))
        found = ClusterTopology("cluster", "redis+cluster://" + ",".join(node.address for node in nodes), nodes)
        _join(nodes, buses, masters)
        found.wait_until_it_stands()
        yield found


def _sentinel(folder: Path, port: int, master: RedisNode, quorum: int, account: Account | None) -> RedisNode:
    """A sentinel, which keeps what it learns in its configuration file."""
    folder.mkdir(parents=True)
    configuration = folder / "sentinel.conf"
    lines = [
        "bind 127.0.0.1",
        f"sentinel monitor {MASTER_NAME} 127.0.0.1 {master.port} {quorum}",
        f"sentinel down-after-milliseconds {MASTER_NAME} {DOWN_AFTER_MS}",
        f"sentinel failover-timeout {MASTER_NAME} {FAILOVER_MS}",
    ]
    if master.account:
        lines += [f"sentinel auth-user {MASTER_NAME} {ADMIN}", f"sentinel auth-pass {MASTER_NAME} {ADMIN_PASSWORD}"]
    lines += [f"user {user}" for user in users(account)] if account else []
    configuration.write_text("\n".join([*lines, ""]), encoding="utf-8")
    node = RedisNode(port, account, master.certificates)
    options = listening(port, master.certificates)
    return launchable(node, folder, "sentinel", str(configuration), "--sentinel", *options)


def _join(nodes: list[RedisNode], buses: list[int], masters: int) -> None:
    """Make one cluster of the nodes: slots for the first ones, the others as their replicas in turn."""
    for number, node in enumerate(nodes):
        # Or all begin with the same epoch, and sort that out between them first.
        node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        if number < masters:
            node.ask("CLUSTER", "ADDSLOTSRANGE", SLOTS * number // masters, SLOTS * (number + 1) // masters - 1)
    for node, bus in zip(nodes[1:], buses[1:], strict=True):
        nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port, bus)
    for number, node in enumerate(nodes[masters:]):
        master = nodes[number % masters].ask("CLUSTER", "MYID")
        eventually(functools.partial(_replicates, node, master), SETTLE_SECONDS)


def _replicates(node: RedisNode, master: str) -> bool:
    """Make the node a replica, as soon as it has heard of the master."""
    try:
        return bool(node.ask("CLUSTER", "REPLICATE", master))
    except redis.ResponseError:
        return False


TOPOLOGIES: dict[str, Callable[[Path], AbstractContextManager[RedisTopology]]] = {
    "standalone": standalone_topology,
    "sentinel": sentinel,
    "cluster": cluster,
}
"""Every test of records and leases runs against each of them."""

TOPOLOGIES_THAT_FAIL_OVER = TOPOLOGIES | {"cluster": functools.partial(cluster, replicas=1)}
"""The same, in which a master that dies is followed by another."""
