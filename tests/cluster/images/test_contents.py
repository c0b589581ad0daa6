"""What is in the images that our Dockerfiles make, and what is not."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.testbed.images import build

ROOT = Path(__file__).resolve().parents[3]

MOST_BYTES = 250 * 1000 * 1000
"""Of all layers together, unpacked."""


@dataclass(frozen=True)
class Contents:
    """An image, read from its archive.

    Parameters:
        config: how it is run.
        sizes: bytes of every file, by its path.
    """

    config: dict[str, Any]
    sizes: dict[str, int]

    def named(self, *words: str) -> list[str]:
        """The files whose path has one of `words` in it."""
        return [path for path in self.sizes if any(word in path for word in words)]


def contents(archive: Path) -> Contents:
    """Read an OCI archive."""
    with tarfile.open(archive) as tar:

        def blob(digest: str) -> bytes:
            file = tar.extractfile(f"blobs/{digest.replace(':', '/')}")
            assert file is not None
            return file.read()

        index = tar.extractfile("index.json")
        assert index is not None
        manifest = json.loads(blob(json.load(index)["manifests"][0]["digest"]))
        sizes: dict[str, int] = {}
        for layer in manifest["layers"]:
            data = blob(layer["digest"])
            if layer["mediaType"].endswith("gzip"):
                data = gzip.decompress(data)
            with tarfile.open(fileobj=io.BytesIO(data)) as files:
                sizes |= {member.name: member.size for member in files if member.isfile()}
        return Contents(json.loads(blob(manifest["config"]["digest"]))["config"], sizes)


@pytest.fixture(scope="module", params=["services", "operator"])
def found(request: pytest.FixtureRequest) -> Contents:
    """The image of the services, and that of the operator."""
    folder: str = request.param
    name = "tusfleet" if folder == "services" else "tusfleet-operator"
    return contents(build(f"localhost/{name}:dev", ROOT, ROOT / folder / "Dockerfile").archive)


def test_an_image_is_small(found: Contents) -> None:
    size = sum(found.sizes.values())
    print(f"{size / 1e6:.0f} MB")
    assert size < MOST_BYTES


def test_an_image_runs_one_program_as_nobody(found: Contents) -> None:
    assert found.config["User"] == "65532:65532"
    program = found.config["Entrypoint"][0]
    assert program.lstrip("/") in found.sizes, "the entry point is no file of the image"
    assert not {"sh", "bash", "/bin/sh"} & set(found.config["Entrypoint"])
    assert {"PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1"} <= set(found.config["Env"])
    labels = found.config["Labels"]
    assert labels["org.opencontainers.image.licenses"] == "MIT"
    assert labels["org.opencontainers.image.version"]


def test_an_image_has_no_build_tools_or_caches(found: Contents) -> None:
    assert found.named("opt/uv/", "opt/build/", "/hatchling/", ".cache/", "src/pyproject.toml") == []
    assert [path for path in found.sizes if path.endswith("/bin/uv")] == []
    assert found.named("opt/tusfleet/bin/pip", "opt/tusfleet/lib/python3.13/site-packages/pip/") == []
    # What a build mounts leaves an empty file behind.
    assert [path for path in found.named("var/lib/apt/lists/", "etc/apt/sources.list") if found.sizes[path]] == []
    assert found.named("/tests/conftest", ".git/") == []


def test_modules_are_compiled(found: Contents) -> None:
    """A root that is read-only keeps no bytecode: every start would compile it anew."""
    ours = [path for path in found.named("site-packages/tusfleet") if path.endswith(".py")]
    assert len(ours) > 20
    for path in ours:
        folder, _, name = path.rpartition("/")
        assert f"{folder}/__pycache__/{name.removesuffix('.py')}.cpython-313.pyc" in found.sizes
