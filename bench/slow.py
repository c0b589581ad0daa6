"""What a client on a slow line costs in requests to S3 and commits: `python -m bench.slow`.

A gateway makes what has arrived durable at least every `checkpoint_interval`, also while it is too little for a part.
To be done sooner, the line is faster than the one that is named, and the interval as much shorter.
"""

from __future__ import annotations

import argparse
import re
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from bench.servers import Kind, Running, Server, running
from tests.testbed.redis import standalone
from tests.testbed.s3 import versitygw

MIB = 2**20
FASTER = 10
"""So many times is the line faster and the interval shorter."""

INTERVAL_MILLISECONDS = 1000
"""Default of `checkpoint_interval`."""

_PIECES_PER_SECOND = 100
_ANSWER_SECONDS = 60.0
_COUNT = re.compile(r'^tusfleet_(s3|redis)_seconds_count{(?:operation|script)="(\w+)".*} ([0-9.e+]+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Cost:
    """Requests to S3 and scripts of Redis, by name."""

    s3: dict[str, int]
    redis: dict[str, int]


def patch(gateway: Running, size: int, rate: float) -> Cost:
    """What one upload of `size` bytes in one PATCH costs at `rate` bytes a second. Raises ConnectionError."""
    address = ("127.0.0.1", gateway.port)
    client = HTTPConnection(*address, timeout=_ANSWER_SECONDS)
    client.request("POST", gateway.server.path, headers={"Tus-Resumable": "1.0.0", "Upload-Length": str(size)})
    created = client.getresponse()
    created.read()
    before = _counts(client)
    path = urlsplit(created.headers["Location"]).path
    head = (
        f"PATCH {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
        f"Content-Type: application/offset+octet-stream\r\nContent-Length: {size}\r\n\r\n"
    )
    with socket.create_connection(address, timeout=_ANSWER_SECONDS) as connection:
        connection.sendall(head.encode())
        _send(connection, size, rate)
        answer = connection.recv(MIB).split(b"\r\n")[0]
    if b" 204 " not in answer:
        raise ConnectionError(f"the gateway answered {answer!r}")
    after = _counts(client)
    client.close()
    used = {key: count - before.get(key, 0) for key, count in after.items() if count > before.get(key, 0)}
    by_store = {
        store: {name: count for (one, name), count in used.items() if one == store} for store in ("s3", "redis")
    }
    return Cost(**by_store)


def _send(connection: socket.socket, size: int, rate: float) -> None:
    piece = bytes(max(1, int(rate / _PIECES_PER_SECOND)))
    began, sent = time.monotonic(), 0
    while sent < size:
        # The pace of the line, not a wait for anybody.
        time.sleep(max(0.0, began + sent / rate - time.monotonic()))
        connection.sendall(piece[: size - sent])
        sent += len(piece[: size - sent])


def _counts(client: HTTPConnection) -> dict[tuple[str, str], int]:
    client.request("GET", "/metrics")
    found: dict[tuple[str, str], int] = {}
    for store, name, count in _COUNT.findall(client.getresponse().read().decode()):
        found[store, name] = found.get((store, name), 0) + int(float(count))
    return found


def measure(size: int, megabits: Sequence[float], faster: float = FASTER) -> list[Cost]:
    """The cost of an upload of `size` bytes on lines of so many megabits a second."""
    program = str(Path(sys.executable).with_name("tusfleet"))
    with tempfile.TemporaryDirectory(prefix="tusfleet-slow-") as name:
        folder = Path(name)
        with versitygw(folder) as s3, standalone(folder / "redis") as redis:
            words = (
                *("gateway", "--host", "127.0.0.1", "--port", "{port}", "--metrics-port", "none"),
                *("--log-level", "warning", "--redis-url", redis.url, "--s3-bucket", s3.bucket().name),
                *("--s3-endpoint", s3.endpoint, "--s3-region", s3.region),
                *("--checkpoint-interval", f"{INTERVAL_MILLISECONDS / faster:.0f}ms"),
            )
            server = Server("gateway", "", Kind.OURS, (program, *words), environment=s3.credentials)
            with running(server, folder, print) as gateway:
                return [patch(gateway, size, one * 1e6 / 8 * faster) for one in megabits]


def table(size: int, megabits: Sequence[float], costs: Sequence[Cost]) -> str:
    """The table."""
    lines = [
        f"One PATCH of {size // MIB} MiB:",
        "",
        "| line | requests to S3 | of them parts | tails written, read | commits in Redis |",
        "|---|---|---|---|---|",
    ]
    for one, cost in zip(megabits, costs, strict=True):
        tails = f"{cost.s3.get('PutObject', 0)}, {cost.s3.get('GetObject', 0)}"
        parts, commits = cost.s3.get("UploadPart", 0), cost.redis.get("commit", 0)
        lines.append(f"| {one:g} Mbit/s | {sum(cost.s3.values())} | {parts} | {tails} | {commits} |")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.slow", description=__doc__)
    parser.add_argument("--mib", type=int, default=32, help="size of the upload (default 32)")
    parser.add_argument("--megabits", type=float, nargs="+", default=[1, 10, 100], help="lines (default 1 10 100)")
    options = parser.parse_args(arguments)
    print(table(options.mib * MIB, options.megabits, measure(options.mib * MIB, options.megabits)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
