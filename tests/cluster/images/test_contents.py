"""What is in the images that our Dockerfiles make, and what is not."""

from __future__ import annotations

import io
import json
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.testbed.oci_archives import read_archive
from tests.testbed.our_images import IMAGES, our_image
from tests.testbed.sbom import write_sbom

MOST_BYTES = 250 * 1000 * 1000
"""Of all layers together, unpacked."""


DEBIAN = "var/lib/dpkg/status"


@dataclass(frozen=True)
class Contents:
    """An image, read from its archive.

    Parameters:
        config: how it is run.
        sizes: bytes of every file, by its path.
        debian: what the package manager has noted; empty where there is none.
    """

    config: dict[str, Any]
    sizes: dict[str, int]
    debian: str

    def named(self, *words: str) -> list[str]:
        """The files whose path has one of `words` in it."""
        return [path for path in self.sizes if any(word in path for word in words)]


def contents(archive: Path) -> Contents:
    """Read an OCI archive."""
    image = read_archive(archive)
    sizes: dict[str, int] = {}
    debian = b""
    for layer in image.layers:
        with tarfile.open(fileobj=io.BytesIO(layer)) as files:
            sizes |= {member.name: member.size for member in files if member.isfile()}
            if DEBIAN in files.getnames() and (noted := files.extractfile(DEBIAN)) is not None:
                debian = noted.read()
    return Contents(image.config, sizes, debian.decode())


@pytest.fixture(scope="module", params=IMAGES)
def name(request: pytest.FixtureRequest) -> str:
    """The image of the services, and that of the operator."""
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def found(name: str) -> Contents:
    """What is in it."""
    return contents(our_image(name).archive)


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


def test_the_bill_of_materials_names_everything_and_nothing_else(name: str, found: Contents, tmp_path: Path) -> None:
    """Every distribution of Python and every package of Debian, with its version."""
    told = json.loads(write_sbom(name, tmp_path).read_text(encoding="utf-8"))
    assert told["bomFormat"] == "CycloneDX"
    assert told["metadata"]["component"]["name"] == name
    named: dict[str, set[tuple[str, str]]] = {"pypi": set(), "deb": set()}
    for component in told["components"]:
        kind = component.get("purl", "").removeprefix("pkg:").partition("/")[0]
        named.setdefault(kind, set()).add((plain(component["name"]), component.get("version", "")))
    assert named["pypi"] == distributions(found)
    assert named["deb"] == packages(found)
    assert len(named["pypi"]) > 10
    assert str(tmp_path) not in json.dumps(told)


def plain(name: str) -> str:
    """A name as all ways to write it come to the same."""
    return re.sub(r"[-_.]+", "-", name).lower()


def distributions(found: Contents) -> set[tuple[str, str]]:
    """Names and versions, which installers write into the names of folders."""
    folders = {path.split(".dist-info/")[0].rpartition("/")[2] for path in found.named(".dist-info/METADATA")}
    return {(plain(folder.rpartition("-")[0]), folder.rpartition("-")[2]) for folder in folders}


def packages(found: Contents) -> set[tuple[str, str]]:
    """Those that are installed, of what the package manager has noted."""
    noted = [dict(re.findall(r"^(Package|Status|Version): (.*)$", each, re.M)) for each in found.debian.split("\n\n")]
    return {(plain(one["Package"]), one["Version"]) for one in noted if one.get("Status", "").endswith(" installed")}
