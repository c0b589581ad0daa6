"""Records and events as Redis keeps them.

A record is a hash. What never changes is JSON in one field of it, and so is the placement, but for a growing list in
it: that is a Redis list of its own, so that a commit that adds one part sends one part, not ten thousand. It is read
while the record is `finishing`, and not before. Times are microseconds since 1970, UTC.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from tusfleet.uploads.errors import StoreFull
from tusfleet.uploads.growing import PARTS, Growing, kept_apart
from tusfleet.uploads.models import (
    JSON,
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

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_encode = json.JSONEncoder(separators=(",", ":")).encode
_NO_METADATA = Metadata()
_NOTHING = "{}"


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as it is stored.

    Parameters:
        fields: those of its hash.
        parts: its list, as far as it is known.
        known: how many entries the list has, and `last` the last of them; 0 and "" without any.
    """

    fields: Mapping[str, str]
    parts: Sequence[str]
    known: int
    last: str

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
        known: how many the caller knows of, and `last` the last of them; 0 and "" without any.
        lacks: whether some of them are known to the store alone.
    """

    fields: Mapping[str, str]
    removed: Sequence[str]
    way: str
    parts: Sequence[str]
    known: int
    last: str
    lacks: bool


class Listed(NamedTuple):
    """The list of a record as scripts tell it: its length, its last entry, and the entries where they are needed."""

    length: int = 0
    last: str = ""
    entries: Sequence[str] = ()


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
    placement = _encode(_rest(upload.placement))
    parts = Growing.of(upload.placement)
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
    return Stored(fields, _encoded(parts.more), len(parts), _end(parts))


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
    before = Growing.of(upload.placement)
    known, last = len(before), _end(before)
    if "placement" not in change:
        return Changed(fields, removed, "keep", (), known, last, bool(before.kept))
    after = Growing.of(change["placement"])
    new = after.since(before) if before else None
    placement = _encode(_rest(change["placement"]))
    optional("placement", None if placement == _NOTHING else placement)
    way = "replace" if new is None else "append"
    return Changed(fields, removed, way, _encoded(after.more if new is None else new), known, last, bool(after.kept))


def whole(upload: Upload, change: Change) -> Changed | None:
    """As `changed`, with all parts of the new placement; None when not all of them are known."""
    after = Growing.of(change["placement"])
    if after.kept:
        return None
    return replace(changed(upload, change), way="replace", parts=_encoded(after.more))


def _end(parts: Growing) -> str:
    return _encode(parts.end) if parts else ""


def _rest(placement: Placement) -> Placement:
    return {**placement, PARTS: []} if kept_apart(placement) else placement


def _together(placement: str | None, parts: JSON) -> Placement:
    rest: dict[str, Any] = {} if placement is None else json.loads(placement)
    if parts:
        rest[PARTS] = parts
    return rest


def _encoded(parts: Sequence[JSON]) -> list[str]:
    return [_encode(part) for part in parts]


def _decoded(parts: Sequence[str]) -> list[JSON]:
    decoded: list[JSON] = json.loads(f"[{','.join(parts)}]") if parts else []
    return decoded


def _parts_of(listed: Listed) -> JSON:
    """What stands in the placement of a record that was read."""
    if listed.entries or not listed.length:
        return _decoded(listed.entries)
    return Growing((), listed.length, json.loads(listed.last)).json()


def fields_of(flat: Sequence[str]) -> dict[str, str]:
    """Names and values by turns as a mapping."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def upload_of(id: str, flat: Sequence[str], listed: Sequence[Any]) -> Upload:
    """The record of the hash and the list that Redis tells of, as in `Listed`."""
    fields = fields_of(flat)
    return _fresh(id, fields, _together(fields.get("placement"), _parts_of(Listed(*listed))))


def committed(upload: Upload, change: Change, flat: Sequence[str], listed: Sequence[Any]) -> Upload:
    """The record after a commit: what cannot change from `upload`, the other fields as the commit left them.

    Parameters:
        flat: the fields of the hash.
        listed: its list, as in `Listed`; of no account when the change brings a placement and there are no entries.
    """
    fields, there = fields_of(flat), Listed(*listed)
    if "placement" in change:
        placement = change["placement"]
        return _as(upload, fields, {**placement, PARTS: _decoded(there.entries)} if there.entries else placement)
    before = Growing.of(upload.placement)
    same = not there.entries and (len(before), _end(before)) == (there.length, there.last)
    return _as(upload, fields, _together(fields.get("placement"), before.json() if same else _parts_of(there)))


def _fresh(id: str, fields: Mapping[str, str], placement: Placement) -> Upload:
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
    return _as(fresh, fields, placement)


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
    parts = Growing.of(event.upload.placement)
    if parts:
        value["parts"] = parts.json()
    return _encode(value)


def event_of(text: str) -> Event:
    """The event of the JSON that `event_text` made."""
    value = json.loads(text)
    fields = value["record"]
    return Event(
        id=value["id"],
        type=EventType(value["type"]),
        time=_EPOCH + timedelta(microseconds=value["time"]),
        upload=_fresh(value["upload"], fields, _together(fields.get("placement"), value.get("parts"))),
    )
