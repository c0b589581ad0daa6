"""Bytes back to clients: ranges, conditions, and headers with which an upload host cannot be turned against users."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import quote

from tusfleet.protocols.base import http_date
from tusfleet.uploads.errors import RangeNotSatisfiable
from tusfleet.uploads.models import Upload

_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}")
_RANGE = re.compile(r"(?i:bytes)=[ \t]*([0-9]{0,100})-([0-9]{0,100})[ \t]*")
_ACTIVE = re.compile(r"(?i).*(html|xml|svg|script|xsl|mathml|pdf|flash|multipart|x-mixed|css|wasm|x-component|hta).*")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffd/\\]")
_TYPE_KEYS = ("filetype", "contentType", "content_type", "type", "mimetype")
_NAME_KEYS = ("filename", "name")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FALLBACK_TYPE = "application/octet-stream"
NAME_LIMIT = 200
"""Characters of a file name that are told: enough for any file system."""


@dataclass(frozen=True, slots=True)
class Download:
    """What to answer: a status, fields, and the bytes from `start` up to `stop` (nothing when they are equal)."""

    status: int
    headers: list[tuple[bytes, bytes]]
    start: int
    stop: int


def prepare(upload: Upload, headers: Mapping[str, str], inline_types: Collection[str]) -> Download:
    """Decide how to answer a GET (RFC 9110 sections 13 and 14).

    Raises:
        RangeNotSatisfiable: the range begins beyond the end.
    """
    size = upload.offset
    tag = etag(upload)
    modified = (upload.ended_at or upload.created_at).replace(microsecond=0)
    fields = [
        (b"etag", tag.encode()),
        (b"last-modified", http_date(modified)),
        (b"cache-control", b"private, no-cache"),
    ]
    if _unchanged(headers, tag, modified):
        return Download(304, fields, 0, 0)
    fields += [(b"accept-ranges", b"bytes"), *safe_headers(upload, inline_types)]
    found = _range(headers, tag, modified, size)
    if found is None:
        return Download(200, [*fields, (b"content-length", b"%d" % size)], 0, size)
    start, stop = found
    fields += [
        (b"content-range", b"bytes %d-%d/%d" % (start, stop - 1, size)),
        (b"content-length", b"%d" % (stop - start)),
    ]
    return Download(206, fields, start, stop)


def etag(upload: Upload) -> str:
    """A strong tag: the bytes below an offset never change, and an id that a hook uses again has another time."""
    created = (upload.created_at - _EPOCH) // timedelta(microseconds=1)
    return f'"{upload.id}-{created:x}-{upload.offset:x}"'


def safe_headers(upload: Upload, inline_types: Collection[str]) -> list[tuple[bytes, bytes]]:
    """Type and disposition that let no page run from here: only listed types are shown, active ones never."""
    kind = next((text for key in _TYPE_KEYS if (text := upload.metadata.text(key))), FALLBACK_TYPE)
    kind = kind.partition(";")[0].strip().lower()
    if _MEDIA_TYPE.fullmatch(kind) is None or _ACTIVE.fullmatch(kind):
        kind = FALLBACK_TYPE
    name = next((text for key in _NAME_KEYS if (text := upload.metadata.text(key))), upload.id)
    disposition = "inline" if kind in inline_types else "attachment"
    shown = f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
    return [
        (b"content-type", shown.encode("ascii")),
        (b"content-disposition", content_disposition(disposition, name).encode("ascii")),
        (b"x-content-type-options", b"nosniff"),
        (b"content-security-policy", b"default-src 'none'; sandbox"),
    ]


def shown_as(upload: Upload, inline_types: Collection[str]) -> tuple[str, str]:
    """The safe type and disposition, for storage that sends the bytes itself and knows no other safe headers."""
    fields = dict(safe_headers(upload, inline_types))
    return fields[b"content-type"].decode("ascii"), fields[b"content-disposition"].decode("ascii")


def redirected(location: str) -> Download:
    """Send a client to where the bytes are; the storage answers for ranges and conditions.

    The URL is good for anybody who has it, for some time, so nobody keeps this answer; and no page it leads to is told
    where it was asked for. 307, for what was asked is to be asked there again.
    """
    fields = [
        (b"location", location.encode("ascii")),
        (b"cache-control", b"no-store"),
        (b"referrer-policy", b"no-referrer"),
        (b"content-length", b"0"),
    ]
    return Download(307, fields, 0, 0)


def content_disposition(kind: str, name: str) -> str:
    """A disposition with a file name, plain and extended (RFC 6266, RFC 8187)."""
    name = _UNPRINTABLE.sub("_", name).strip(" .")[:NAME_LIMIT] or "download"
    plain = name.encode("ascii", "replace").decode().replace("?", "_").replace('"', "'").replace("%", "_")
    extended = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'{kind}; filename="{plain}"{extended}'


def _unchanged(headers: Mapping[str, str], tag: str, modified: datetime) -> bool:
    asked = headers.get("if-none-match")
    if asked is not None:
        return asked.strip() == "*" or tag in [item.strip().removeprefix("W/") for item in asked.split(",")]
    since = _date(headers.get("if-modified-since"))
    return since is not None and modified <= since


def _date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _range(headers: Mapping[str, str], tag: str, modified: datetime, size: int) -> tuple[int, int] | None:
    """The one range asked for; None for the whole, also when several are asked for, which RFC 9110 leaves to us."""
    match = _RANGE.fullmatch(headers.get("range", ""))
    if match is None or (match[1] == "" and match[2] == ""):
        return None
    condition = headers.get("if-range")
    if condition is not None and condition.strip() != tag and _date(condition) != modified:
        return None
    if match[1] == "":
        length = min(int(match[2]), size)
        if not size and int(match[2]):
            return None  # the last bytes of nothing are the whole, and no Content-Range can say so
        start, stop = size - length, size
    else:
        start = int(match[1])
        stop = min(int(match[2]) + 1, size) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
    if start >= size or start >= stop:
        raise RangeNotSatisfiable(f"The file has {size} bytes", offset=size)
    return start, stop
