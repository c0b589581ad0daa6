"""How the S3 data store is set up: one frozen value, checked when it is made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tusfleet.datastores.keys import KeyTemplate
from tusfleet.datastores.s3.checksums import NAMES

MIB = 1024 * 1024

_ORIGIN = re.compile(r"https?://[^\s/?#]+")

LEAST_PART = 5 * MIB
"""Smallest part in bytes that S3 takes, but for the last one."""

MOST_PARTS = 10_000
"""Most parts of one object, and the highest part number."""

LARGEST_PART = 5 * 1024 * MIB
"""Largest part in bytes."""

SPARE_PARTS = 16
"""Part numbers that appending never uses, so that the end of an upload has one however often its lease changed."""


@dataclass(frozen=True, slots=True)
class S3Options:
    """Everything that may be set about the S3 data store.

    Parameters:
        bucket: where objects go, unless the placement of an upload (a hook's decision) names another.
        endpoint: URL of the service; None: AWS itself.
        public_endpoint: URL of the service in presigned downloads; None: as `endpoint`.
        region: None: from the environment, as the AWS tools do.
        key_prefix: begins every key; as it stands, so with its own `/`.
        key_template: names objects below the prefix, see `KeyTemplate.parse`.
        path_style: `endpoint/bucket/key` rather than `bucket.endpoint/key`; None: when an endpoint is given.
        part_size: bytes of a part, 5 MiB to 5 GiB; it grows with long uploads, see `sizes`.
        equal_parts: every part but the last is as large as the others (Cloudflare R2).
        max_parts: most parts of one object, 32 to 10,000.
        concurrency: parts of one upload that are sent at once, at least 1.
        tail_inline_max: acknowledged bytes that are too few for a part stay in the record up to this many.
        checksum: crc32, crc32c, crc64nvme or none; sent with every part, kept, and listed when an object is completed.
        conditional: make objects with `If-None-Match: *`, so that none is ever overwritten; off for providers without.
        sse: server-side encryption: AES256, aws:kms or aws:kms:dsse; None: as the bucket says.
        sse_kms_key: id of the key for aws:kms.
        storage_class: of objects; None: the provider's default. Tails always have that default.
        tags: tags of objects.
        acl: canned ACL of objects.
        buffer_memory: bytes of all buffers of this process together, at least two parts.
        tail_cache: bytes of buffers that may keep tails for the next request, while nobody else needs them.
        checkpoint_interval: seconds after which arrived bytes deserve a checkpoint; above 0.
        connect_timeout: seconds for a connection.
        read_timeout: longest silence of the service in seconds.
        retry_time: seconds after which a call that fails again and again is given up.
        retry_budget: retries that all calls of this process together may have saved up; see `retrying`.
        connections: most connections for bytes.
        direct: bytes go past the SDK, at a quarter of its CPU; off: through it.
    """

    bucket: str
    endpoint: str | None = None
    public_endpoint: str | None = None
    region: str | None = None
    key_prefix: str = ""
    key_template: str = "{id}"
    path_style: bool | None = None
    part_size: int = 8 * MIB
    equal_parts: bool = False
    max_parts: int = MOST_PARTS
    concurrency: int = 4
    tail_inline_max: int = 256 * 1024
    checksum: str = "crc32"
    conditional: bool = True
    sse: str | None = None
    sse_kms_key: str | None = None
    storage_class: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    acl: str | None = None
    buffer_memory: int = 256 * MIB
    tail_cache: int = 32 * MIB
    checkpoint_interval: float = 1.0
    connect_timeout: float = 5.0
    read_timeout: float = 30.0
    retry_time: float = 30.0
    retry_budget: int = 100
    connections: int = 256
    direct: bool = True

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: one is out of its range; the message names it.
        """
        _check(bool(self.bucket), "bucket", "it is empty")
        _check(
            self.public_endpoint is None or _ORIGIN.match(self.public_endpoint) is not None,
            "public_endpoint",
            "it is a URL such as https://s3.example.org",
        )
        _check(not self.key_prefix.startswith("/"), "key_prefix", "a key begins with no /")
        _check(LEAST_PART <= self.part_size <= LARGEST_PART, "part_size", "S3 takes parts of 5 MiB to 5 GiB")
        _check(2 * SPARE_PARTS <= self.max_parts <= MOST_PARTS, "max_parts", "it is 32 to 10,000")
        _check(self.concurrency >= 1, "concurrency", "it is at least 1")
        _check(0 <= self.tail_inline_max < LEAST_PART, "tail_inline_max", "it is 0 to 5 MiB")
        _check(self.checksum in (*NAMES, "none"), "checksum", f"there are {', '.join(NAMES)} and none")
        _check(self.buffer_memory >= 2 * self.part_size, "buffer_memory", "it holds at least two parts")
        _check(self.checkpoint_interval > 0, "checkpoint_interval", "it is above 0")
        _check(self.sse_kms_key is None or self.sse is not None, "sse_kms_key", "it needs sse=aws:kms")
        try:
            KeyTemplate.parse(self.key_template)
        except ValueError as error:
            raise ValueError(f"key_template: {error}") from None

    @property
    def uses_path_style(self) -> bool:
        """Whether the bucket stands in the path of a URL rather than in its host."""
        return self.endpoint is not None if self.path_style is None else self.path_style

    @property
    def tails_prefix(self) -> str:
        """Begins the keys of tail objects: `<prefix>.tails/<upload id>/...`."""
        return f"{self.key_prefix}.tails/"

    @property
    def partials_prefix(self) -> str:
        """Begins the keys of partial uploads' objects, `<prefix>.partials/<upload id>`, which are nobody's product."""
        return f"{self.key_prefix}.partials/"


def _check(right: bool, name: str, message: str) -> None:
    if not right:
        raise ValueError(f"{name}: {message}")
