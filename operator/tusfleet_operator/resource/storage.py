"""Where bytes go."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from tusfleet_operator.resource.fields import (
    CertificateAuthority,
    DataKey,
    ObjectName,
    Part,
    Rule,
    never_changes,
    text,
)
from tusfleet_operator.resource.settings import WithSettings

Bucket = Annotated[str, text(r"^[A-Za-z0-9][A-Za-z0-9._-]+$", "is the name of a bucket", 255)]


class S3Credentials(Part):
    """A Secret with an access key."""

    name: ObjectName = Field(description="Name of the Secret.")
    access_key_id_key: DataKey = Field("AWS_ACCESS_KEY_ID", description="Key of the access key's id in its data.")
    secret_access_key_key: DataKey = Field(
        "AWS_SECRET_ACCESS_KEY", description="Key of the secret access key in its data."
    )
    session_token_key: DataKey | None = Field(
        None, description="Key of a session token in its data; for keys that need none it is left out."
    )


class S3(WithSettings):
    """A bucket of S3 or of a service that speaks it."""

    section: ClassVar[str] = "s3"

    rules = (
        Rule("self.bucket == oldSelf.bucket", "the bucket cannot change; make another TusServer for another bucket"),
        never_changes("keyPrefix", "keyPrefix cannot change; make another TusServer for another prefix"),
        never_changes(
            "keyTemplate", "keyTemplate cannot change while uploads run; make another TusServer for another one"
        ),
        Rule(
            "!has(self.sseKmsKey) || (has(self.sse) && self.sse != 'AES256')",
            "sseKmsKey needs sse: aws:kms or aws:kms:dsse",
        ),
    )

    bucket: Bucket = Field(
        description="Bucket of finished uploads and their parts. It must be there, and never changes."
    )
    credentials_secret_ref: S3Credentials | None = Field(
        None,
        description="Secret with the access key. Without it pods use what the cluster gives them: a role of their "
        "service account (`spec.template.serviceAccount`), or of the machine.",
    )
    certificate_authority: CertificateAuthority | None = Field(
        None, description="Certificates that sign those of `endpoint`; without it those of the image are trusted."
    )


class Storage(Part):
    """Where bytes go."""

    s3: S3 = Field(description="A bucket of S3 or of a service that speaks it.")
