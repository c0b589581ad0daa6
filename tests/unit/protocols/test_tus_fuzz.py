"""Whatever stands in the headers, the parser gives an intent or an error that is the client's."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from tusfleet.protocols.base import Head, Headers
from tusfleet.protocols.tus import Tus, overridden
from tusfleet.uploads.errors import UploadError
from tusfleet.uploads.intents import Append, Create, Discover, Inspect, Terminate
from tusfleet.uploads.models import METADATA_MAX_KEYS, Metadata, valid_id

T = TypeVar("T")

NAMES = [
    b"tus-resumable",
    b"upload-length",
    b"upload-offset",
    b"upload-defer-length",
    b"upload-metadata",
    b"upload-concat",
    b"upload-checksum",
    b"content-type",
    b"content-length",
    b"transfer-encoding",
    b"trailer",
    b"x-http-method-override",
]
LIKELY = [
    b"1.0.0",
    b"0",
    b"1",
    b"-1",
    b"1_0",
    b"+1",
    b"9223372036854775807",
    b"9223372036854775808",
    b"99999999999999999999999",
    "１２".encode(),
    b"application/offset+octet-stream",
    b"application/offset+octet-stream; charset=x",
    b"partial",
    b"final;",
    b"final;/files/a /files/b",
    b"final;http://h/files/a http://other/files/b //x/y http://[",
    b"sha1 " + base64.b64encode(bytes(20)),
    b"sha1 !!",
    b"foo bar",
    b"filename d29y",
    b"filename d29y,filename d29y",
    b"k,,",
    b"upload-checksum",
    b"chunked",
    b"",
    b" ",
]
values = st.one_of(st.sampled_from(LIKELY), st.binary(max_size=60))
fields = st.lists(st.tuples(st.sampled_from(NAMES), values), max_size=10)
versioned = st.one_of(fields, fields.map(lambda items: [(b"tus-resumable", b"1.0.0"), *items]))


def outcome(call: Callable[[], T]) -> T | UploadError | ValueError:
    """What a call gives, or the refusal it raises; every other error fails the test."""
    try:
        return call()
    except (UploadError, ValueError) as error:
        return error


def head(method: str, headers: Headers, resource: str | None, *, trailers: bool) -> Head:
    return Head(method, headers, resource, ("/files",), frozenset({"h"}), trailers)


@given(
    st.sampled_from(["OPTIONS", "HEAD", "GET", "POST", "PATCH", "DELETE", "PUT"]),
    versioned,
    st.sampled_from([None, "abc"]),
    st.booleans(),
)
def test_every_head_becomes_an_intent_or_an_error_of_the_client(
    method: str, headers: Headers, resource: str | None, trailers: bool
) -> None:
    intent = outcome(lambda: Tus().parse(head(method, headers, resource, trailers=trailers)))
    if isinstance(intent, UploadError):
        assert 400 <= intent.status < 500
        assert intent.detail
        return
    assert isinstance(intent, Discover | Create | Append | Inspect | Terminate)
    if isinstance(intent, Create) and intent.concat is not None:
        assert all(valid_id(part) for part in intent.concat.parts)
    if isinstance(intent, Append):
        assert 0 <= intent.offset < 2**63


@given(st.sampled_from(["GET", "POST", "TRACE"]), versioned)
def test_the_method_meant_is_the_real_one_or_one_of_the_protocol(method: str, headers: Headers) -> None:
    meant = outcome(lambda: overridden(method, headers))
    if isinstance(meant, UploadError):
        assert meant.status == 400
        return
    assert meant in {method, "HEAD", "PATCH", "DELETE", "POST", "OPTIONS"}


@given(st.text(max_size=200))
def test_metadata_is_refused_or_decodes(raw: str) -> None:
    metadata = outcome(lambda: Metadata.parse(raw))
    if not isinstance(metadata, Metadata):
        assert str(metadata)
        return
    assert metadata.raw == raw
    assert 1 <= len(metadata.values) <= METADATA_MAX_KEYS


@given(
    st.dictionaries(
        st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=","), min_size=1, max_size=20),
        st.one_of(st.none(), st.binary(max_size=50)),
        min_size=1,
        max_size=10,
    )
)
def test_metadata_survives_encoding(values: dict[str, bytes | None]) -> None:
    assert Metadata.of(values).values == {key: value or b"" for key, value in values.items()}
