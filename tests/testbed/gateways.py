"""A fleet: real `tusfleet gateway` processes on one store, a janitor, and a round-robin proxy in front."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.servers import Process, Server, serving
from tests.testbed.redis_topologies import RedisTopology
from tests.testbed.round_robin import round_robin
from tests.testbed.s3 import Bucket


@dataclass(frozen=True)
class Backend:
    """What the processes of a fleet share.

    Parameters:
        flags: of `tusfleet gateway`, that name it.
        environment: with the credentials.
        bucket: where the bytes are, or
        files: the folder where they are.
    """

    flags: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    bucket: Bucket | None = None
    files: Path | None = None


def on_s3(redis: RedisTopology, bucket: Bucket, endpoint: str | None = None) -> Backend:
    """Records in Redis, bytes in a bucket, perhaps through a proxy."""
    flags = (
        *("--redis-url", redis.url, "--s3-bucket", bucket.name),
        *("--s3-endpoint", endpoint or bucket.endpoint, "--s3-region", bucket.server.region),
    )
    return Backend(flags, bucket.server.credentials, bucket=bucket)


def on_disk(redis: RedisTopology, folder: Path) -> Backend:
    """Records in Redis, bytes in a folder that all gateways see."""
    return Backend(("--redis-url", redis.url, "--datastore", "filesystem", "--data-dir", str(folder)), files=folder)


class Gateway(Server):
    """One gateway."""

    command = "gateway"

    def __init__(self, folder: Path, *flags: str, environment: Mapping[str, str] | None = None) -> None:
        usual = ("--host", "127.0.0.1", "--metrics-port", "none", "--drain-delay", "0s")
        super().__init__(folder, *usual, *flags, environment=environment)


class Janitor(Server):
    """One janitor; its port is that of health and metrics."""

    command = "janitor"
    announcement = "health and metrics on "

    def __init__(self, folder: Path, *flags: str, environment: Mapping[str, str] | None = None) -> None:
        super().__init__(folder, "--host", "127.0.0.1", "--metrics-port", "0", *flags, environment=environment)


@dataclass(frozen=True)
class Kinds:
    """What the processes of a fleet are: of the checkout, unless told otherwise."""

    gateway: type[Server] = Gateway
    janitor: type[Server] = Janitor


CHECKOUT = Kinds()


class Fleet(Server):
    """Gateways that look like one server: its port is that of the proxy in front of them."""

    def __init__(self, gateways: list[Gateway], janitors: list[Janitor], port: int, backend: Backend) -> None:
        super().__init__(gateways[0].folder)
        self.gateways = gateways
        self.janitors = janitors
        self.port = port
        self.path = gateways[0].path
        self._backend = backend

    @property
    def process(self) -> Process:
        """That of the first gateway, or of one that has ended."""
        return next((one.process for one in self.gateways if one.process.poll() is not None), self.gateways[0].process)

    @property
    def origins(self) -> list[str]:
        return [process.origin for process in (*self.gateways, *self.janitors)]

    @property
    def files(self) -> Path | None:
        return self._backend.files

    def stored(self, name: str) -> list[str]:
        bucket = self._backend.bucket
        if bucket is None:
            return super().stored(name)
        begun = [key for key, _ in bucket.multipart_uploads()]
        return [key for key in [*bucket.keys(), *begun] if name in key]

    def log(self) -> str:
        return "".join(gateway.log() for gateway in self.gateways)

    def lines(self) -> list[dict[str, Any]]:
        return [line for gateway in self.gateways for line in gateway.lines()]


@contextmanager
def fleet(
    folder: Path,
    backend: Backend,
    *flags: str,
    count: int = 2,
    janitor: bool = True,
    port: int = 0,
    kinds: Kinds = CHECKOUT,
) -> Iterator[Fleet]:
    """A running fleet.

    Parameters:
        flags: of its processes, besides those of the backend.
        count: of gateways.
        janitor: whether there is one.
        port: of the proxy; 0 takes a free one.
        kinds: of its processes.
    """
    common = (*backend.flags, *flags)
    with ExitStack() as stack:

        def started(kind: type[Server], name: str) -> Any:
            return stack.enter_context(serving(folder / name, *common, environment=backend.environment, kind=kind))

        gateways = [started(kinds.gateway, f"gateway-{number}") for number in range(count)]
        janitors = [started(kinds.janitor, "janitor")] if janitor else []
        port = stack.enter_context(round_robin([gateway.port for gateway in gateways], port))
        yield Fleet(gateways, janitors, port, backend)
