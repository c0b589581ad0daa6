"""What an upload is: its record, its states, and the small values that travel with it."""

from __future__ import annotations

import base64
import binascii
import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TypedDict

JSON = object
"""A value that JSON can carry; a placement is made of such values."""

Placement = Mapping[str, JSON]
"""Where the bytes of one upload are. Opaque to everybody but the data store that made it; JSON-able.

An info store may keep a list in it apart, see `growing`."""

METADATA_MAX_BYTES = 64 * 1024
"""Longest raw metadata accepted: it travels in one header line, and proxies stop well before this."""

METADATA_MAX_KEYS = 256
"""Most keys in one metadata value; real clients send fewer than ten."""

# Visible ASCII without space and comma (tus 1.0.0, Upload-Metadata).
_METADATA_KEY = re.compile(r"[!-+\--~]+")
_UPLOAD_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


def valid_id(value: str) -> bool:
    """Tell whether `value` may be an upload id: 1-128 of A-Z a-z 0-9 _ -, beginning with a letter or digit.

    Such an id is safe in a URL, a file name and an object key as it stands.
    """
    return _UPLOAD_ID.fullmatch(value) is not None


class State(enum.StrEnum):
    """Where an upload stands in its life. Only `FINISHED` means that the object exists."""

    OPEN = "open"
    FINISHING = "finishing"
    FINISHED = "finished"
    TERMINATED = "terminated"
    EXPIRED = "expired"
    FAILED = "failed"

    @property
    def alive(self) -> bool:
        """True while the upload can still be asked for; the other states are tombstones."""
        return self in (State.OPEN, State.FINISHING, State.FINISHED)


class BodyEnd(enum.Enum):
    """Why a request body gave no more bytes."""

    COMPLETE = "complete"
    CUT = "cut"
    """The client vanished before the announced end."""
    STALLED = "stalled"
    """No byte arrived within the idle timeout."""
    INTERRUPTED = "interrupted"
    """We stopped reading: somebody else asked for the upload, or the server drains."""


class ConcatKind(enum.StrEnum):
    """The role of an upload in a concatenation (tus 1.0.0, Concatenation)."""

    PARTIAL = "partial"
    FINAL = "final"


@dataclass(frozen=True, slots=True)
class Concat:
    """The part an upload plays in a concatenation.

    Parameters:
        kind: partial or final.
        raw: the header value as it was received; HEAD gives it back unchanged.
        parts: of a final, the ids of its partial uploads in order; empty for a partial.
    """

    kind: ConcatKind
    raw: str
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Metadata:
    """Metadata as the client sent it, and a decoded view of it.

    The raw value is what is stored and given back, so that order, value-less keys and spaces stay as sent.
    """

    raw: str = ""

    @classmethod
    def parse(cls, raw: str) -> Metadata:
        """Check a raw value: comma-separated `key[ base64]` pairs (tus 1.0.0, Upload-Metadata).

        Raises:
            ValueError: empty, too long, too many keys, an empty, illegal or repeated key, or a value
                that is not base64. The message names the first offender.
        """
        if not raw.strip(" "):
            raise ValueError("it is empty; leave the header out when there is no metadata")
        if len(raw) > METADATA_MAX_BYTES:
            raise ValueError(f"it is longer than {METADATA_MAX_BYTES} bytes")
        pairs = raw.split(",")
        if len(pairs) > METADATA_MAX_KEYS:
            raise ValueError(f"it has more than {METADATA_MAX_KEYS} keys")
        seen: set[str] = set()
        for pair in pairs:
            key, _ = _decode_pair(pair.lstrip(" "))
            if key in seen:
                raise ValueError(f"the key {key!r} appears twice")
            seen.add(key)
        return cls(raw)

    @classmethod
    def of(cls, values: Mapping[str, bytes | str | None]) -> Metadata:
        """Encode decoded values; None makes a key without a value.

        Raises:
            ValueError: as `parse`.
        """
        pairs = []
        for key, value in values.items():
            data = value.encode() if isinstance(value, str) else value
            pairs.append(key if data is None else f"{key} {base64.b64encode(data).decode()}")
        return cls.parse(",".join(pairs)) if pairs else cls()

    @cached_property
    def values(self) -> Mapping[str, bytes]:
        """The decoded values by key, in order; a key without a value decodes to b""."""
        if not self.raw:
            return {}
        return dict(_decode_pair(pair.lstrip(" ")) for pair in self.raw.split(","))

    def text(self, key: str) -> str | None:
        """The value of `key` as text (bytes that are not UTF-8 become U+FFFD), None when absent."""
        value = self.values.get(key)
        return None if value is None else value.decode("utf-8", "replace")


