"""Container images without a registry: a base made by debootstrap, ours and those of others built on it by buildah.

    image("redis")                                      # one of dockerfiles/, built on first use
    build("localhost/tusfleet:dev", ROOT, ROOT / "services" / "Dockerfile")

Layers are kept in the cache; an image that is not changed costs a second. Only root can do it, on Debian and its kin.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.cache import cache_root, cached, locked
from tests.testbed.commands import Unavailable, run_client
from tests.testbed.netns import outside
from tests.testbed.programs import built_program
from tests.testbed.takedown import unmount_below
from tests.testbed.versions import HERE, pinned_in

BASE = "localhost/python-base:3.13"
"""Stands for python:3.13-slim, as the build argument BASE_IMAGE."""

DEFINITIONS = HERE / "dockerfiles"

AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
"""Whom this machine trusts, and hence whom a build on it has to trust; it is mounted, and stays out of images."""

BUILD_SECONDS = 1200.0
"""Longest that one image may take; debootstrap needs a minute, others less."""

STORAGE = cache_root() / "buildah"
"""Where buildah keeps layers, and mounts them while it builds."""

_MIRROR_FORMAT = "$(REPO_URI) $(LABEL)"


@dataclass(frozen=True)
class Image:
    """An image by its name, and as an OCI archive to import."""

    name: str
    archive: Path


def image(name: str) -> Image:
    """An image of dockerfiles/. Raises Unavailable where no image can be built."""
    with tempfile.TemporaryDirectory() as context:
        shutil.copytree(DEFINITIONS / name, context, dirs_exist_ok=True)
        _PREPARE.get(name, _nothing)(Path(context))
        return build(f"localhost/{name}:1", Path(context), Path(context) / "Dockerfile", packages=True)


def build(
    name: str,
    context: Path,
    dockerfile: Path,
    arguments: Mapping[str, str] | None = None,
    *,
    packages: bool = False,
) -> Image:
    """Build a Dockerfile on our base. Raises Unavailable where no image can be built.

    An AssertionError shows what buildah said when this one cannot.

    With `packages`, its commands can install packages of Debian, of which an empty file in the image remains.
    """
    with _storage():
        if not _image_id(BASE):
            _build_base()
        return _build(name, context, dockerfile, {"BASE_IMAGE": BASE, **(arguments or {})}, packages)


def base() -> Image:
    """The base itself."""
    with _storage():
        return _archived(BASE) if _image_id(BASE) else _build_base()


def _build(name: str, context: Path, dockerfile: Path, arguments: Mapping[str, str], packages: bool) -> Image:
    options = [part for key, value in arguments.items() for part in ("--build-arg", f"{key}={value}")]
    with tempfile.NamedTemporaryFile("w", suffix=".list") as sources:
        sources.write(f"deb {_mirror()} {pinned_in('debian')['suite']} main\n")
        sources.flush()
        Path(sources.name).chmod(0o644)
        mounts = [(AUTHORITIES, AUTHORITIES)]
        if packages:
            mounts.append((Path(sources.name), Path("/etc/apt/sources.list.d/testbed.list")))
        options += [part for here, there in mounts if here.exists() for part in ("--volume", f"{here}:{there}:ro")]
        _buildah("bud", "--quiet", "--layers", "--isolation", "chroot", *options, "-t", name, "-f", str(dockerfile),
                 str(context))  # fmt: skip
    return _archived(name)


def _build_base() -> Image:
    """debootstrap's Debian without where it came from."""
    with tempfile.TemporaryDirectory() as context:
        shutil.copytree(DEFINITIONS / "python-base", context, dirs_exist_ok=True)
        shutil.copyfile(_rootfs(), Path(context) / "rootfs.tar")
        return _build(BASE, Path(context), Path(context) / "Dockerfile", {}, packages=False)


