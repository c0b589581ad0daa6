"""The JSON file beside a finished one: what the client said about it, for whoever works with the files."""

from __future__ import annotations

import base64
import json
import os

from tusfleet.uploads.models import Upload


def render(upload: Upload) -> bytes:
    """The sidecar of an upload; the same bytes every time, by which it is known again after a crash."""
    fields = {
        "id": upload.id,
        "length": upload.offset,
        "created_at": upload.created_at.isoformat(),
        "tenant": upload.tenant,
        "metadata": {key: _shown(value) for key, value in upload.metadata.values.items()},
    }
    return (json.dumps(fields, ensure_ascii=False, indent=2) + "\n").encode()


def draft(path: str, content: bytes, *, durable: bool) -> None:
    """Write a sidecar where nobody sees it yet."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    with open(fd, "wb") as file:
        file.write(content)
        file.flush()
        if durable:
            os.fsync(fd)


def holds(path: str, content: bytes) -> bool:
    """Tell whether a file is this sidecar, to the byte; files of users may have the same name."""
    try:
        with open(path, "rb") as file:
            return file.read(len(content) + 1) == content
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False


def _shown(value: bytes) -> object:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}
