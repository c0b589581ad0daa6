from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tusfleet.gateway.downloads import Download, content_disposition, etag, prepare, safe_headers
from tusfleet.uploads.errors import RangeNotSatisfiable
from tusfleet.uploads.models import Metadata, State, Upload

ENDED = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
MODIFIED = "Fri, 02 Jan 2026 03:04:05 GMT"
UPLOAD = Upload("abc", "tus", ENDED, length=100, offset=100, state=State.FINISHED, ended_at=ENDED)
TAG = etag(UPLOAD)


def get(upload: Upload = UPLOAD, /, **fields: str) -> Download:
    return prepare(upload, {name.replace("_", "-"): value for name, value in fields.items()}, {"image/png"})


def named(**metadata: str) -> dict[bytes, bytes]:
    return dict(safe_headers(replace(UPLOAD, metadata=Metadata.of(metadata)), {"image/png", "text/plain", "text/html"}))


def test_the_whole_file() -> None:
    answer = get()
    headers = dict(answer.headers)
    assert (answer.status, answer.start, answer.stop) == (200, 0, 100)
    assert headers[b"content-length"] == b"100"
    assert headers[b"etag"] == TAG.encode()
    assert headers[b"last-modified"] == MODIFIED.encode()
    assert headers[b"accept-ranges"] == b"bytes"
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert b"sandbox" in headers[b"content-security-policy"]


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-", 0, 100),
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=99-", 99, 100),
        ("bytes=50-1000", 50, 100),
        ("bytes=50-" + "9" * 40, 50, 100),
        ("bytes=-1", 99, 100),
        ("bytes=-1000", 0, 100),
        ("bytes=-" + "9" * 40, 0, 100),
        ("Bytes= 1-2 ", 1, 3),
    ],
)
def test_one_range(asked: str, start: int, stop: int) -> None:
    answer = get(range=asked)
    assert (answer.status, answer.start, answer.stop) == (206, start, stop)
    assert (b"content-range", b"bytes %d-%d/100" % (start, stop - 1)) in answer.headers
    assert (b"content-length", b"%d" % (stop - start)) in answer.headers


@pytest.mark.parametrize(
    "asked",
    ["bytes=0-1,5-6", "bytes=5-4", "bytes=-", "bytes=a-b", "bytes=1", "lines=0-1", "", "bytes=+1-2", "bytes=１-２",
     "bytes=0-1, ", "bytes=" + "1" * 5000 + "-"],
)  # fmt: skip
def test_a_range_that_is_none_or_several_gives_the_whole(asked: str) -> None:
    answer = get(range=asked)
    assert (answer.status, answer.start, answer.stop) == (200, 0, 100)


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=100-200", "bytes=" + "9" * 40 + "-", "bytes=-0"])
def test_a_range_outside_cannot_be_satisfied(asked: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as refused:
        get(range=asked)
    assert refused.value.offset == 100


def test_ranges_of_an_empty_file() -> None:
    empty = replace(UPLOAD, length=0, offset=0)
    for asked in ("bytes=0-", "bytes=0-0", "bytes=-0"):
        with pytest.raises(RangeNotSatisfiable):
            get(empty, range=asked)
    for asked in ("bytes=-5", ""):
        answer = get(empty, range=asked)
        assert (answer.status, answer.start, answer.stop) == (200, 0, 0)


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        (TAG, 206),
        (f" {TAG} ", 206),
        (f"W/{TAG}", 200),
        ('"other"', 200),
        (MODIFIED, 206),
        ("Fri, 02 Jan 2026 03:04:06 GMT", 200),
        ("Fri, 02 Jan 2026 03:04:04 GMT", 200),
        ("nonsense", 200),
        ("", 200),
    ],
)
def test_if_range(condition: str, status: int) -> None:
    assert get(range="bytes=1-2", if_range=condition).status == status
    assert get(range="bytes=500-", if_range='"other"').status == 200


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"if_none_match": TAG}, 304),
        ({"if_none_match": f"W/{TAG}"}, 304),
        ({"if_none_match": f'"x", {TAG}'}, 304),
        ({"if_none_match": "*"}, 304),
        ({"if_none_match": '"x"'}, 200),
        ({"if_none_match": '"x"', "if_modified_since": MODIFIED}, 200),
        ({"if_modified_since": MODIFIED}, 304),
        ({"if_modified_since": "Fri, 02 Jan 2026 03:04:04 GMT"}, 200),
        ({"if_modified_since": "Fri, 02 Jan 2026 03:04:05 -0000"}, 304),
        ({"if_modified_since": "nonsense"}, 200),
        ({"if_modified_since": "Fri, 02 Jan 2026 03:04:05 +99999999999999"}, 200),
        ({"if_modified_since": "Fri, 02 Jan 99999 03:04:05 GMT"}, 200),
        ({"if_none_match": TAG, "range": "bytes=500-"}, 304),
    ],
)
def test_conditions(fields: dict[str, str], status: int) -> None:
    answer = get(**fields)
    assert answer.status == status
    if status == 304:
        assert answer.start == answer.stop
        assert b"content-length" not in dict(answer.headers)
        assert dict(answer.headers)[b"etag"] == TAG.encode()


