"""A mark that finished files bear: it tells the files of different uploads apart that have had one name.

It is in the fraction of a second of their modification time, which every copy of a folder keeps that keeps times.
"""

from __future__ import annotations

import hashlib
import os

from tusfleet.uploads.models import Upload

_SECOND = 10**9

_UNIT = 100
"""Nanoseconds: what the coarsest file systems with fractions of a second keep (NTFS, SMB)."""

_COARSER = (10**3, 10**6, 10**7, _SECOND)
"""Nanoseconds: to what others cut the mark; exFAT keeps 10 ms, and some no fraction at all."""


def marked(found: os.stat_result, upload: Upload) -> int:
    """The modification time of a file, in nanoseconds, with the mark of its upload."""
    return found.st_mtime_ns // _SECOND * _SECOND + _mark(upload)


def has(found: os.stat_result, upload: Upload) -> bool:
    """Whether a file has the mark of the upload."""
    return found.st_mtime_ns % _SECOND == _mark(upload)


def may_have(found: os.stat_result, upload: Upload) -> bool:
    """Whether a file has the mark of the upload, as far as the file system keeps marks."""
    fraction, mark = found.st_mtime_ns % _SECOND, _mark(upload)
    return fraction == mark or any(fraction == mark - mark % unit for unit in _COARSER)


def _mark(upload: Upload) -> int:
    # An id may be used again once its record is forgotten, by a hook that chooses ids: so its time of creation counts.
    whose = f"{upload.id} {upload.created_at.isoformat()}"
    digest = int.from_bytes(hashlib.sha256(whose.encode()).digest()[-8:], "big")
    return digest % (_SECOND // _UNIT) * _UNIT
