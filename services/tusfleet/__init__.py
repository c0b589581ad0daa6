"""Tusfleet: resumable uploads for one box and for fleets.

What a program that embeds the server needs is here: `asgi`, `Settings`, and the types its functions meet.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tusfleet.gateway.auth import AccessRequest as AccessRequest
    from tusfleet.gateway.embedding import EmbeddedUploads as EmbeddedUploads
    from tusfleet.gateway.embedding import asgi as asgi
    from tusfleet.settings import Settings as Settings
    from tusfleet.uploads.errors import Forbidden as Forbidden
    from tusfleet.uploads.errors import Unauthorised as Unauthorised
    from tusfleet.uploads.errors import UploadError as UploadError
    from tusfleet.uploads.models import Event as Event
    from tusfleet.uploads.models import Metadata as Metadata
    from tusfleet.uploads.models import Principal as Principal
    from tusfleet.uploads.models import Upload as Upload

__version__ = "0.1.0"

_HOMES = {
    "AccessRequest": "tusfleet.gateway.auth",
    "EmbeddedUploads": "tusfleet.gateway.embedding",
    "Event": "tusfleet.uploads.models",
    "Forbidden": "tusfleet.uploads.errors",
    "Metadata": "tusfleet.uploads.models",
    "Principal": "tusfleet.uploads.models",
    "Settings": "tusfleet.settings",
    "Unauthorised": "tusfleet.uploads.errors",
    "Upload": "tusfleet.uploads.models",
    "UploadError": "tusfleet.uploads.errors",
    "asgi": "tusfleet.gateway.embedding",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    # Only on demand: the command line starts without the web framework.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
