"""Names of finished files: a template filled with values that clients choose, made harmless on every file system."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tusfleet.uploads.models import Upload

SEGMENT_BYTES = 255
"""Longest file or folder name in bytes: the limit of ext4, XFS, btrfs, APFS and NTFS."""

KEY_BYTES = 1024
"""Longest key in bytes, separators included: what S3 allows, and well below PATH_MAX."""

MAX_SEGMENTS = 16
"""Most segments of a template, so that each keeps a useful length within `KEY_BYTES`."""

EXTENSION_BYTES = 32
"""A longer extension is no extension, but a name with a dot in it."""

MAX_NUMBER = 16
"""Taken names are numbered up to this; then the id makes the name unique, so that no finish tries a thousand names."""

MISSING = "upload"
"""Stands for a value that is not there, or of which nothing is left."""

NAME_KEYS = ("filename", "name")
"""Metadata keys under which clients send the name of the file."""

_NUMBERS = ("", *(f" ({number})" for number in range(1, MAX_NUMBER + 1)))
_FIELD = re.compile(r"\{([^{}]*)\}")
_SIMPLE_FIELDS: dict[str, Callable[[Upload], str | None]] = {
    "id": lambda upload: upload.id,
    "filename": lambda upload: next((text for key in NAME_KEYS if (text := upload.metadata.text(key))), None),
    "yyyy": lambda upload: f"{upload.created_at.year:04d}",
    "mm": lambda upload: f"{upload.created_at.month:02d}",
    "dd": lambda upload: f"{upload.created_at.day:02d}",
    "tenant": lambda upload: upload.tenant,
}
_METADATA_FIELD = "metadata."
_ILLEGAL = re.compile(r'[/\\<>:"|?*]')
# Hidden files, options of commands, home folders.
_LEADING = re.compile(r"^[.\-~]+")
# Names that Windows gives to devices, with any extension (the superscripts too).
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])( *\..*)?")
# Control, format (bidirectional overrides too), surrogate, private and unassigned characters, line separators.
_UNFIT_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class KeyTemplate:
    """A template for the names of finished files, relative and with `/` between folders.

    Parameters:
        text: as it was written.
        segments: the parts between the separators; each alternates literal text and names of fields.
    """

    text: str
    segments: tuple[tuple[str, ...], ...]

    @classmethod
    def parse(cls, text: str) -> KeyTemplate:
        """Check a template: text with `{id}`, `{filename}`, `{yyyy}`, `{mm}`, `{dd}`, `{tenant}` and `{metadata.KEY}`.

        Raises:
            ValueError: an unknown field, a brace too many, or text that is no safe relative path; one sentence.
        """
        pieces = _FIELD.split(text)
        for name in pieces[1::2]:
            if name not in _SIMPLE_FIELDS and not (name.startswith(_METADATA_FIELD) and name != _METADATA_FIELD):
                raise ValueError(
                    f"{{{name}}} is not a field; there are {{id}}, {{filename}}, {{yyyy}}, {{mm}}, {{dd}}, "
                    "{tenant} and {metadata.KEY}"
                )
        for literal in pieces[::2]:
            _check_literal(literal)
        segments = _split(pieces)
        for segment in segments:
            if len(segment) == 1 and _segment(segment[0]) != segment[0]:
                raise ValueError(f"{segment[0]!r} in it is no safe name of a file or folder")
        if len(segments) > MAX_SEGMENTS:
            raise ValueError(f"it has more than {MAX_SEGMENTS} segments")
        return cls(text, tuple(segments))

    def candidates(self, upload: Upload, reserve: int = 0) -> Iterator[str]:
        """Keys for `upload`, best first: `name.ext`, `name (1).ext`, ... and in the end one with its id.

        Every key is a relative path of safe segments, at most `KEY_BYTES` long.

        Parameters:
            reserve: bytes of the last segment to leave free, for a suffix that the caller adds.
        """
        limit = min(SEGMENT_BYTES, (KEY_BYTES - len(self.segments) + 1) // len(self.segments))
        *folders, name = (_segment(self._fill(segment, upload)) for segment in self.segments)
        path = "".join(f"{_cut(folder, limit)}/" for folder in folders)
        limit -= reserve
        for suffix in (*_NUMBERS, f" ({upload.id})"):
            cut = _cut(name, limit, suffix)
            # In a deep template there may be no room for a long id and an extension behind it.
            if len(cut.encode()) <= limit:
                yield path + cut
        # A file may stand where a folder of the template ought to be.
        yield upload.id

    @staticmethod
    def _fill(segment: tuple[str, ...], upload: Upload) -> str:
        return "".join(piece if index % 2 == 0 else _value(piece, upload) for index, piece in enumerate(segment))


def safe_key(key: str) -> bool:
    """Tell whether `key` stays below the folder it is joined to: relative, without `.`, `..`, NUL or empty segments."""
    return "\0" not in key and all(segment not in {"", ".", ".."} for segment in key.split("/"))


def _check_literal(literal: str) -> None:
    if "{" in literal or "}" in literal:
        raise ValueError("it has a brace without its partner")
    if "\\" in literal or any(unicodedata.category(character) in _UNFIT_CATEGORIES for character in literal):
        raise ValueError("it has a backslash or a character that cannot be printed")


def _split(pieces: list[str]) -> list[tuple[str, ...]]:
    """Cut the alternation of literals and fields at the separators of the literals."""
    segments: list[list[str]] = [[]]
    for index, piece in enumerate(pieces):
        if index % 2:
            segments[-1].append(piece)
            continue
        first, *others = piece.split("/")
        segments[-1].append(first)
        segments.extend([other] for other in others)
    if any(segment == [""] for segment in segments):
        raise ValueError("it is empty, or has an empty segment: a key is relative, such as {yyyy}/{filename}")
    return [tuple(segment) for segment in segments]


def _value(field: str, upload: Upload) -> str:
    if field.startswith(_METADATA_FIELD):
        value = upload.metadata.text(field.removeprefix(_METADATA_FIELD))
    else:
        value = _SIMPLE_FIELDS[field](upload)
    if value is not None:
        # What is cut off later anyway need not be looked at character by character.
        value = _clean(value if len(value) <= KEY_BYTES else f"{value[:KEY_BYTES]}{_extension(value)}")
        if value.strip(" ."):
            return value
    return upload.id if field == "filename" else MISSING


def _clean(text: str) -> str:
    """Composed (NFC), with `_` for everything that separates, controls, or is not allowed somewhere."""
    if text.isascii() and text.isprintable():
        return _ILLEGAL.sub("_", text)
    fit = (
        "_" if unicodedata.category(character) in _UNFIT_CATEGORIES else character
        for character in unicodedata.normalize("NFC", text)
    )
    return _ILLEGAL.sub("_", "".join(fit))


def _segment(text: str) -> str:
    """One safe segment; its length is seen to by `_cut`."""
    name = _LEADING.sub("_", _clean(text).strip(" ").rstrip(" ."))
    if not name:
        return MISSING
    return f"_{name}" if _RESERVED.fullmatch(name) else name


def _cut(name: str, limit: int, suffix: str = "") -> str:
    """Shorten `name` to `limit` bytes of UTF-8 at a border of characters; `suffix` goes before the extension."""
    extension = _extension(name)
    stem = name.removesuffix(extension)
    tail = f"{suffix}{extension}"
    room = limit - len(tail.encode())
    if len(stem.encode()) > room:
        stem = stem.encode()[: max(room, 0)].decode("utf-8", "ignore").rstrip(" .")
    return (stem or "_") + tail


def _extension(name: str) -> str:
    """The last dot of a name and what follows, unless that is too long to be an extension."""
    stem, dot, extension = name.rpartition(".")
    if not stem or not extension or len(extension.encode("utf-8", "replace")) > EXTENSION_BYTES:
        return ""
    return dot + extension
