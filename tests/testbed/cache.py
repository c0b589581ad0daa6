"""One folder per program and version, filled once by whoever comes first."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.testbed.netns import outside


def cache_root() -> Path:
    """Where fetched programs live: ${XDG_CACHE_HOME:-~/.cache}/tusfleet/testbed."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tusfleet" / "testbed"


def cached(name: str, version: str, fill: Callable[[Path], None]) -> Path:
    """The folder `<name>-<version>` of the cache, made by `fill(folder)` when it is not there.

    `fill` works in a temporary folder that is renamed at the end, so a folder that exists is whole. When
    several processes ask at once, one fills and the others wait.
    """
    root = cache_root()
    folder = root / f"{name}-{version}"
    if folder.is_dir():
        return folder
    root.mkdir(parents=True, exist_ok=True)
    with locked(root / f"{folder.name}.lock"):
        if not folder.is_dir():
            print(f"Fetching {name} {version} into {folder}", file=sys.stderr, flush=True)
            unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=root))
            try:
                # A test may be in a network of its own, where no registry is.
                with outside():
                    fill(unfinished)
                unfinished.rename(folder)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
    return folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` during the block; waits, and says so, while another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        # The kernel lets go of it when the process dies, however it dies.
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Waiting for another process that holds {path}", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