def _decode_pair(pair: str) -> tuple[str, bytes]:
    key, space, encoded = pair.partition(" ")
    if _METADATA_KEY.fullmatch(key) is None:
        raise ValueError(f"{key!r} is not a key: it must be visible ASCII without space or comma")
    if not space:
        return key, b""
    try:
        return key, base64.b64decode(encoded.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError(f"the value of {key!r} is not base64") from error


@dataclass(frozen=True, slots=True)
class Upload:
    """The record of one upload.

    Parameters:
        id: names the upload in its URL; see `valid_id`.
        protocol: which protocol created it, and so answers for it ("tus").
        created_at: time of creation (UTC, as all times here).
        length: total size in bytes; None while it is deferred.
        offset: length of the contiguous, durable prefix in bytes.
        metadata: as the client gave it.
        concat: its part in a concatenation, None for an ordinary upload.
        state: where it stands in its life.
        placement: where the bytes are; only the data store looks inside.
        fence: the fence of the lease under which it was last changed.
        reserved: bytes set aside for it in the store: the length, or with a deferred length what it has so far.
        expires_at: when it expires; None never (finished uploads do not expire).
        ended_at: when it left the states that are alive, or finished; None before.
        tenant: whose it is; None when the server knows no tenants.
        follows: fence of the lease before the one under which it was read, where leases and records are kept together;
            0 otherwise. It is no part of the record.
        doubt: that of the lease under which it was read, see `Lease`; None also when it was read without one. It is no
            part of the record.
    """

    id: str
    protocol: str
    created_at: datetime
    length: int | None = None
    offset: int = 0
    metadata: Metadata = field(default_factory=Metadata)
    concat: Concat | None = None
    state: State = State.OPEN
    placement: Placement = field(default_factory=dict)
    fence: int = 0
    reserved: int = 0
    expires_at: datetime | None = None
    ended_at: datetime | None = None
    tenant: str | None = None
    follows: int = field(default=0, compare=False)
    doubt: int | None = field(default=None, compare=False)

    @property
    def is_partial(self) -> bool:
        """True for a partial upload of a concatenation."""
        return self.concat is not None and self.concat.kind is ConcatKind.PARTIAL

    @property
    def is_final(self) -> bool:
        """True for the final upload of a concatenation."""
        return self.concat is not None and self.concat.kind is ConcatKind.FINAL

    @property
    def complete(self) -> bool:
        """True when every byte is there, whether or not the object exists yet."""
        return self.length is not None and self.offset == self.length


class Change(TypedDict, total=False):
    """The fields of a record that one commit changes; the others stay."""

    length: int | None
    offset: int
    state: State
    placement: Placement
    reserved: int
    expires_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A point up to which every byte is durable: the new offset, and the placement that holds it.

    One without new bytes notes what the store is about to do, or puts bytes elsewhere: it is committed at once, also
    when others wait for a checksum.

    `whole` says that these bytes are the upload's last and that its object exists: there is nothing left to finish.
    """

    offset: int
    placement: Placement
    whole: bool = False


class EventType(enum.StrEnum):
    """What can happen to an upload that others are told of."""

    CREATED = "upload.created"
    FINISHED = "upload.finished"
    TERMINATED = "upload.terminated"
    EXPIRED = "upload.expired"
    FAILED = "upload.failed"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, with the record as it was right after.

    Parameters:
        id: unique; the same at every delivery of the event, so that a receiver can tell repetitions.
        type: what happened.
        time: when (UTC).
        upload: the record after it.
    """

    id: str
    type: EventType
    time: datetime
    upload: Upload


@dataclass(frozen=True, slots=True)
class Query:
    """Which records a scan gives; every condition given must hold.

    Parameters:
        states: any of these states; None all.
        expires_before: expiry lies before this time.
        ended_before: ended (or finished) before this time.
        finals: only (True) or no (False) final uploads of concatenations.
        tenant: only this tenant's; None everybody's.
    """

    states: frozenset[State] | None = None
    expires_before: datetime | None = None
    ended_before: datetime | None = None
    finals: bool | None = None
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a scan; `cursor` continues it, None at the end."""

    uploads: tuple[Upload, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Usage:
    """What the store holds: records that are not tombstones, those still open, bytes set aside."""

    uploads: int
    open: int
    reserved: int


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a request.

    Parameters:
        name: for logs; "anonymous" when nobody is asked for credentials.
        tenant: whose uploads it may see and make; None with `admin` or without tenants: all of them.
        admin: may see every tenant's uploads.
    """

    name: str = "anonymous"
    tenant: str | None = None
    admin: bool = False

    def may_see(self, upload: Upload) -> bool:
        """Tell whether this principal may know that `upload` exists."""
        return self.admin or upload.tenant is None or upload.tenant == self.tenant
