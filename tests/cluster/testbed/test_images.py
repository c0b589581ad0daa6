"""Images tell nothing of the machine on which they were built."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testbed.images import AUTHORITIES, base, image
from tests.testbed.takedown import mounts

# It looks for mounts, which builds beside it would make.
pytestmark = pytest.mark.node


def files(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of every layer with its bytes."""
    with tarfile.open(archive) as whole:
        index = json.load(whole.extractfile("index.json"))  # type: ignore[arg-type]
        manifest = json.load(blob(whole, index["manifests"][0]["digest"]))
        for layer in manifest["layers"]:
            with tarfile.open(fileobj=blob(whole, layer["digest"])) as tree:
                for member in tree:
                    content = tree.extractfile(member) if member.isreg() else None
                    yield member.name.removeprefix("./"), content.read() if content else b""


def blob(archive: tarfile.TarFile, digest: str) -> io.BytesIO:
    found = archive.extractfile(f"blobs/{digest.replace(':', '/')}")
    assert found is not None
    return io.BytesIO(found.read())


def test_base_has_neither_mirror_nor_lists_of_packages() -> None:
    found = {name for name, _ in files(base().archive)}
    assert "usr/bin/python3.13" in found
    assert "usr/bin/python" in found
    kept = ("var/lib/apt/lists/", "etc/apt/sources.list")
    folders = {"var/lib/apt/lists", "var/lib/apt/lists/partial", "etc/apt/sources.list.d"}
    assert {name.rstrip("/") for name in found if name.startswith(kept)} <= folders
    assert not {name for name in found if name.endswith(".deb")}


def test_built_image_has_nothing_of_what_was_lent_to_its_build() -> None:
    lent = AUTHORITIES.read_bytes()
    for name, content in files(image("client").archive):
        assert content != lent, name
        if "sources.list.d/" in name:
            assert content == b"", name


def test_image_that_is_not_changed_is_not_written_again() -> None:
    first = image("pause").archive
    written = first.stat().st_mtime_ns
    second = image("pause").archive
    assert (second, second.stat().st_mtime_ns) == (first, written)
    assert not [path for path in mounts() if "buildah" in path]