def _rootfs() -> Path:
    pin = pinned_in("debian")

    def fill(folder: Path) -> None:
        tree = folder / "tree"
        run_client(
            "debootstrap", "--variant=minbase", f"--include={','.join(pin['packages'])}", pin["suite"], str(tree),
            _mirror(),
            seconds=BUILD_SECONDS,
        )  # fmt: skip
        # Lists and sources carry the mirror's address; documentation is half of the rest.
        for pattern in ("etc/apt/sources.list*", "var/lib/apt/lists/*", "var/cache/apt/*", "usr/share/doc/*",
                        "usr/share/man/*", "usr/share/locale/*", "var/log/*", "etc/resolv.conf",
                        "etc/hostname"):  # fmt: skip
            for path in tree.glob(pattern):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        (tree / "etc/apt/sources.list.d").mkdir()
        (tree / "var/lib/apt/lists/partial").mkdir()
        (tree / "var/cache/apt/archives/partial").mkdir(parents=True)
        run_client("tar", "-C", str(tree), "--numeric-owner", "-cf", str(folder / "rootfs.tar"), ".", seconds=300)
        shutil.rmtree(tree)

    return cached(f"debian-{pin['suite']}", pin["recipe"], fill) / "rootfs.tar"


def _mirror() -> str:
    """From where this machine gets its own packages. Raises Unavailable where that is not Debian's."""
    listed = run_client("apt-get", "indextargets", "--format", _MIRROR_FORMAT, "Created-By: Packages", seconds=60)
    found = [line.split()[0] for line in listed.splitlines() if line.endswith(" Debian")]
    if not found:
        raise Unavailable("apt on this machine knows no mirror of Debian, of which the images are made")
    return found[0]


def _compile_pause(context: Path) -> None:
    run_client("gcc", "-Os", "-static", "-o", "pause", "pause.c", seconds=60, cwd=context)


def _take_program(name: str) -> Callable[[Path], None]:
    def take(context: Path) -> None:
        shutil.copyfile(built_program(name), context / name)
        (context / name).chmod(0o755)

    return take


def _nothing(context: Path) -> None:
    """Its Dockerfile is all."""


_PREPARE = {
    "pause": _compile_pause,
    "minio": _take_program("minio"),
    "minio-server": _take_program("minio"),
    "versitygw": _take_program("versitygw"),
    "prometheus": _take_program("prometheus"),
}


def _archived(name: str) -> Image:
    """The image as a file, written when it has changed."""
    short = name.rpartition("/")[2].replace(":", "-")
    archive = cache_root() / "images" / f"{short}-{_image_id(name)[:16]}.tar"
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        for old in archive.parent.glob(f"{short}-*.tar"):
            old.unlink()
        unfinished = archive.with_suffix(".unfinished")
        unfinished.unlink(missing_ok=True)
        _buildah("push", "--quiet", name, f"oci-archive:{unfinished}:{name}")
        unfinished.rename(archive)
    return Image(name, archive)


def _image_id(name: str) -> str:
    """Of an image in the storage; empty when there is none."""
    command = [*_BUILDAH, "images", "--quiet", "--no-trunc", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout.strip().removeprefix("sha256:") if done.returncode == 0 else ""


@contextlib.contextmanager
def _storage() -> Iterator[None]:
    """buildah's storage for this process alone, with a network; what it mounts does not stay."""
    if shutil.which("buildah") is None:
        raise Unavailable("buildah is not on PATH (Debian: apt-get install buildah)")
    if os.geteuid() != 0:
        raise Unavailable("only root can build images here")
    with locked(cache_root() / "buildah.lock"), outside():
        try:
            yield
        finally:
            unmount_below(str(STORAGE))


_BUILDAH = (
    "buildah", "--root", str(STORAGE / "root"), "--runroot", str(STORAGE / "run"), "--storage-driver", "overlay",
)  # fmt: skip


def _buildah(*arguments: str) -> None:
    try:
        run_client(*_BUILDAH, *arguments, seconds=BUILD_SECONDS)
    except Unavailable as failure:
        # It is there: what fails is a Dockerfile of ours, which no test may be skipped for.
        raise AssertionError(str(failure)) from None
