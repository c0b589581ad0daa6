"""An S3 that takes everything and keeps nothing: what an upload costs us, without the cost of a real one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.servers import end, free_port, wait_until_listening

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench-secret",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}

_ETAG = "0" * 32
_HEAD_END = b"\r\n\r\n"
_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


@dataclass(frozen=True, slots=True)
class Sink:
    """A sink that listens."""

    endpoint: str
    pid: int
    credentials: dict[str, str] = field(default_factory=lambda: dict(CREDENTIALS))


@contextmanager
def sink(bucket: str) -> Iterator[Sink]:
    """A sink in a process of its own that has one bucket."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.sink", str(port), bucket], start_new_session=True)
    try:
        wait_until_listening(process, port)
        yield Sink(f"http://127.0.0.1:{port}", process.pid)
    finally:
        end(process)


class _Connection(asyncio.Protocol):
    """One connection: heads are read, bodies counted down."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self._head = b""
        self._left = 0
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        while data:
            if self._left:
                taken = min(self._left, len(data))
                self._left -= taken
                data = data[taken:] if taken < len(data) else b""
                if not self._left:
                    self._transport.write(self._answer)
                continue
            head, ended, data = (self._head + data).partition(_HEAD_END)
            if not ended:
                self._head = head
                return
            self._head = b""
            self._begin(head.decode("latin-1"))

    def _begin(self, head: str) -> None:
        request, *lines = head.split("\r\n")
        method, target, _ = request.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self._left = int(headers.get("content-length", 0))
        self._answer = answer(method, target, self._bucket, headers)
        if not self._left:
            self._transport.write(self._answer)


def answer(method: str, target: str, bucket: str, headers: dict[str, str]) -> bytes:
    """What S3 would say if all went well."""
    path, _, query = target.partition("?")
    key = path.removeprefix(f"/{bucket}").lstrip("/")
    body = ""
    if method == "GET":
        body = (
            f"<ListBucketResult {_NAMESPACE}><Name>{bucket}</Name><IsTruncated>false</IsTruncated></ListBucketResult>"
        )
    elif method == "POST" and query.startswith("uploads"):
        body = (
            f"<InitiateMultipartUploadResult {_NAMESPACE}><Bucket>{bucket}</Bucket><Key>{key}</Key>"
            "<UploadId>upload</UploadId></InitiateMultipartUploadResult>"
        )
    elif method == "POST" and "uploadId=" in query:
        body = (
            f"<CompleteMultipartUploadResult {_NAMESPACE}><Bucket>{bucket}</Bucket><Key>{key}</Key>"
            f'<ETag>"{_ETAG}-1"</ETag></CompleteMultipartUploadResult>'
        )
    elif method == "POST":
        body = f"<DeleteResult {_NAMESPACE}></DeleteResult>"
    lines = [f"HTTP/1.1 {204 if method == 'DELETE' else 200} OK", f'ETag: "{_ETAG}"', f"Content-Length: {len(body)}"]
    # As S3 does: the checksum that came is told back.
    lines += [f"{name}: {value}" for name, value in headers.items() if name.startswith("x-amz-checksum-")]
    return "\r\n".join([*lines, "Content-Type: application/xml", "", body]).encode()


async def _serve(port: int, bucket: str) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(bucket), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2]))
