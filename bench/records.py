"""Upload records in great number: each is made in Redis by the same command with which a gateway would create it.

The store's own `insert` is watched once for each shard, and what it sends is sent again with other ids of the same
length: that takes a twentieth of the time.
"""

from __future__ import annotations

import random
import secrets
import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import hiredis

from tusfleet.infostores.redis import RedisInfoStore
from tusfleet.redis_shards.lanes import packed
from tusfleet.redis_shards.layout import Layout
from tusfleet.redis_shards.scripts import CREATE, Script
from tusfleet.redis_shards.shards import Shards
from tusfleet.uploads.models import JSON, Metadata, State, Upload

MIB = 2**20
PART_BYTES = 8 * MIB

_BATCH = 500
"""Commands on their way together."""

_ANSWER_BYTES = 2**16
_ANSWER_SECONDS = 60.0


class Refused(RuntimeError):
    """Redis did not create a record; the message is its answer."""


def ids(seed: str, count: int) -> Iterator[str]:
    """So many ids as gateways make them, the same for the same seed."""
    chance = random.Random(seed)
    for _ in range(count):
        yield f"{chance.getrandbits(128):032x}"


def part_text(number: int) -> str:
    """A part as a placement has it."""
    return f"..{number:022d}.{number:06d}=="


def begun(parts: int, tail: int = 0) -> dict[str, JSON]:
    """The placement of an upload to S3 of which so many parts, and a tail of so many bytes in the record, are there."""
    placement: dict[str, JSON] = {
        "bucket": "uploads",
        "key": "{id}",
        # As long as those of AWS.
        "multipart": "Xk9q" * 32,
        "next": parts + 5,
        "ahead": 4,
        "fence": 1_767_225_600_000_000,
        "algorithm": "crc32",
    }
    if parts:
        placement |= {
            # An ETag in base64 and a CRC-32: what `datastores/s3/placement.py` keeps of a part.
            "parts": [part_text(part) for part in range(parts)],
            "count": parts,
            "stored": parts * PART_BYTES,
            "last": [parts, PART_BYTES],
            "checksum": 2**31,
        }
    if tail:
        placement["tail"] = {"size": tail, "checksum": "AAAAAA==", "data": "A" * (-(-tail // 3) * 4)}
    return placement


def upload(id: str, placement: dict[str, JSON] | None = None, *, expires_in: timedelta = timedelta(days=1)) -> Upload:
    """An open upload of 1 GiB with a name and a type, as browsers send them."""
    now = datetime.now(UTC).replace(microsecond=123456)
    placement = placement or {}
    if "key" in placement:
        placement = {**placement, "key": id}
    parts = placement.get("parts", ())
    assert isinstance(parts, Sequence)
    return Upload(
        id=id,
        protocol="tus",
        created_at=now,
        length=1024 * MIB,
        offset=len(parts) * PART_BYTES,
        reserved=1024 * MIB,
        metadata=Metadata("filename aG9saWRheXMtaW4tbm9yd2F5LTAxLm1wNA==,filetype dmlkZW8vbXA0"),
        placement=placement,
        fence=1_767_225_600_000_000,
        expires_at=now + expires_in,
    )


def finished(id: str) -> Upload:
    """The same upload when it is done: one object."""
    open = upload(id)
    placement: dict[str, JSON] = {
        "bucket": "uploads",
        "key": id,
        "algorithm": "crc32",
        "whole": {"size": open.length, "etag": "0" * 32 + "-128", "checksum": "AAAAAA=="},
    }
    return replace(
        open,
        state=State.FINISHED,
        placement=placement,
        offset=open.reserved,
        expires_at=None,
        ended_at=open.created_at,
    )


def tombstone(id: str) -> Upload:
    """The same upload after it has expired."""
    open = upload(id)
    return replace(open, state=State.EXPIRED, reserved=0, expires_at=None, ended_at=open.created_at)


class _Watched(Shards):
    """Shards that note what is to be run, and run nothing."""

    def __init__(self, shards: Shards) -> None:
        self.layout = shards.layout
        self.gateway = shards.gateway
        self.clustered = False
        # Another filling with the same ids is no repetition of this one.
        self._token = f"{shards.gateway}.{secrets.token_hex(4)}"
        self.noted: list[bytes] = []

    def token(self) -> str:
        return self._token

    async def run(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[str | int],
        patience: float | None = None,  # noqa: ARG002 - nothing is waited for
    ) -> Any:
        self.noted.append(packed("EVALSHA", script.digest, len(keys), *keys, *arguments))
        return ["created"]


async def fill(shards: Shards, port: int, like: Upload, new_ids: Iterator[str]) -> None:
    """Create a record like `like` for each of `new_ids`, in the Redis at `port` of 127.0.0.1. Raises Refused."""
    templates = await _templates(shards, like)
    with socket.create_connection(("127.0.0.1", port), timeout=_ANSWER_SECONDS) as connection:
        # Once as a whole, so that the server knows the script.
        connection.sendall(packed("SCRIPT", "LOAD", CREATE.source))
        _check(connection, 1, CREATE.digest)
        batch: list[bytes] = []
        for id in new_ids:
            batch.append(templates[shards.layout.shard(id)](id.encode()))
            if len(batch) == _BATCH:
                _exchange(connection, batch)
        if batch:
            _exchange(connection, batch)


async def _templates(shards: Shards, like: Upload) -> list[Any]:
    """For each shard, what makes the command out of an id."""
    watched = _Watched(shards)
    store = RedisInfoStore(watched)
    made: list[Any] = []
    for placeholder in _placeholders(shards.layout):
        placement = {**like.placement, "key": placeholder} if "key" in like.placement else like.placement
        await store.insert(replace(like, id=placeholder, placement=placement))
        pieces = watched.noted[-1].split(placeholder.encode())
        made.append(lambda id, pieces=pieces: id.join(pieces))
    return made


def _placeholders(layout: Layout) -> list[str]:
    found: dict[int, str] = {}
    for id in ids("placeholders", 100 * layout.shards):
        found.setdefault(layout.shard(id), id)
    return [found[shard] for shard in range(layout.shards)]


def _exchange(connection: socket.socket, batch: list[bytes]) -> None:
    connection.sendall(b"".join(batch))
    _check(connection, len(batch), ["created"])
    batch.clear()


def _check(connection: socket.socket, count: int, expected: object) -> None:
    reader = hiredis.Reader(encoding="utf-8")
    while count:
        reader.feed(connection.recv(_ANSWER_BYTES))
        while (answer := reader.gets()) is not False:
            if answer != expected:
                raise Refused(str(answer))
            count -= 1
