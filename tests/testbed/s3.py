"""Two S3 servers, which give the two readings of what S3 leaves open: versitygw (like AWS) and MinIO."""

from __future__ import annotations

import functools
import hashlib
import itertools
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import botocore.config
import botocore.session
from botocore.exceptions import BotoCoreError, ClientError

from tests.testbed.golang import go_program
from tests.testbed.ports import reserved_port
from tests.testbed.processes import Program, running

ACCESS_KEY = "testbed-access"
SECRET_KEY = "testbed-secret-0123456789"
REGION = "us-east-1"

CHUNK_BYTES = 1024 * 1024
"""Objects are read in pieces of this size: the tests may compare objects larger than memory."""

CLIENT_SECONDS = 30
"""Longest wait of the client for a connection or the next bytes."""

_bucket_numbers = itertools.count(1)


@dataclass
class S3Server:
    """A running S3 server and an independent client for it; `data` is the folder in which it keeps everything."""

    name: str
    endpoint: str
    data: Path
    program: Program = field(init=False)
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY
    region: str = REGION
    _clients: list[Any] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return int(self.endpoint.rpartition(":")[2])

    @property
    def credentials(self) -> dict[str, str]:
        """The environment variables from which every S3 client takes the keys; none come from elsewhere."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @property
    def client(self) -> Any:
        """botocore's own client, which sends each request at most once and adds no checksums."""
        if not self._clients:
            self._clients.append(
                _session().create_client(
                    "s3",
                    region_name=self.region,
                    endpoint_url=self.endpoint,
                    aws_access_key_id=self.access_key,
                    aws_secret_access_key=self.secret_key,
                    config=botocore.config.Config(
                        signature_version="s3v4",
                        s3={"addressing_style": "path"},
                        connect_timeout=CLIENT_SECONDS,
                        read_timeout=CLIENT_SECONDS,
                        retries={"total_max_attempts": 1},
                        request_checksum_calculation="when_required",
                        response_checksum_validation="when_required",
                    ),
                )
            )
        return self._clients[0]

    def serves(self) -> bool:
        """Whether it answers a signed request. (MinIO's own probe says yes while it still refuses work.)"""
        try:
            self.client.list_buckets()
        except (ClientError, BotoCoreError):
            return False
        return True

    def bucket(self) -> Bucket:
        """A new, empty bucket."""
        name = f"test-{next(_bucket_numbers)}-{uuid.uuid4().hex[:12]}"
        self.client.create_bucket(Bucket=name)
        return Bucket(self, name)

    def close(self) -> None:
        """Close the client's connections."""
        while self._clients:
            self._clients.pop().close()


@dataclass(frozen=True)
class Bucket:
    """A bucket, looked at by a client that is not ours."""

    server: S3Server
    name: str

    @property
    def endpoint(self) -> str:
        """Of its server."""
        return self.server.endpoint

    def pieces(self, key: str) -> Iterator[bytes]:
        """The bytes of an object, in pieces."""
        body = self.server.client.get_object(Bucket=self.name, Key=key)["Body"]
        try:
            yield from body.iter_chunks(CHUNK_BYTES)
        finally:
            body.close()

    def read(self, key: str) -> bytes:
        """The bytes of an object."""
        return b"".join(self.pieces(key))

    def sha256(self, key: str) -> str:
        """The SHA-256 of an object's bytes, in hexadecimal."""
        digest = hashlib.sha256()
        for piece in self.pieces(key):
            digest.update(piece)
        return digest.hexdigest()

    def head(self, key: str) -> dict[str, Any]:
        """What HeadObject tells, with checksums where there are any."""
        answer: dict[str, Any] = self.server.client.head_object(Bucket=self.name, Key=key, ChecksumMode="ENABLED")
        return answer

    def put(self, key: str, body: bytes, **parameters: Any) -> None:
        """Make an object, as a stranger who shares the bucket."""
        self.server.client.put_object(Bucket=self.name, Key=key, Body=body, **parameters)

    def keys(self, prefix: str = "") -> list[str]:
        """The keys of all objects whose key begins with `prefix`, in order."""
        pages = self.server.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def multipart_uploads(self) -> list[tuple[str, str]]:
        """Key and id of every multipart upload that is neither completed nor aborted.

        Listed without a prefix, which both servers do; MinIO forgets those from before its last start.
        """
        pages = self.server.client.get_paginator("list_multipart_uploads").paginate(Bucket=self.name)
        return sorted((item["Key"], item["UploadId"]) for page in pages for item in page.get("Uploads", []))

    def parts(self, key: str, upload: str) -> list[tuple[int, int]]:
        """Number and size of each part of a multipart upload, in order."""
        pages = self.server.client.get_paginator("list_parts").paginate(Bucket=self.name, Key=key, UploadId=upload)
        return [(part["PartNumber"], part["Size"]) for page in pages for part in page.get("Parts", [])]

    def abort(self, key: str, upload: str) -> None:
        """Abort a multipart upload behind its owner's back."""
        self.server.client.abort_multipart_upload(Bucket=self.name, Key=key, UploadId=upload)