def test_the_tag_changes_with_what_has_arrived() -> None:
    assert etag(replace(UPLOAD, offset=99)) != TAG


def test_the_tag_changes_when_a_hook_uses_an_id_again() -> None:
    again = UPLOAD.created_at + timedelta(microseconds=1)
    assert etag(replace(UPLOAD, created_at=again)) != TAG


@pytest.mark.parametrize(
    "kind",
    ["text/html", "TEXT/HTML", " text/html; charset=utf-8", "image/svg+xml", "application/xhtml+xml", "text/xml",
     "application/xml", "text/javascript", "application/ecmascript", "application/pdf", "multipart/related",
     "text/css", "application/x-shockwave-flash", "text/x-component", "application/hta", "application/wasm",
     "application/mathml+xml", "text/xsl"],
)  # fmt: skip
def test_an_active_type_is_neither_told_nor_shown(kind: str) -> None:
    headers = named(filetype=kind)
    assert headers[b"content-type"] == b"application/octet-stream"
    assert headers[b"content-disposition"].startswith(b"attachment")


@pytest.mark.parametrize(
    "kind", ["", "image", "image/", "a/b/c", "image/png\r\nx: y", "image/p ng", "imagé/png", "*/*"]
)
def test_a_type_that_is_none_is_not_told(kind: str) -> None:
    assert named(filetype=kind)[b"content-type"] == b"application/octet-stream"


def test_listed_types_are_shown_and_others_saved() -> None:
    assert named(filetype="image/png")[b"content-disposition"].startswith(b"inline")
    assert named(filetype="image/png")[b"content-type"] == b"image/png"
    assert named(filetype="text/plain; charset=x")[b"content-type"] == b"text/plain; charset=utf-8"
    assert named(contentType="video/mp4")[b"content-disposition"].startswith(b"attachment")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a.txt", 'filename="a.txt"'),
        ('a"b.txt', "filename=\"a'b.txt\"; filename*=UTF-8''a%22b.txt"),
        ("a\r\nx: y\0.txt", 'filename="a__x: y_.txt"'),
        ("../../etc/passwd", 'filename="_.._etc_passwd"'),
        ("..\\a", 'filename="_a"'),
        ("gpj.\u202eexe", 'filename="gpj._exe"'),
        ("a\u2028b\u200fc\ufeff", 'filename="a_b_c_"'),
        ("\U0001f600.txt", "filename=\"_.txt\"; filename*=UTF-8''%F0%9F%98%80.txt"),
        ("naïve; x=y.txt", "filename=\"na_ve; x=y.txt\"; filename*=UTF-8''na%C3%AFve%3B%20x%3Dy.txt"),
        ("%41", "filename=\"_41\"; filename*=UTF-8''%2541"),
        ("...", 'filename="download"'),
        ("", 'filename="download"'),
    ],
)
def test_names_are_told_safely(name: str, told: str) -> None:
    assert content_disposition("attachment", name) == f"attachment; {told}"


def test_a_long_name_is_cut_and_a_nameless_file_has_its_id() -> None:
    assert len(content_disposition("attachment", "x" * 5000)) < 250
    assert b'filename="abc"' in named(other="x")[b"content-disposition"]
    assert b'filename="b"' in named(name="b")[b"content-disposition"]
