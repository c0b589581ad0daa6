"""Costs that a test can bound: counts and ratios within one run, measured with plain sockets, no compiler, no peers."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from bench.measure import Cost, connections, cost, resident_bytes, settled_resident_bytes
from bench.servers import end, free_port, wait_until_listening

_CHUNK_BYTES = 2**20
_REPLY_BYTES = 65536
_SECONDS = 60.0
"""Longest silence of a server, however busy the machine is."""

_STALLED_UPLOAD_BYTES = 2**20


def create(port: int, path: str, length: int) -> str:
    """Create an upload on 127.0.0.1 and give its path."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)) as client:
        return _created(client, path, length)


def send(port: int, location: str, length: int) -> int:
    """Send the whole of an upload in one PATCH and give the offset that the server acknowledges."""
    with socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as client:
        client.sendall(_patch_head(location, length))
        chunk = memoryview(bytes(_CHUNK_BYTES))
        for at in range(0, length, _CHUNK_BYTES):
            client.sendall(chunk[: min(_CHUNK_BYTES, length - at)])
        reply = http.client.HTTPResponse(client, method="PATCH")
        reply.begin()
        with closing(reply):
            if reply.status != http.HTTPStatus.NO_CONTENT:
                raise AssertionError(f"PATCH got {reply.status}")
            return int(reply.headers["Upload-Offset"])


def cost_of_upload(pid: int, port: int, path: str, length: int) -> Cost:
    """What the server `pid` spends on one upload of `length` bytes in one PATCH, which is deleted then.

    So the next one finds memory for its file that is in use already. A virtual machine pays for memory that it has
    never touched with eight times the processor time of the write.
    """
    location = create(port, path, length)
    before = cost(pid)
    offset = send(port, location, length)
    spent = cost(pid) - before
    assert offset == length, f"{offset} of {length} bytes are acknowledged"
    _delete(port, location)
    return spent


@contextmanager
def stalled_uploads(
    port: int, path: str, count: int, sent: int, length: int = _STALLED_UPLOAD_BYTES, seconds: float = _SECONDS
) -> Iterator[list[str]]:
    """`count` PATCH connections that stop after `sent` bytes of `length`, and the paths of their uploads.

    `seconds` is the longest silence of the server.
    """
    body = bytes(sent)
    with ExitStack() as stack:
        creator = stack.enter_context(closing(http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)))
        locations = []
        for _ in range(count):
            location = _created(creator, path, length)
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=seconds))
            client.sendall(_patch_head(location, length) + body)
            locations.append(location)
        creator.close()
        yield locations


@contextmanager
def memory_of_stalled_uploads(pid: int, port: int, path: str, count: int, sent: int) -> Iterator[float]:
    """Bytes of resident memory that each of `count` stalled uploads takes; they stand until the block ends."""
    before = resident_bytes(pid)
    with stalled_uploads(port, path, count, sent):
        after = settled_resident_bytes(pid, port, longest_seconds=_SECONDS)
        standing = connections(port).standing
        assert standing >= count, f"only {standing} of {count} connections still stand"
        yield (after - before) / count


@contextmanager
def recv_into_loop(folder: Path) -> Iterator[tuple[int, int]]:
    """The limit that costs are compared with, writing to `folder`: its process id and port."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.limit", "--port", str(port), "--folder", str(folder)],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until_listening(process, port)
        yield process.pid, port
    finally:
        end(process)


def _delete(port: int, location: str) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)) as client:
        client.request("DELETE", location, headers={"Tus-Resumable": "1.0.0"})
        with client.getresponse() as reply:
            reply.read()
            assert reply.status < http.HTTPStatus.BAD_REQUEST, f"DELETE got {reply.status}"


def _created(client: http.client.HTTPConnection, path: str, length: int) -> str:
    client.request("POST", path, headers={"Tus-Resumable": "1.0.0", "Upload-Length": str(length)})
    with client.getresponse() as reply:
        reply.read()
        assert reply.status == http.HTTPStatus.CREATED, f"POST got {reply.status}"
        location: str = reply.headers["Location"]
        return location.removeprefix(f"http://127.0.0.1:{client.port}")


def _patch_head(location: str, length: int) -> bytes:
    return (
        f"PATCH {location} HTTP/1.1\r\nHost: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
        f"Content-Type: application/offset+octet-stream\r\nContent-Length: {length}\r\n\r\n"
    ).encode("ascii")
