"""What a client wants, in the domain's words: protocols make intents of request heads, use cases carry them out."""

from __future__ import annotations

from dataclasses import dataclass, field

from tusfleet.uploads.models import Concat, Metadata

CHECKSUM_SIZES = {"sha1": 20, "md5": 16, "sha256": 32, "sha512": 64, "crc32": 4}
"""Digest size in bytes by algorithm, in the order in which clients are told of them."""


@dataclass(frozen=True, slots=True)
class Checksum:
    """A digest that the bytes of one request must have."""

    algorithm: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Body:
    """What the head of a request says about its body.

    Parameters:
        length: size in bytes; None when it is not known beforehand (chunked).
        acceptable: whether its media type is the one for upload bytes.
        checksum: what its bytes must hash to; None when nothing was announced in the head.
        checksum_in_trailer: whether the checksum comes after the bytes.
    """

    length: int | None
    acceptable: bool = True
    checksum: Checksum | None = None
    checksum_in_trailer: bool = False

    @property
    def verified(self) -> bool:
        """Whether the bytes count only once a checksum has been compared."""
        return self.checksum is not None or self.checksum_in_trailer


@dataclass(frozen=True, slots=True)
class Discover:
    """Ask what the server can do."""


@dataclass(frozen=True, slots=True)
class Create:
    """Create an upload, perhaps with its first bytes.

    Parameters:
        length: total size in bytes, None when deferred or the upload is a final one.
        metadata: as given.
        concat: its part in a concatenation.
        body: first bytes; None when the request has no body.
    """

    length: int | None = None
    metadata: Metadata = field(default_factory=Metadata)
    concat: Concat | None = None
    body: Body | None = None


@dataclass(frozen=True, slots=True)
class Append:
    """Add the bytes of the body at `offset`; `length` declares the size of a deferred upload."""

    id: str
    offset: int
    body: Body
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Inspect:
    """Ask where an upload stands."""

    id: str


@dataclass(frozen=True, slots=True)
class Terminate:
    """Give an upload up and free its bytes."""

    id: str


@dataclass(frozen=True, slots=True)
class Download:
    """Ask for the bytes of an upload."""

    id: str


Intent = Discover | Create | Append | Inspect | Terminate | Download
