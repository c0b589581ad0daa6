"""Where a fleet keeps its bytes: every test of this folder runs on each of these, and looks past the gateways."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.testbed.gateways import Backend, on_disk, on_s3
from tests.testbed.redis_topologies import RedisTopology
from tests.testbed.s3 import SERVERS, Bucket, S3Server

PART = 5 * 1024 * 1024
"""Bytes of a part: the smallest that S3 takes, so that an upload of several is quick."""

EVERY = bool(os.environ.get("TUSFLEET_TEST_EVERY_DEATH"))
"""Whether a run is to try everything, instead of a choice that is the same every time."""

KINDS = ("filesystem", *SERVERS)


@dataclass(frozen=True)
class Place:
    """Records in a Redis, bytes in a bucket or in a folder that all gateways see."""

    kind: str
    backend: Backend
    folder: Path | None = None
    bucket: Bucket | None = None

    def objects(self) -> list[str]:
        """The names of all finished objects, and of everything else that lies beside them."""
        if self.bucket is not None:
            return self.bucket.keys()
        assert self.folder is not None
        return sorted(str(path.relative_to(self._files)) for path in self._files.rglob("*") if path.is_file())

    def tails(self) -> list[str]:
        """The objects that hold bytes of uploads which are not finished."""
        return [] if self.bucket is None else self.bucket.keys(".tails/")

    def sha256(self, name: str) -> str:
        """The SHA-256 of an object, read by a client that is not ours."""
        if self.bucket is not None:
            return self.bucket.sha256(name)
        return hashlib.sha256((self._files / name).read_bytes()).hexdigest()

    def unfinished(self) -> list[str]:
        """What lies in the store of uploads that are not finished: partial files, multipart uploads."""
        if self.bucket is not None:
            return [f"{key} {upload}" for key, upload in self.bucket.multipart_uploads()]
        assert self.folder is not None
        return [str(path) for path in (self.folder / "partial").rglob("*") if path.is_file()]

    def age(self) -> None:
        """Make partial files old: a janitor leaves fresh ones alone, which may belong to a creation."""
        for path in self.unfinished() if self.folder else ():
            os.utime(path, (1.0, 1.0))

    @property
    def _files(self) -> Path:
        assert self.folder is not None
        return self.folder / "files"


@dataclass
class Stores:
    """The S3 servers of this process, each started when it is first needed."""

    folder: Path
    _stack: ExitStack = field(default_factory=ExitStack)
    _running: dict[str, S3Server] = field(default_factory=dict)

    def server(self, kind: str) -> S3Server:
        if kind not in self._running:
            folder = self.folder / kind
            folder.mkdir()
            self._running[kind] = self._stack.enter_context(SERVERS[kind](folder))
        return self._running[kind]

    def place(self, kind: str, redis: RedisTopology, folder: Path, endpoint: str | None = None) -> Place:
        """A place of this kind with nothing in it; `endpoint` is that of a proxy in front of the S3 server."""
        if kind == "filesystem":
            shared = folder / "shared"
            return Place(kind, on_disk(redis, shared), folder=shared)
        bucket = self.server(kind).bucket()
        backend = on_s3(redis, bucket, endpoint)
        flags = (*backend.flags, "--s3-part-size", str(PART))
        return Place(kind, replace(backend, flags=flags), bucket=bucket)


@contextmanager
def stores(folder: Path) -> Iterator[Stores]:
    """The S3 servers, ended for certain."""
    found = Stores(folder)
    with found._stack:
        yield found
