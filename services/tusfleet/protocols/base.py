"""The seam every upload protocol fits: what it is given, and what it answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import NamedTuple, Protocol

from tusfleet.uploads.errors import InvalidHeader, UploadError
from tusfleet.uploads.intents import Intent
from tusfleet.uploads.models import Upload

Headers = Sequence[tuple[bytes, bytes]]
"""Header fields in order, names in lower case, as ASGI has them."""

MAX_INTEGER = 2**63 - 1
_INTEGER = re.compile(r"[0-9]{1,19}")


class Head(NamedTuple):
    """The head of one request, as far as a protocol sees it.

    Parameters:
        method: in upper case.
        headers: its fields.
        resource: the id in the URL; None for the collection.
        collections: paths under which clients know the collection, without a slash at the end, the usual one first.
        authorities: the hosts (with port) under which clients know this server; None when that cannot be told.
        trailers: whether request trailers can be read.
    """

    method: str
    headers: Headers
    resource: str | None
    collections: tuple[str, ...]
    authorities: frozenset[str] | None = None
    trailers: bool = False


class Reply(NamedTuple):
    """The head of a response; its body is empty."""

    status: int
    headers: list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this server offers, as protocols announce it.

    Parameters:
        max_size: largest upload in bytes, None without a limit.
        expiration: whether unfinished uploads expire.
        trailers: whether request trailers can be read.
    """

    max_size: int | None = None
    expiration: bool = False
    trailers: bool = False


class UploadProtocol(Protocol):
    """One upload protocol."""

    name: str

    def claims(self, headers: Headers) -> bool:
        """Tell whether a request speaks this protocol."""
        ...

    def always(self) -> list[tuple[bytes, bytes]]:
        """The fields of this protocol that belong into every answer."""
        ...

    def parse(self, head: Head) -> Intent:
        """Understand a request.

        Raises:
            UploadError: it is not one of this protocol.
        """
        ...

    def discovered(self, capabilities: Capabilities) -> Reply:
        """Tell what the server can do."""
        ...

    def created(self, upload: Upload, location: str, *, with_body: bool) -> Reply:
        """Answer a creation."""
        ...

    def appended(self, upload: Upload) -> Reply:
        """Answer an append."""
        ...

    def inspected(self, upload: Upload) -> Reply:
        """Tell where an upload stands."""
        ...

    def terminated(self) -> Reply:
        """Answer a termination."""
        ...

    def refused(self, error: UploadError) -> list[tuple[bytes, bytes]]:
        """The further fields of this protocol that belong into an answer with an error."""
        ...


def single(headers: Headers, name: bytes) -> str | None:
    """The value of a field that may stand only once; None when it is absent.

    White space around it is no part of it (RFC 9110 section 5.5), and some servers leave it to the application.

    Raises:
        InvalidHeader: it stands twice, or is not ASCII.
    """
    found, count = None, 0
    for key, value in headers:
        if key == name:
            found, count = value, count + 1
    if found is None:
        return None
    if count > 1:
        raise InvalidHeader(f"{name.decode().title()} is given {count} times; give it once")
    try:
        return found.decode("ascii").strip(" \t")
    except UnicodeDecodeError:
        raise InvalidHeader(f"{name.decode().title()} has characters outside ASCII") from None


def first(headers: Headers, name: bytes) -> bytes | None:
    """The value of a field as it was sent, of one that stands several times the first; None when it is absent."""
    for key, value in headers:
        if key == name:
            return value
    return None


def integer(value: str, label: str) -> int:
    """A non-negative 63-bit integer in plain digits.

    Raises:
        InvalidHeader: anything else.
    """
    if _INTEGER.fullmatch(value) is None or (number := int(value)) > MAX_INTEGER:
        raise InvalidHeader(f"{label} must be a non-negative integer in plain digits")
    return number


def http_date(moment: datetime) -> bytes:
    """A moment as an IMF-fixdate (RFC 9110 section 5.6.7), whatever the locale."""
    return format_datetime(moment, usegmt=True).encode()
