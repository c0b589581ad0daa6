"""What a hook says of the place of an upload is believed as far as it can harm nobody's bytes."""

from __future__ import annotations

import pytest

from tusfleet.datastores.s3.choosing import check_choice
from tusfleet.datastores.s3.options import S3Options
from tusfleet.uploads.models import Placement

OPTIONS = S3Options("bucket", key_prefix="ours/")


@pytest.mark.parametrize(
    "placement",
    [{}, {"bucket": "other-bucket"}, {"key": "a/größe 1.pdf"}, {"bucket": "b.c_d", "key": ".tails/of-others"}],
)
def test_another_bucket_and_another_key_may_be_chosen(placement: Placement) -> None:
    check_choice(placement, OPTIONS)


@pytest.mark.parametrize(
    ("placement", "message"),
    [
        ({"multipart": "id", "stored": 5}, "nothing else"),
        ({"whole": {"size": 5, "etag": "e"}, "key": "of/somebody"}, "nothing else"),
        ({"bucket": ""}, "bucket"),
        ({"bucket": "a/b"}, "bucket"),
        ({"bucket": 5}, "bucket"),
        ({"key": ""}, "segment"),
        ({"key": "/a"}, "segment"),
        ({"key": "a/../b"}, "segment"),
        ({"key": "a\nb"}, "control"),
        ({"key": "\ud800"}, "control"),
        ({"key": 5}, "text"),
        ({"key": "x" * 889}, "888 bytes"),
        ({"key": "ours/.tails/x"}, "unfinished"),
        ({"key": "ours/.partials/x"}, "unfinished"),
    ],
)
def test_what_cannot_be_or_is_ours_is_refused(placement: Placement, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_choice(placement, OPTIONS)
