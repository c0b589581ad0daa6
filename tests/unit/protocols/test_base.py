"""Values of fields, as every protocol reads them."""

from __future__ import annotations

import pytest

from tusfleet.protocols.base import Headers, single
from tusfleet.uploads.errors import InvalidHeader


@pytest.mark.parametrize("value", [b"5", b"5 ", b" \t5\t "])
def test_white_space_around_a_value_is_no_part_of_it_whatever_the_server_leaves(value: bytes) -> None:
    assert single([(b"upload-offset", value)], b"upload-offset") == "5"


@pytest.mark.parametrize("headers", [[(b"a", b"1"), (b"a", b"1")], [(b"a", b"\xe9")]])
def test_a_value_that_stands_twice_or_is_not_ascii_is_refused(headers: Headers) -> None:
    with pytest.raises(InvalidHeader):
        single(headers, b"a")
