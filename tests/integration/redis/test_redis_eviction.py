"""A Redis that throws records away when it is full is warned of, on every topology and without the right to CONFIG."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.redis.gateways import gateway_at
from tests.testbed import redis
from tests.testbed.redis_node import Account, RedisNode
from tests.testbed.redis_topologies import RedisTopology
from tusfleet.gateway.app import Service
from tusfleet.redis_shards import eviction
from tusfleet.settings import InfoStoreKind, Settings

pytestmark = pytest.mark.anyio

NO_CONFIG = "~tf:* &tf:* +@all -config"


@contextmanager
def policy(node: RedisNode, name: str) -> Iterator[None]:
    """Another policy for a while."""
    node.ask("CONFIG", "SET", "maxmemory-policy", name)
    try:
        yield
    finally:
        node.ask("CONFIG", "SET", "maxmemory-policy", eviction.KEEPS)


async def readiness(health: Any) -> tuple[int, dict[str, str]]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await health({"type": "http", "method": "GET", "path": "/readyz", "root_path": ""}, None, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


@pytest.mark.parametrize("name", ["allkeys-lru", "volatile-ttl"])
async def test_one_server_that_evicts_is_enough(redis_topology: RedisTopology, name: str) -> None:
    with policy(redis_topology.masters()[-1], name):
        async with gateway_at(redis_topology.url) as gateway:
            warning = await gateway.info.warning()
    assert warning is not None
    assert f"maxmemory-policy {name}:" in warning
    assert warning.endswith("set noeviction")


async def test_one_that_keeps_everything_is_not_warned_of(redis_topology: RedisTopology) -> None:
    async with gateway_at(redis_topology.url) as gateway:
        assert await gateway.info.warning() is None


async def test_the_start_and_readiness_tell_of_it_and_of_its_end(
    redis_server: RedisNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(infostore=InfoStoreKind.REDIS, redis_url=redis_server.url, data_dir=tmp_path)
    service = Service(settings)
    with policy(redis_server, "allkeys-random"):
        with caplog.at_level(logging.WARNING):
            await service.start()
        try:
            assert any("maxmemory-policy allkeys-random" in record.message for record in caplog.records)
            monkeypatch.setattr("tusfleet.gateway.health.PROBE_SECONDS", 0.0)
            status, body = await readiness(service.health)
            assert (status, body["status"]) == (200, "ready")
            assert "allkeys-random" in body["warning"]
            redis_server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
            # Not asked anew before its time.
            assert "warning" in (await readiness(service.health))[1]
            monkeypatch.setattr(eviction, "LOOK_SECONDS", 0.0)
            assert await readiness(service.health) == (200, {"status": "ready"})
        finally:
            await service.stop()


@pytest.mark.parametrize(("rules", "known"), [(NO_CONFIG, True), (f"{NO_CONFIG} -info", False)])
async def test_a_server_that_forbids_to_look_at_its_configuration(tmp_path: Path, rules: str, known: bool) -> None:
    account = Account("tusfleet", "secret", rules)
    options = ("--maxmemory-policy", "allkeys-lfu")
    with redis.standalone(tmp_path / "redis", *options, account=account) as node:
        async with gateway_at(node.url) as gateway:
            assert (await gateway.info.warning() is not None) == known
            await gateway.info.probe()


async def test_a_store_without_such_settings_says_nothing(tmp_path: Path) -> None:
    service = Service(Settings(data_dir=tmp_path))
    await service.start()
    try:
        assert await readiness(service.health) == (200, {"status": "ready"})
    finally:
        await service.stop()
