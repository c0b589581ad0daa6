"""How S3-compatible storage is reached and used."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import BaseModel, Field

from tusfleet.settings.values import Duration, Listed, Size


class S3Settings(BaseModel):
    """What concerns `datastore=s3`. Credentials come from the usual AWS chain, never from here."""

    s3_bucket: str | None = Field(None, description="Bucket of finished uploads and their parts; it must be there.")
    s3_endpoint: str | None = Field(None, description="URL of the S3 service; none means AWS itself.")
    s3_public_endpoint: str | None = Field(
        None,
        description="URL of the S3 service as clients reach it, for redirected downloads; none: `s3_endpoint`.",
    )
    s3_region: str | None = Field(None, description="Region; none takes that of the environment, as the AWS tools do.")
    s3_key_prefix: str = Field("", description="Begins the key of every object, as it stands, such as `uploads/`.")
    s3_path_style: bool | None = Field(
        None,
        description="`endpoint/bucket/key` rather than `bucket.endpoint/key`; none: when an endpoint is given.",
    )
    s3_part_size: Size = Field(
        8 * 2**20, description="Bytes of a part, 5 MiB to 5 GiB; it grows with long uploads so that 10,000 parts do."
    )
    s3_equal_parts: bool = Field(
        False, description="Make every part but the last as large as the others, as Cloudflare R2 wants it."
    )
    s3_max_parts: int = Field(10_000, ge=32, le=10_000, description="Most parts of one object at this provider.")
    s3_concurrency: int = Field(4, ge=1, le=64, description="Parts of one upload that are sent at the same time.")
    s3_tail_inline_max: Size = Field(
        256 * 2**10,
        description="Acknowledged bytes too few for a part stay in the record up to this many; more go to an object of their own.",
    )
    s3_checksum: Literal["crc32", "crc32c", "crc64nvme", "none"] = Field(
        "crc32", description="Checksum sent with every part and listed when the object is completed."
    )
    s3_conditional_writes: bool = Field(
        True,
        description="Make objects with `If-None-Match: *`, so that none is ever overwritten. Off only for providers without it.",
    )
    s3_sse: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = Field(
        None, description="Server-side encryption of objects; none: as the bucket says."
    )
    s3_sse_kms_key: str | None = Field(None, description="Id of the key for `aws:kms`.")
    s3_storage_class: str | None = Field(None, description="Storage class of objects; none: the provider's default.")
    s3_tags: Listed = Field((), description="Tags of objects, each `name=value`.")
    s3_acl: str | None = Field(None, description="Canned ACL of objects, such as `private`; none: as the bucket says.")
    s3_connect_timeout: Duration = Field(timedelta(seconds=5), description="Time for a connection to S3.")
    s3_read_timeout: Duration = Field(timedelta(seconds=30), description="Longest silence of S3 inside a request.")
    s3_retry_time: Duration = Field(
        timedelta(seconds=30),
        description="Time after which a call that fails again and again is given up; the client gets 503 with Retry-After.",
    )
    s3_retry_budget: int = Field(
        100,
        ge=0,
        description="Retries that all calls of this process together may have saved up: no storm on a sick store.",
    )
    s3_connections: int = Field(256, ge=1, description="Most connections for bytes.")
    s3_direct: bool = Field(
        True, description="Send bytes past the SDK, at a quarter of its CPU; off sends them through it."
    )
    s3_presigned_ttl: Duration = Field(
        timedelta(minutes=15), description="How long the URL of a redirected download is good for."
    )
    s3_abandoned_after: Duration = Field(
        timedelta(hours=24),
        ge=timedelta(seconds=1),
        description="Age at which the janitor removes parts and tails in the bucket that no record references.",
    )
    buffer_memory: Size = Field(
        256 * 2**20,
        description="Bytes of bodies in the memory of this process, from the socket to the bucket; at its bound the uploads silent for longest are flushed first. "
        "A part takes a quarter of it at most, and there are 10,000: 256 MiB take uploads of 561 GiB, 2.3 GiB the 5 TiB of S3.",
    )
    tail_cache: Size = Field(
        32 * 2**20,
        description="Bytes of buffer_memory that may keep recent tails for the next request, while nobody else needs them.",
    )
