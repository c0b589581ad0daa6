"""The faults of TCP do what they say, and end with their block."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from tests.integration.testbed.leftovers import nothing_left
from tests.testbed import toxiproxy as toxic
from tests.testbed.fixtures import need
from tests.testbed.processes import accepts
from tests.testbed.redis_node import RedisNode
from tests.testbed.toxiproxy import TcpProxy, Toxiproxy


@pytest.fixture
def proxy(toxiproxy: Toxiproxy, redis_server: RedisNode) -> TcpProxy:
    """A proxy in front of the shared Redis."""
    return toxiproxy.proxy(redis_server.port)


def test_answers_come_later(proxy: TcpProxy) -> None:
    with connected(proxy) as client:
        with proxy.latency(300):
            assert seconds_of_ping(client) >= 0.3
        assert seconds_of_ping(client) < 0.3


def test_bandwidth_is_bounded(proxy: TcpProxy) -> None:
    with connected(proxy) as client:
        client.set("key", "x" * 200_000)
        with proxy.bandwidth(400):
            start = time.monotonic()
            client.get("key")
            assert time.monotonic() - start >= 0.3


def test_connections_are_reset(proxy: TcpProxy) -> None:
    with connected(proxy) as client, proxy.resets(), pytest.raises(redis.ConnectionError):
        client.ping()
    with connected(proxy) as client:
        assert client.ping()


def test_partition_is_silent_and_heals(proxy: TcpProxy, redis_server: RedisNode) -> None:
    with connected(proxy, timeout=0.3) as client:
        assert client.ping()
        with proxy.silence():
            with pytest.raises(redis.TimeoutError):
                client.set("key", 1)
            with pytest.raises(redis.TimeoutError):
                client.ping()
        assert redis_server.ask("GET", "key") is None
    with connected(proxy) as client:
        assert client.ping()


def test_port_is_closed_and_comes_back(proxy: TcpProxy) -> None:
    with proxy.down():
        assert not accepts(proxy.port)
    with connected(proxy) as client:
        assert client.ping()


def test_nothing_is_left(tmp_path: Path, redis_server: RedisNode) -> None:
    need("toxiproxy")

    def interrupted() -> None:
        with toxic.toxiproxy(tmp_path) as program:
            groups.append(program.program.pid)
            program.proxy(redis_server.port)
            raise KeyboardInterrupt

    with nothing_left() as groups, pytest.raises(KeyboardInterrupt):
        interrupted()


@contextmanager
def connected(proxy: TcpProxy, timeout: float = 10.0) -> Iterator[redis.Redis]:
    """A client of the Redis behind the proxy, which does not try again."""
    retry = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
    client = redis.Redis("127.0.0.1", proxy.port, socket_timeout=timeout, decode_responses=True, retry=retry)
    try:
        yield client
    finally:
        client.close()


def seconds_of_ping(client: redis.Redis) -> float:
    """How long an answer takes."""
    start = time.monotonic()
    client.ping()
    return time.monotonic() - start
