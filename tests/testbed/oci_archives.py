"""OCI archives: what is in an image, and how it is run."""

from __future__ import annotations

import gzip
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Archive:
    """An image of one platform.

    Parameters:
        config: how it is run.
        layers: tar files, the lowest first.
    """

    config: dict[str, Any]
    layers: tuple[bytes, ...]


def read_archive(path: Path) -> Archive:
    """Read it whole; an image has some hundred megabytes."""
    with tarfile.open(path) as tar:

        def member(name: str) -> bytes:
            file = tar.extractfile(name)
            assert file is not None, f"{name} is no file"
            return file.read()

        def blob(described: dict[str, Any]) -> bytes:
            data = member(f"blobs/{described['digest'].replace(':', '/')}")
            return gzip.decompress(data) if described["mediaType"].endswith("gzip") else data

        manifest = json.loads(blob(json.loads(member("index.json"))["manifests"][0]))
        config: dict[str, Any] = json.loads(blob(manifest["config"]))["config"]
        return Archive(config, tuple(blob(layer) for layer in manifest["layers"]))
