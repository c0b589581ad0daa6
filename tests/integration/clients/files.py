"""Files to upload, and what a server gives back of them."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import httpx

from tests.servers import Server

MIB = 1024 * 1024
CHUNK = 5 * MIB

METADATA = {"filename": "Übergröße – 写真 🎞.bin", "filetype": "application/x-test", "owner": "Зоя, 太郎", "empty": ""}
"""Values in several scripts; keys are ASCII by the protocol."""


def made(path: Path, size: int, seed: int = 1) -> Path:
    """A file of `size` bytes that no two places of have in common."""
    numbers = random.Random(seed)
    with path.open("wb") as file:
        for start in range(0, size, MIB):
            file.write(numbers.randbytes(min(MIB, size - start)))
    return path


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def downloaded(url: str) -> str:
    """SHA-256 of what GET gives."""
    found = hashlib.sha256()
    with httpx.stream("GET", url, timeout=60) as response:
        assert response.status_code == 200, response.read()
        for chunk in response.iter_bytes():
            found.update(chunk)
    return found.hexdigest()


def asked(url: str) -> httpx.Response:
    """The answer to HEAD."""
    return httpx.head(url, headers={"Tus-Resumable": "1.0.0"}, timeout=30)


def shown(server: Server, url: str) -> Any:
    """An upload as the API shows it, which disturbs nobody."""
    return httpx.get(f"{server.origin}/api/v1/uploads/{url.rpartition('/')[2]}", timeout=30).raise_for_status().json()
