"""Redis in each of its forms answers, fails over, comes back, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from tests.integration.testbed.leftovers import nothing_left
from tests.servers import eventually
from tests.testbed import redis as testbed
from tests.testbed.certificates import make_certificates
from tests.testbed.fixtures import need_redis
from tests.testbed.redis_node import Account, RedisNode
from tests.testbed.redis_topologies import RedisTopology


@pytest.mark.parametrize("turn", ["first", "second"])
def test_each_test_finds_no_keys(redis_server: RedisNode, turn: str) -> None:
    assert redis_server.ask("DBSIZE") == 0
    redis_server.ask("SET", turn, 1)


@pytest.mark.parametrize("turn", ["first", "second"])
def test_each_test_finds_no_keys_in_any_form(redis_topology: RedisTopology, turn: str) -> None:
    assert [node.ask("DBSIZE") for node in redis_topology.masters()] == [0] * len(redis_topology.masters())
    for node in redis_topology.masters():
        write(node, turn)


def test_what_was_answered_outlives_a_kill_with_aof(redis_alone: RedisNode) -> None:
    redis_alone.ask("SET", "key", "kept")
    redis_alone.restart()
    assert redis_alone.ask("GET", "key") == "kept"


def test_nobody_answers_for_a_frozen_server(redis_alone: RedisNode) -> None:
    with redis_alone.client() as client:
        client.connection_pool.connection_kwargs["socket_timeout"] = 0.2
        redis_alone.pause()
        with pytest.raises(redis.TimeoutError):
            client.ping()
        redis_alone.resume()
        assert client.ping()


def test_full_server_refuses_writes(tmp_path: Path) -> None:
    need_redis()
    with testbed.standalone(tmp_path, maxmemory="4mb") as node:

        def fill() -> None:
            for number in range(100):
                node.ask("SET", number, "x" * 100_000)

        with pytest.raises(redis.OutOfMemoryError, match="maxmemory"):
            fill()
        assert node.ask("GET", 0)


def test_encrypted_server_lets_nobody_in_but_its_account(tmp_path: Path) -> None:
    need_redis()
    account = Account(rules="~tf:* +get +set +ping")
    certificates = make_certificates(tmp_path)
    with testbed.standalone(tmp_path, account=account, certificates=certificates) as node:
        trusted = str(certificates.authority)
        nameless = node.url.replace(f"{account.name}:{account.password}@", "")
        with redis.Redis.from_url(node.url, ssl_ca_certs=trusted) as client:
            assert client.set("tf:key", 1)
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.set("other", 1)
        with redis.Redis.from_url(nameless, ssl_ca_certs=trusted) as anyone, pytest.raises(redis.AuthenticationError):
            anyone.ping()


def test_failed_over_form_takes_writes_and_keeps_the_old_ones(topology_alone: RedisTopology) -> None:
    master = topology_alone.current_master()
    key = write(master, "before")
    if topology_alone.kind != "standalone":
        assert master.ask("WAIT", 1, 5000) >= 1
    dead = topology_alone.fail_over()
    assert dead is master
    assert key in {found for node in topology_alone.masters() for found in node.ask("KEYS", "*")}
    for node in topology_alone.masters():
        write(node, "after")
    if topology_alone.kind == "cluster":
        dead.start()
        topology_alone.wait_until_it_stands()
        assert not dead.is_master()


@pytest.mark.parametrize("kind", testbed.TOPOLOGIES_THAT_FAIL_OVER)
def test_nothing_is_left(kind: str, tmp_path: Path) -> None:
    need_redis()

    def interrupted() -> None:
        with testbed.TOPOLOGIES_THAT_FAIL_OVER[kind](tmp_path) as topology:
            groups.extend(node.program.pid for node in topology.nodes)
            # A frozen server does not hear that it is to end, and a dead one needs no end.
            topology.nodes[0].pause()
            topology.nodes[-1].kill()
            raise KeyboardInterrupt

    with nothing_left() as groups, pytest.raises(KeyboardInterrupt):
        interrupted()


def write(node: RedisNode, value: str) -> str:
    """Write the value under a key that this node takes, and give the key."""

    def written() -> str | None:
        for number in range(100):
            try:
                node.ask("SET", f"key-{number}", value)
            except redis.exceptions.MovedError:
                continue
            return f"key-{number}"
        return None

    return eventually(written)
