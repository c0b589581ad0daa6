from __future__ import annotations

from http import HTTPStatus

from tusfleet.uploads import errors
from tusfleet.uploads.errors import UploadError

TABLE = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, UploadError)]
CHECKSUM_MISMATCH = 460


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in TABLE if kind is not UploadError]
    assert len(codes) == len(set(codes)) > 20


def test_statuses_are_those_of_http_and_the_one_of_tus() -> None:
    known = {status.value for status in HTTPStatus} | {CHECKSUM_MISMATCH}
    assert {kind.status for kind in TABLE} <= known


def test_an_error_says_something_even_without_a_message() -> None:
    for kind in TABLE:
        assert str(kind()) == kind.title
    assert errors.NotFound("no such thing").detail == "no such thing"
    assert errors.OffsetMismatch(offset=5).offset == 5
