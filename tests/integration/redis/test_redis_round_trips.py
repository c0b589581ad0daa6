"""What a request of a client costs in Redis, counted by Redis itself behind a real gateway on a real bucket."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers import Server, eventually, serving
from tests.testbed.gateways import Gateway, on_s3
from tests.testbed.redis_node import RedisNode
from tests.testbed.redis_topologies import RedisTopology
from tests.testbed.s3 import Bucket
from tusfleet.redis_shards import scripts

MIB = 1024 * 1024
PART = 5 * MIB
"""Bytes of a part, and of a request."""

PARTS = 3

MOST = {"POST": 1, "HEAD": 1, "PATCH": 3}
"""Round trips of a request."""


NAMES = {one.digest: one.name for one in vars(scripts).values() if isinstance(one, scripts.Script)}

QUIET = ("--lease-ttl", "5m", "--checkpoint-interval", "1m")
"""Nothing that a slow machine brings about: leases that are renewed, bytes that are made durable before their time."""


class Monitor:
    """The commands that clients send to a Redis, those of scripts left out: each is a round trip, or less of one."""

    def __init__(self) -> None:
        self.commands: list[str] = []

    @classmethod
    @contextmanager
    def of(cls, node: RedisNode) -> Iterator[Monitor]:
        """Watch a Redis, which tells of every command (MONITOR)."""
        monitor, began = cls(), threading.Event()
        with node.client() as client:

            def watch() -> None:
                with client.monitor() as told:  # type: ignore[no-untyped-call]
                    began.set()
                    for one in told.listen():
                        if one["client_type"] != "lua":
                            monitor.commands.append(one["command"])
                        if one["command"] == "ECHO end":
                            return

            thread = threading.Thread(target=watch)
            thread.start()
            assert began.wait(10)
            try:
                yield monitor
            finally:
                node.ask("ECHO", "end")
                thread.join(10)

    def about(self, id: str) -> list[str]:
        """What was asked about an upload: the names of scripts."""
        return [_name(command) for command in list(self.commands) if id in command]


def _name(command: str) -> str:
    """The name of the script that a command runs, as a digest or as a whole."""
    verb, what, *_ = command.split(" ", 2)
    assert verb in {"EVALSHA", "EVAL"}, command
    return NAMES.get(what, verb)


class Client:
    """A client of one gateway that counts what its requests ask of Redis."""

    def __init__(self, server: Server, node: RedisNode, monitor: Monitor) -> None:
        self._server = server
        self._node = node
        self._monitor = monitor
        self.id = ""

    def request(self, method: str, length: int, offset: int | None = None, size: int = 0) -> list[str]:
        """Make a request, and give its round trips."""
        before = len(self._so_far()) if self.id else 0
        split = urlsplit(self._server.url)
        connection = http.client.HTTPConnection(split.hostname or "", split.port, timeout=60)
        headers = {"Tus-Resumable": "1.0.0"}
        if method == "POST":
            headers["Upload-Length"] = str(length)
        if method == "PATCH":
            headers |= {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
        path = split.path if method == "POST" else f"{split.path}/{self.id}"
        connection.request(method, path, b"x" * size if method == "PATCH" else None, headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status in {200, 201, 204}, answer.status
        if method == "POST":
            self.id = str(answer.getheader("Location")).rpartition("/")[2]
        connection.close()
        return self._so_far()[before:]

    def _so_far(self) -> list[str]:
        # What Redis tells comes in the order of its commands: after this one there is nothing more of the request.
        mark = f"mark {len(self._monitor.commands)}"
        self._node.ask("ECHO", mark)
        eventually(lambda: any(mark in command for command in list(self._monitor.commands)))
        return self._monitor.about(self.id)


def test_post_head_and_patch_take_one_one_and_three(redis_alone: RedisNode, bucket: Bucket, tmp_path: Path) -> None:
    backend = on_s3(RedisTopology("standalone", redis_alone.url, [redis_alone]), bucket)
    flags = (*backend.flags, *QUIET, "--s3-part-size", "5MiB")
    with (
        serving(tmp_path / "gateway", *flags, environment=backend.environment, kind=Gateway) as server,
        Monitor.of(redis_alone) as monitor,
    ):
        # The first upload has the scripts sent along.
        life(Client(server, redis_alone, monitor))
        steps = life(Client(server, redis_alone, monitor))
    for method, asked in steps:
        print(f"{method}: {len(asked)} ({', '.join(asked)})")
    assert [asked for method, asked in steps if method == "POST"] == [["create"]]
    assert [asked for method, asked in steps if method == "HEAD"] == [["read"]] * (1 + PARTS)
    assert all(len(asked) <= MOST[method] for method, asked in steps)


def life(client: Client) -> list[tuple[str, list[str]]]:
    """An upload of some parts, each in a request of its own, from its creation to its object."""
    steps = [("POST", client.request("POST", PARTS * PART)), ("HEAD", client.request("HEAD", 0))]
    for number in range(PARTS):
        steps.append(("PATCH", client.request("PATCH", 0, number * PART, PART)))
        steps.append(("HEAD", client.request("HEAD", 0)))
    return steps
