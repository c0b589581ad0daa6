"""Values of Upload-Checksum that are none."""

from __future__ import annotations

import pytest

from tusfleet.protocols.tus import parse_checksum
from tusfleet.uploads.errors import InvalidHeader


@pytest.mark.parametrize("digest", ["\xe9\xe9\xe9\xe9", "\u1234", "=", "AAA", "A A="])
def test_a_digest_that_is_not_base64_is_refused_also_in_a_trailer(digest: str) -> None:
    with pytest.raises(InvalidHeader, match="not base64"):
        parse_checksum(f"sha1 {digest}")
