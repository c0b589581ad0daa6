"""What the conformance tests run against: by default one box; TUSFLEET_TEST_DEPLOYMENT names another.

`box`, `workers` (one box, several processes), or a fleet as `REDIS,STORE`: `standalone`, `sentinel` or `cluster`; and
`disk`, `versitygw` or `minio`. With a third word, `REDIS,STORE,image`, its processes are containers of the image.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.servers import Server, serving
from tests.testbed import redis, s3
from tests.testbed.commands import Unavailable
from tests.testbed.containers import CONTAINED, services_image
from tests.testbed.fixtures import need, need_redis
from tests.testbed.gateways import CHECKOUT, Kinds, fleet, on_disk, on_s3

Deploy = Callable[..., AbstractContextManager[Server]]

NAME = os.environ.get("TUSFLEET_TEST_DEPLOYMENT", "box")

STORE_HAS_LIMIT = not {"versitygw", "minio"}.isdisjoint(NAME.split(","))
"""Whether the store itself does not take uploads of any size."""

ONE_SHARD = ("--redis-shards", "1") if NAME.startswith("cluster") else ()
"""For what is counted over all uploads together, which several servers of a Redis Cluster cannot do."""


@contextmanager
def deployment(folder: Path, name: str = NAME) -> Iterator[Deploy]:
    """Gives a function that starts the server with a folder of its own and more flags, as a context manager."""
    if name == "box":
        yield serving
        return
    if name == "workers":
        yield lambda folder, *flags: serving(folder, "--workers", "2", *flags)
        return
    topology, store, *where = name.split(",")
    assert where in ([], ["image"]), f"{name} says where its processes run by something else than `image`"
    need_redis()
    kinds = _of_the_image() if where else CHECKOUT
    with ExitStack() as stack:
        keys = stack.enter_context(redis.TOPOLOGIES[topology](folder / "redis"))
        if store != "disk":
            need(store)
            storage = stack.enter_context(s3.SERVERS[store](folder / "s3"))

        def deploy(folder: Path, *flags: str) -> AbstractContextManager[Server]:
            backend = on_disk(keys, folder / "data") if store == "disk" else on_s3(keys, storage.bucket())
            return fleet(folder, backend, "--redis-prefix", f"tf-{uuid.uuid4().hex[:8]}", *flags, kinds=kinds)

        yield deploy


def _of_the_image() -> Kinds:
    """Containers, once there is an image; skips where none can be built or run."""
    try:
        services_image()
    except Unavailable as reason:
        pytest.skip(str(reason))
    return CONTAINED
