from __future__ import annotations

import pytest

from tusfleet.redis_shards.access import Target, Topology, target_of


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("redis://", None),
        ("redis://h", Target(Topology.STANDALONE, False, (("h", 6379),))),
        ("redis://h:7/3", Target(Topology.STANDALONE, False, (("h", 7),), 3)),
        ("rediss://[::1]:7", Target(Topology.STANDALONE, True, (("::1", 7),))),
        (
            "redis://us%2Fer:p%40ss@h",
            Target(Topology.STANDALONE, False, (("h", 6379),), username="us/er", password="p@ss"),
        ),
        ("unix:///run/redis.sock", Target(Topology.STANDALONE, False, path="/run/redis.sock")),
        (
            "redis+sentinel://:pw@a,b:7/main/2",
            Target(Topology.SENTINEL, False, (("a", 26379), ("b", 7)), 2, "main", password="pw"),
        ),
        ("rediss+cluster://a:1,b", Target(Topology.CLUSTER, True, (("a", 1), ("b", 6379)))),
    ],
)
def test_a_url_is_taken_apart(url: str, target: Target | None) -> None:
    if target is None:
        with pytest.raises(ValueError, match="names a host"):
            target_of(url)
    else:
        assert target_of(url) == target


@pytest.mark.parametrize(
    "url",
    [
        "http://h",
        "redis+other://h",
        "unix+cluster:///x",
        "unix://",
        "redis://a,b",
        "redis://h/x",
        "redis://h/1/2",
        "redis://h?db=1",
        "redis+sentinel://h",
        "redis+cluster://h/1",
        "redis://h:port",
        "redis://h:99999",
    ],
)
def test_what_is_no_url_of_redis_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        target_of(url)
