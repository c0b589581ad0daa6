"""How Redis is reached: TLS, users, passwords, URLs, and which stores are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.redis.gateways import gateway_at
from tests.kits.infostore import record
from tests.testbed import redis
from tests.testbed.certificates import make_certificates
from tests.testbed.redis_node import Account, RedisNode
from tests.testbed.redis_topologies import RedisTopology
from tusfleet.infostores.redis import RedisInfoStore
from tusfleet.redis_shards.access import RedisAccess
from tusfleet.redis_shards.schema import MIGRATIONS, Store, UnusableStore
from tusfleet.redis_shards.shards import open_shards
from tusfleet.uploads.errors import Unavailable

LEAST = "~tf:* &tf:* +@read +@write +@scripting +@pubsub +@connection +time +wait"
"""What a user needs on one server; a Cluster wants `+cluster|slots` besides."""

WATCHING = "&* +sentinel|masters"
"""What a user needs on a Sentinel."""


@pytest.mark.anyio
async def test_tls_a_user_with_few_rights_and_a_password_file_that_changes(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    account = Account("tusfleet", "first", LEAST)
    password = tmp_path / "password"
    password.write_text("first\n")
    with redis.standalone(tmp_path / "redis", account=account, certificates=certificates) as node:
        options: dict[str, Any] = {"ca_file": certificates.authority, "username": "tusfleet", "password_file": password}
        url = f"rediss://{node.address}/0"
        async with gateway_at(url, **options) as gateway:
            await gateway.info.insert(record("a"))
            lease = await gateway.locker.acquire("a", 5)
            await lease.release()
            await gateway.info.probe()
            node.ask("ACL", "SETUSER", "tusfleet", "resetpass", ">second")
            password.write_text("second")
            node.ask("CLIENT", "KILL", "USER", "tusfleet")
            assert await gateway.info.read("a") is not None
        with pytest.raises(Unavailable, match="certificate"):
            async with gateway_at(url, username="tusfleet", password_file=password, patience=0.5):
                raise AssertionError
        with pytest.raises(Unavailable, match="file of the password cannot be read"):
            async with gateway_at(url, **{**options, "password_file": tmp_path / "nowhere", "patience": 0.5}):
                raise AssertionError


@pytest.mark.anyio
async def test_sentinels_with_tls_and_users_of_their_own(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    servers, watchers = Account("tusfleet", "of-servers", LEAST), Account("watcher", "of-sentinels", WATCHING)
    password = tmp_path / "password"
    password.write_text("of-sentinels\n")
    with redis.sentinel(
        tmp_path / "redis", 0, 1, account=servers, watchers_account=watchers, certificates=certificates
    ) as topology:
        (sentinel,) = topology.sentinels
        options: dict[str, Any] = {
            "ca_file": certificates.authority, "username": "tusfleet", "password": "of-servers",
            "sentinel_username": "watcher", "sentinel_password_file": password,
        }  # fmt: skip
        async with gateway_at(topology.url, **options) as gateway:
            await gateway.info.insert(record("a"))
            sentinel.ask("ACL", "SETUSER", "watcher", "resetpass", ">second")
            password.write_text("second")
            topology.nodes[0].ask("CLIENT", "KILL", "USER", "tusfleet")
            assert await gateway.info.read("a") is not None
        async with gateway_at(
            topology.url, **{**options, "sentinel_password_file": None, "sentinel_password": "second"}
        ) as gateway:
            assert await gateway.info.read("a") is not None
        elsewhere = topology.url.replace("/main/", "/elsewhere/")
        for url, wrong, reason in (
            (topology.url, {"sentinel_username": None}, "Sentinels refuse the credentials"),
            (topology.url, {"sentinel_password_file": tmp_path / "nowhere"}, "file of the password cannot be read"),
            (topology.url, {"password": "wrong"}, "refuses the credentials"),
            (elsewhere, {}, "no Sentinel that can be reached names a master"),
        ):
            with pytest.raises(Unavailable, match=reason) as refusal:
                async with gateway_at(url, **{**options, **wrong, "patience": 0.5}):
                    raise AssertionError
            assert "redis.asyncio" not in str(refusal.value)


@pytest.mark.anyio
async def test_a_wrong_password_and_missing_rights_are_told_at_once(tmp_path: Path) -> None:
    account = Account("tusfleet", "secret-1", "~other:* &* +@all")
    with redis.standalone(tmp_path / "redis", account=account) as node:
        for url in (f"redis://tusfleet:wrong@{node.address}/0", f"redis://{node.address}/0"):
            with pytest.raises(Unavailable, match=r"refuses the credentials|Authentication required"):
                async with gateway_at(url):
                    raise AssertionError
        with pytest.raises(Unavailable, match="does not permit"):
            async with gateway_at(node.url):
                raise AssertionError


@pytest.mark.anyio
async def test_a_redis_that_is_not_there_is_told_of_without_its_password() -> None:
    access = RedisAccess("redis://user:very-secret@127.0.0.1:1/0", patience=0.3)
    with pytest.raises(Unavailable, match=r"Redis at 127.0.0.1:1 cannot be used") as refusal:
        await open_shards(access, "g")
    assert "very-secret" not in str(refusal.value)
    assert "very-secret" not in repr(RedisAccess(password="very-secret"))


@pytest.mark.anyio
async def test_a_store_of_a_newer_version_is_refused(redis_server: RedisNode) -> None:
    redis_server.ask("HSET", "tf:store", "schema", len(MIGRATIONS) + 1, "shards", 64)
    with pytest.raises(UnusableStore, match="written by a newer one"):
        await open_shards(RedisAccess(redis_server.url), "g")
    assert redis_server.ask("HGET", "tf:store", "schema") == str(len(MIGRATIONS) + 1)


@pytest.mark.anyio
async def test_a_store_of_an_older_version_is_brought_up(redis_server: RedisNode) -> None:
    async with gateway_at(redis_server.url) as gateway:
        await gateway.info.insert(record("a"))
    seen: list[int] = []

    async def migration(store: Store) -> None:
        seen.append(store.layout.shards)

    shards = await open_shards(RedisAccess(redis_server.url), "g", migrations=[*MIGRATIONS, migration])
    assert seen == [64]
    assert redis_server.ask("HGET", "tf:store", "schema") == str(len(MIGRATIONS) + 1)
    assert await RedisInfoStore(shards).read("a") == record("a")
    await shards.close()


@pytest.mark.anyio
async def test_the_number_of_shards_is_kept(redis_server: RedisNode) -> None:
    async with gateway_at(redis_server.url, shards=3) as gateway:
        await gateway.info.insert(record("a"))
    async with gateway_at(redis_server.url) as gateway:
        assert await gateway.info.read("a") == record("a")
    with pytest.raises(UnusableStore, match="has 3 shards"):
        await open_shards(RedisAccess(redis_server.url, shards=4), "g")


@pytest.mark.anyio
async def test_a_key_of_another_program_is_left_alone(redis_server: RedisNode) -> None:
    redis_server.ask("HSET", "tf:store", "schema", "what", "shards", "ever")
    with pytest.raises(UnusableStore, match="not one of ours"):
        await open_shards(RedisAccess(redis_server.url), "g")
    redis_server.ask("DEL", "tf:store")
    redis_server.ask("SET", "tf:store", "text")
    with pytest.raises(Unavailable, match="WRONGTYPE"):
        await open_shards(RedisAccess(redis_server.url), "g")


@pytest.mark.anyio
async def test_a_capacity_needs_all_shards_on_one_server(redis_topology: RedisTopology) -> None:
    async with gateway_at(redis_topology.url) as gateway:
        if redis_topology.kind == "cluster":
            with pytest.raises(ValueError, match="cannot be kept on a Redis Cluster"):
                RedisInfoStore(gateway.shards, 1000)
        else:
            await RedisInfoStore(gateway.shards, 1000).probe()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "options", [{"prefix": ""}, {"prefix": "a{b"}, {"shards": 0}, {"shards": 5000}, {"url": "http://x"}]
)
async def test_what_cannot_be_is_refused_before_anything_is_reached(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"prefix|shards|Redis URL"):
        await open_shards(RedisAccess(**options), "g")  # type: ignore[arg-type]
