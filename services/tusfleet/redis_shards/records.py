"""Records and events as Redis keeps them.

A record is a hash. What never changes is JSON in one field of it, and so is the placement, but for a list in it under
"parts": that is a Redis list of its own, so that a commit that adds one part sends one part, not ten thousand.
Times are microseconds since 1970, UTC.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tusfleet.uploads.errors import StoreFull
from tusfleet.uploads.models import (
    Change,
    Concat,
    ConcatKind,
    Event,
    EventType,
    Metadata,
    Placement,
    State,
    Upload,
)

LARGEST = 2**63 - 1
"""Largest size, as in the other stores."""

PARTS = "parts"
"""The key of a placement under which a growing list is kept apart."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_encode = json.JSONEncoder(separators=(",", ":")).encode
_NO_METADATA = Metadata()
_NOTHING = "{}"


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as it is stored: the fields of its hash, and its list of parts."""

    fields: Mapping[str, str]
    parts: Sequence[str]

    def flat(self) -> list[str]:
        """Names and values by turns."""
        return [text for field in self.fields.items() for text in field]


@dataclass(frozen=True, slots=True)
class Changed:
    """A change as it is stored.

    Parameters:
        fields: new values.
        removed: fields that are not there any more.
        way: what becomes of the parts: `keep`, `append` to those known, or `replace`.
        parts: those that are new.
        known: how many the caller knows, and `last` the last of them; 0 and "" without any.
    """

    fields: Mapping[str, str]
    removed: Sequence[str]
    way: str
    parts: Sequence[str]
    known: int
    last: str


def micros(time: datetime) -> int:
    """A time as microseconds since 1970, UTC."""
    return (time - _EPOCH) // _MICROSECOND


def _time(value: str | None) -> datetime | None:
    return None if value is None else _EPOCH + timedelta(microseconds=int(value))


def _size(value: int) -> str:
    if value > LARGEST:
        raise StoreFull(f"{value} bytes are more than any store holds")
    return str(value)


def tenant_text(tenant: str) -> str:
    """A tenant as it is stored: any text, in ASCII."""
    return _encode(tenant)


def stored(upload: Upload) -> Stored:
    """A record as it is stored.

    Raises:
        StoreFull: a size is beyond 2^63 - 1.
    """
    placement, parts = _apart(upload.placement)
    concat = upload.concat
    head: list[Any] = [upload.protocol, upload.metadata.raw]
    if concat is not None:
        head += [concat.kind.value, concat.raw, list(concat.parts)]
    fields = {
        "created": str(micros(upload.created_at)),
        "head": _encode(head),
        "state": upload.state.value,
        "offset": _size(upload.offset),
        "reserved": _size(upload.reserved),
        "fence": str(upload.fence),
    }
    if upload.length is not None:
        fields["length"] = _size(upload.length)
    if upload.expires_at is not None:
        fields["expires"] = str(micros(upload.expires_at))
    if upload.ended_at is not None:
        fields["ended"] = str(micros(upload.ended_at))
    if placement != _NOTHING:
        fields["placement"] = placement
    if upload.tenant is not None:
        fields["tenant"] = tenant_text(upload.tenant)
    if upload.is_final:
        fields["final"] = "1"
    return Stored(fields, parts)


def changed(upload: Upload, change: Change) -> Changed:
    """The change of a record that was read as `upload`.

    Raises:
        StoreFull: a size is beyond 2^63 - 1.
    """
    fields: dict[str, str] = {}
    removed: list[str] = []

    def optional(name: str, value: str | None) -> None:
        if value is None:
            removed.append(name)
        else:
            fields[name] = value

    if "offset" in change:
        fields["offset"] = _size(change["offset"])
    if "reserved" in change:
        fields["reserved"] = _size(change["reserved"])
    if "state" in change:
        fields["state"] = change["state"].value
    if "length" in change:
        optional("length", None if change["length"] is None else _size(change["length"]))
    if "expires_at" in change:
        optional("expires", None if change["expires_at"] is None else str(micros(change["expires_at"])))
    if "ended_at" in change:
        optional("ended", None if change["ended_at"] is None else str(micros(change["ended_at"])))
    before = _list(upload.placement)
    last = _encode(before[-1]) if before else ""
    if "placement" not in change:
        return Changed(fields, removed, "keep", (), len(before), last)
    after = _list(change["placement"])
    grown = bool(before) and len(after) >= len(before) and after[: len(before)] == before
    placement = _encode(_rest(change["placement"]))
    optional("placement", None if placement == _NOTHING else placement)
    new = [_encode(part) for part in (after[len(before) :] if grown else after)]
    return Changed(fields, removed, "append" if grown else "replace", new, len(before), last)


def whole(upload: Upload, change: Change) -> Changed:
    """As `changed`, with all parts of the new placement."""
    _, parts = _apart(change["placement"])
    return replace(changed(upload, change), way="replace", parts=parts)


def _list(placement: Placement) -> Sequence[Any]:
    parts = placement.get(PARTS)
    return parts if isinstance(parts, list) else ()


def _rest(placement: Placement) -> Placement:
    return {**placement, PARTS: []} if isinstance(placement.get(PARTS), list) else placement


def _apart(placement: Placement) -> tuple[str, list[str]]:
    return _encode(_rest(placement)), [_encode(part) for part in _list(placement)]


def _together(placement: str | None, parts: Sequence[Any]) -> Placement:
    rest: dict[str, Any] = {} if placement is None else json.loads(placement)
    if parts:
        rest[PARTS] = list(parts)
    return rest


def _decoded(parts: Sequence[str]) -> list[Any]:
    decoded: list[Any] = json.loads(f"[{','.join(parts)}]") if parts else []
    return decoded


def fields_of(flat: Sequence[str]) -> dict[str, str]:
    """Names and values by turns as a mapping."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def upload_of(id: str, flat: Sequence[str], parts: Sequence[str]) -> Upload:
    """The record of the hash and the list that Redis gives."""
    fields = fields_of(flat)
    protocol, metadata, *concat = json.loads(fields["head"])
    tenant = fields.get("tenant")
    fresh = Upload(
        id=id,
        protocol=protocol,
        created_at=_EPOCH + timedelta(microseconds=int(fields["created"])),
        metadata=Metadata(metadata) if metadata else _NO_METADATA,
        concat=Concat(ConcatKind(concat[0]), concat[1], tuple(concat[2])) if concat else None,
        tenant=None if tenant is None else json.loads(tenant),
    )
    return _as(fresh, fields, _together(fields.get("placement"), _decoded(parts)))


