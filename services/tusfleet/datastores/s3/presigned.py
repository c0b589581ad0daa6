"""URLs by which clients fetch finished objects from S3 themselves."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError

from tusfleet.datastores.s3.client import S3Client
from tusfleet.datastores.s3.naming import Naming
from tusfleet.datastores.s3.placement import S3Placement
from tusfleet.uploads.errors import NotFound, Unavailable
from tusfleet.uploads.models import Upload

LONGEST = 7 * 24 * 3600
"""Most seconds that a signature is good for."""


async def presigned(
    client: S3Client, naming: Naming, upload: Upload, *, seconds: int, content_type: str, disposition: str
) -> str:
    """A URL for a finished upload; see `Redirecting.presigned`. No request is made.

    Type and disposition are under the signature, so nobody can have the object shown as something else. It is good for
    `seconds`, 1 second to 7 days, and no longer than the credentials that signed it.

    Raises:
        NotFound: there is no object yet.
        Unavailable: there are no credentials.
    """
    placement = S3Placement.of(upload.placement)
    if placement.whole is None or placement.key is None:
        raise NotFound("The upload is not finished yet")
    parameters = {
        "Bucket": naming.bucket(placement),
        "Key": placement.key,
        "ResponseContentType": content_type,
        "ResponseContentDisposition": disposition,
        "ResponseCacheControl": "private, no-cache",
    }
    expiry = min(max(seconds, 1), LONGEST)
    try:
        return str(await client.public.generate_presigned_url("get_object", Params=parameters, ExpiresIn=expiry))
    except BotoCoreError as error:
        raise Unavailable("There are no AWS credentials to sign a download with") from error
