"""Redis in its three forms: who is master, and how a fail-over is brought about."""

from __future__ import annotations

from dataclasses import dataclass

import redis

from tests.servers import eventually
from tests.testbed.redis_node import RedisNode

MASTER_NAME = "main"
"""What the sentinels call their master."""

SETTLE_SECONDS = 40.0
"""A fail-over takes 2 to 5 s, the first agreement 2 s; on a busy machine, more."""


@dataclass
class RedisTopology:
    """Redis in one of its forms; this one is a single server.

    `url` is for the programs under test: redis://HOST:PORT/0, redis+sentinel://HOST:PORT,.../main/0 or
    redis+cluster://HOST:PORT,...
    """

    kind: str
    url: str
    nodes: list[RedisNode]

    def masters(self) -> list[RedisNode]:
        """The nodes that take writes now."""
        return [node for node in self.nodes if node.is_master()]

    def current_master(self) -> RedisNode:
        """The master; of several, the first."""
        return self.masters()[0]

    def flush(self) -> None:
        """Remove every key."""
        for node in self.masters():
            node.flush()

    def stands(self) -> bool:
        """Whether every node runs, has its place, and agrees with the others."""
        return all(node.answers() for node in self.nodes)

    def wait_until_it_stands(self) -> None:
        """Wait for `stands`, at the start or after a fail-over whose victim has been started again."""
        eventually(self.stands, SETTLE_SECONDS)

    def fail_over(self) -> RedisNode:
        """Kill a master and wait until the service is whole again; gives what was killed.

        A single server is started again at once. Elsewhere another node has taken over, and `start()` of the one that
        was killed brings it back as a replica.
        """
        master = self.current_master()
        master.restart()
        return master


@dataclass
class SentinelTopology(RedisTopology):
    """A master, replicas of it, and sentinels that name another master when it dies."""

    sentinels: list[RedisNode]

    def current_master(self) -> RedisNode:
        """The one that all sentinels name."""
        return eventually(self._agreed, SETTLE_SECONDS)

    def masters(self) -> list[RedisNode]:
        """The one that all sentinels name."""
        return [self.current_master()]

    def stands(self) -> bool:
        """Whether all replicas are in sync with the one master, and all sentinels know of everything."""
        master = self._agreed()
        if master is None or not all(node.answers() for node in self.nodes):
            return False
        return master.replicas_online() == len(self.nodes) - 1 and all(map(self._knows_all, self.sentinels))

    def fail_over(self) -> RedisNode:
        """Kill the master and wait until all sentinels name another one, which takes writes."""
        dead = self.current_master()
        dead.kill()
        eventually(lambda: (self._agreed() or dead) is not dead, SETTLE_SECONDS)
        return dead

    def _agreed(self) -> RedisNode | None:
        """The node that every sentinel names and that says itself that it is the master."""
        try:
            named = {int(one.ask("SENTINEL GET-MASTER-ADDR-BY-NAME", MASTER_NAME)[1]) for one in self.sentinels}
        except redis.RedisError:
            return None
        return next((node for node in self.nodes if named == {node.port} and node.is_master()), None)

    def _knows_all(self, sentinel: RedisNode) -> bool:
        state = sentinel.ask("SENTINEL MASTER", MASTER_NAME)
        return (
            int(state["num-slaves"]) == len(self.nodes) - 1
            and int(state["num-other-sentinels"]) == len(self.sentinels) - 1
            and "down" not in state["flags"]
        )


@dataclass
class ClusterTopology(RedisTopology):
    """Masters that share the keys, each perhaps with replicas."""

    def stands(self) -> bool:
        """Whether all nodes see all others up and every slot served."""
        return all(self._sees(node, len(self.nodes)) for node in self.nodes) and self._replicas_in_sync()

    def fail_over(self) -> RedisNode:
        """Kill a master and wait until a replica of it has taken its slots over, as all others see it."""
        before = self.masters()
        dead = before[0]
        others = [node for node in self.nodes if node is not dead]
        if len(self.nodes) == len(before):
            raise ValueError("this cluster has no replicas")
        dead.kill()
        eventually(
            lambda: len(self.masters()) == len(before) and all(self._sees(node, len(others)) for node in others),
            SETTLE_SECONDS,
        )
        return dead

    def _sees(self, node: RedisNode, up: int) -> bool:
        """Whether the node finds the cluster whole, with so many nodes up."""
        try:
            state, table = node.ask("CLUSTER INFO"), node.ask("CLUSTER NODES")
        except redis.RedisError:
            return False
        well = [one for one in table.values() if one["connected"] and "fail" not in one["flags"]]
        return bool(state["cluster_state"] == "ok") and len(well) == up

    def _replicas_in_sync(self) -> bool:
        replicas = [node for node in self.nodes if node not in self.masters()]
        return all(node.ask("INFO", "replication")["master_link_status"] == "up" for node in replicas)
