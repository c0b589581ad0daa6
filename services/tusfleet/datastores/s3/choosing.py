"""Where a hook may send an upload: another bucket, another key, and nothing else of a placement."""

from __future__ import annotations

import re
import unicodedata

from tusfleet.datastores.keys import KEY_BYTES, safe_key
from tusfleet.datastores.s3.options import S3Options
from tusfleet.uploads.models import Placement

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")

NUMBER_BYTES = 136
"""Left free in a key, for the number or the id that a name gets when it is taken."""


def check_choice(placement: Placement, options: S3Options) -> None:
    """See `Placeable.check_choice`.

    Raises:
        ValueError: it has other fields, a name that S3 servers do not take, or one of our own.
    """
    if not set(placement) <= {"bucket", "key"}:
        raise ValueError("it may have a bucket and a key, and nothing else")
    bucket, key = placement.get("bucket"), placement.get("key")
    if bucket is not None and (not isinstance(bucket, str) or _BUCKET.fullmatch(bucket) is None):
        raise ValueError("the bucket is 3 to 255 letters, digits, dots, hyphens or underscores")
    if key is None:
        return
    if not isinstance(key, str) or not safe_key(key) or any(map(_unfit, key)):
        raise ValueError("the key is text without control characters, and has no segment that is empty, . or ..")
    if len(key.encode()) > KEY_BYTES - NUMBER_BYTES:
        raise ValueError(f"the key has at most {KEY_BYTES - NUMBER_BYTES} bytes")
    if key.startswith((options.tails_prefix, options.partials_prefix)):
        raise ValueError("keys below .tails/ and .partials/ are those of unfinished uploads")


def _unfit(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cs"}