@contextmanager
def versitygw(folder: Path, *flags: str) -> Iterator[S3Server]:
    """A versitygw on files below `folder`, which are removed at the end. Raises Unavailable when it cannot be had."""
    binary = go_program("versitygw")
    data, versions = folder / "versitygw-data", folder / "versitygw-versions"
    with reserved_port() as port:
        command = [
            str(binary), "--port", f"127.0.0.1:{port}", "--access", ACCESS_KEY, "--secret", SECRET_KEY,
            # Without `--keep-alive` every answer closes the connection.
            "--region", REGION, "--keep-alive", "--quiet", *flags,
            "posix", "--versioning-dir", str(versions.absolute()), str(data.absolute()),
        ]  # fmt: skip
        with _serving("versitygw", port, command, (data, versions)) as server:
            yield server


@contextmanager
def minio(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[S3Server]:
    """A MinIO on files below `folder`, which are removed at the end. Raises Unavailable when it cannot be had.

    `settings` are more of its MINIO_* variables: `REAPING` has it abort multipart uploads that are left alone.
    """
    binary = go_program("minio")
    data, certificates = folder / "minio-data", folder / "minio-certificates"
    environment = {
        "MINIO_ROOT_USER": ACCESS_KEY,
        "MINIO_ROOT_PASSWORD": SECRET_KEY,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
        **(settings or {}),
    }
    with reserved_port() as port:
        command = [
            str(binary), "server", "--address", f"127.0.0.1:{port}", "--quiet",
            "--certs-dir", str(certificates.absolute()), str(data.absolute()),
        ]  # fmt: skip
        with _serving("minio", port, command, (data, certificates), environment) as server:
            yield server


REAPING = {"MINIO_API_STALE_UPLOADS_EXPIRY": "5s", "MINIO_API_STALE_UPLOADS_CLEANUP_INTERVAL": "5s"}
"""MinIO's own clearing up of multipart uploads, as a lifecycle rule would do it after days."""

SERVERS: dict[str, Callable[[Path], AbstractContextManager[S3Server]]] = {"versitygw": versitygw, "minio": minio}
"""Every S3 test runs against each of them."""


@contextmanager
def _serving(
    name: str, port: int, command: list[str], folders: tuple[Path, ...], environment: Mapping[str, str] | None = None
) -> Iterator[S3Server]:
    for folder in folders:
        folder.mkdir(parents=True)
    server = S3Server(name, f"http://127.0.0.1:{port}", folders[0])
    program = Program(name, command, folders[0].parent, ready=server.serves, environment=environment)
    server.program = program
    try:
        with running(program):
            yield server
    finally:
        server.close()
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def _session() -> Any:
    """botocore's session: it reads the large description of S3 once."""
    return botocore.session.Session()
