"""Records and events as SQLite keeps them: times in microseconds UTC, placements, parts and events as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from tusfleet.uploads.errors import StoreFull
from tusfleet.uploads.models import Change, Concat, ConcatKind, Event, EventType, Metadata, State, Upload

Value: TypeAlias = str | int | None
"""What a column holds."""

Row: TypeAlias = tuple[Value, ...]
"""The values of `COLUMNS`, in that order."""

COLUMNS = (
    "id",
    "protocol",
    "created_at",
    "length",
    "offset",
    "metadata",
    "concat",
    "concat_raw",
    "parts",
    "final",
    "state",
    "placement",
    "fence",
    "reserved",
    "expires_at",
    "ended_at",
    "tenant",
)
"""The columns of a record; `final` is there for the indexes."""

INDEX = {name: position for position, name in enumerate(COLUMNS)}
"""Where a column stands in a row."""

LARGEST = 2**63 - 1
"""Largest integer of an SQLite column."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_STATES = {state.value: state for state in State}
_encode = json.JSONEncoder(separators=(",", ":")).encode
_NO_METADATA = Metadata()


def micros(time: datetime) -> int:
    """A time as microseconds since 1970, UTC."""
    return (time - _EPOCH) // _MICROSECOND


def _moment(time: datetime | None) -> int | None:
    return None if time is None else micros(time)


def _time(value: int | None) -> datetime | None:
    return None if value is None else _EPOCH + timedelta(microseconds=value)


def _size(value: int | None) -> int | None:
    if value is not None and value > LARGEST:
        raise StoreFull(f"{value} bytes are more than any store holds")
    return value


def row_of(upload: Upload) -> Row:
    """The row of a record.

    Raises:
        StoreFull: a size is beyond 2^63 - 1.
    """
    concat = upload.concat
    return (
        upload.id,
        upload.protocol,
        micros(upload.created_at),
        _size(upload.length),
        _size(upload.offset),
        upload.metadata.raw,
        None if concat is None else concat.kind.value,
        None if concat is None else concat.raw,
        None if concat is None or not concat.parts else _encode(concat.parts),
        int(upload.is_final),
        upload.state.value,
        _encode(upload.placement),
        upload.fence,
        _size(upload.reserved),
        _moment(upload.expires_at),
        _moment(upload.ended_at),
        upload.tenant,
    )


def changed(change: Change) -> dict[str, Value]:
    """The columns of a change.

    Raises:
        StoreFull: a size is beyond 2^63 - 1.
    """
    columns: dict[str, Value] = {}
    if "offset" in change:
        columns["offset"] = _size(change["offset"])
    if "length" in change:
        columns["length"] = _size(change["length"])
    if "reserved" in change:
        columns["reserved"] = _size(change["reserved"])
    if "state" in change:
        columns["state"] = change["state"].value
    if "placement" in change:
        columns["placement"] = _encode(change["placement"])
    if "expires_at" in change:
        columns["expires_at"] = _moment(change["expires_at"])
    if "ended_at" in change:
        columns["ended_at"] = _moment(change["ended_at"])
    return columns


def upload_of(row: Sequence[Any]) -> Upload:
    """The record of a row."""
    id, protocol, created, length, offset, metadata, concat, raw, parts, _, state, placement, *rest = row
    fence, reserved, expires, ended, tenant = rest
    return Upload(
        id=id,
        protocol=protocol,
        created_at=_EPOCH + timedelta(microseconds=created),
        length=length,
        offset=offset,
        metadata=Metadata(metadata) if metadata else _NO_METADATA,
        concat=None if concat is None else _concat(str(concat), str(raw), parts),
        state=_STATES[state],
        placement=json.loads(placement) if placement != "{}" else {},
        fence=fence,
        reserved=reserved,
        expires_at=_time(expires),
        ended_at=_time(ended),
        tenant=tenant,
    )


def _concat(kind: str, raw: str, parts: object) -> Concat:
    return Concat(ConcatKind(kind), raw, () if parts is None else tuple(json.loads(str(parts))))


def parts_of(row: Row) -> frozenset[str]:
    """The ids of the partial uploads that the record of a row is made of."""
    parts = row[INDEX["parts"]]
    return frozenset() if parts is None else frozenset(json.loads(str(parts)))


def event_text(event: Event) -> str:
    """An event with its record as JSON."""
    return _encode(
        {
            "id": event.id,
            "type": event.type.value,
            "time": micros(event.time),
            "upload": dict(zip(COLUMNS, row_of(event.upload), strict=True)),
        }
    )


def event_of(value: Mapping[str, Any]) -> Event:
    """The event of the JSON that `event_text` made."""
    record = value["upload"]
    return Event(
        id=value["id"],
        type=EventType(value["type"]),
        time=_EPOCH + timedelta(microseconds=value["time"]),
        upload=upload_of(tuple(record[name] for name in COLUMNS)),
    )
