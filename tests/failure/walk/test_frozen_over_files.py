"""What a walk over files found: a folder that several gateways share cannot refuse one that was frozen too long.

So it has to write where nobody reads.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.failure.client import Wire, ask, create, head, offset, offset_of, patch, peeked
from tests.servers import eventually, serving
from tests.testbed.gateways import Gateway, on_disk
from tests.testbed.redis_node import RedisNode
from tests.testbed.redis_topologies import RedisTopology

LEASE_SECONDS = 1.0

TAKEOVER_SECONDS = 20.0


@pytest.mark.long
def test_a_thawed_gateway_changes_nothing_in_a_shared_folder(tmp_path: Path, redis_alone: RedisNode) -> None:
    backend = on_disk(RedisTopology("standalone", redis_alone.url, [redis_alone]), tmp_path / "shared")
    flags = (*backend.flags, "--lease-ttl", f"{LEASE_SECONDS:g}s", "--checkpoint-interval", "50ms")
    data = bytes(range(250)) * 80
    with (
        serving(tmp_path / "first", *flags, kind=Gateway) as first,
        serving(tmp_path / "second", *flags, kind=Gateway) as second,
    ):
        path = create(first, None)
        with Wire(first) as wire:
            wire.patch(path, 0, len(data))
            wire.send(data[:10])
            eventually(lambda: peeked(first, path)["offset"] == 10)
            first.process.send_signal(signal.SIGSTOP)
            try:
                wire.send(data[10:1000])
                told = eventually(
                    lambda: answer if (answer := head(second, path)).status == 200 else None, TAKEOVER_SECONDS
                )
                assert offset_of(told) == 10
                assert patch(second, path, 10, data[10:]).status == 204
            finally:
                first.process.send_signal(signal.SIGCONT)
            assert wire.read("PATCH").status == 503
        assert offset(second, path) == len(data)
        assert patch(second, path, len(data), b"", {"Upload-Length": str(len(data))}).status == 204
        assert ask(second, "GET", path).body == data
    assert [path.read_bytes() for path in (tmp_path / "shared").rglob("*") if path.is_file()] == [data]
