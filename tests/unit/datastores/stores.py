"""What the tests of the file store share."""

from __future__ import annotations

import gc
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kits.datastore import (
    INTERVAL,
    advanced,
    iterate,
)
from tests.kits.streams import FakeStream
from tusfleet.datastores.filesystem import FilesystemDataStore
from tusfleet.uploads.models import Upload

MIB = 1024 * 1024


async def new_store(
    root: Path,
    *,
    durable: bool = False,
    key_template: str = "{filename}",
    sidecar: bool = False,
    at_once: bool = False,
) -> FilesystemDataStore:
    store = FilesystemDataStore(
        root,
        durable=durable,
        checkpoint_interval=INTERVAL,
        key_template=key_template,
        sidecar=sidecar,
        at_once=at_once,
    )
    await store.prepare()
    return store


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def partial_of(root: Path, upload: Upload) -> Path:
    return next(root.glob(f"partial/*/{upload.id}"))


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"))


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of `size` bytes; only root may mount one."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tusfleet-test", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


async def kept(store: FilesystemDataStore, upload: Upload, *steps: bytes, error: type[Exception]) -> Upload:
    """Append until `error`, and give the record with the checkpoints that came before it."""
    try:
        async with iterate(store, upload, FakeStream(*steps)) as checkpoints:
            async for checkpoint in checkpoints:
                upload = advanced(upload, checkpoint)
    except error:
        return upload
    pytest.fail(f"no {error.__name__}")