def committed(upload: Upload, change: Change, flat: Sequence[str], start: int, parts: Sequence[str]) -> Upload:
    """The record after a commit: what cannot change from `upload`, the other fields as the commit left them.

    Parameters:
        flat: the fields of the hash.
        start: parts before this one are those of `upload`; of no account when the change brings a placement.
        parts: those from there on.
    """
    fields = fields_of(flat)
    if "placement" in change:
        return _as(upload, fields, change["placement"])
    return _as(upload, fields, _together(fields.get("placement"), [*_list(upload.placement)[:start], *_decoded(parts)]))


def _as(upload: Upload, fields: Mapping[str, str], placement: Placement) -> Upload:
    length = fields.get("length")
    return replace(
        upload,
        length=None if length is None else int(length),
        offset=int(fields["offset"]),
        state=State(fields["state"]),
        placement=placement,
        fence=int(fields["fence"]),
        reserved=int(fields["reserved"]),
        expires_at=_time(fields.get("expires")),
        ended_at=_time(fields.get("ended")),
    )


def event_text(event: Event) -> str:
    """An event with its record as JSON."""
    record = stored(event.upload)
    value: dict[str, Any] = {
        "id": event.id,
        "type": event.type.value,
        "time": micros(event.time),
        "upload": event.upload.id,
        "record": record.fields,
    }
    if record.parts:
        value["parts"] = list(record.parts)
    return _encode(value)


def event_of(text: str) -> Event:
    """The event of the JSON that `event_text` made."""
    value = json.loads(text)
    flat = [item for field in value["record"].items() for item in field]
    return Event(
        id=value["id"],
        type=EventType(value["type"]),
        time=_EPOCH + timedelta(microseconds=value["time"]),
        upload=upload_of(value["upload"], flat, value.get("parts", ())),
    )
