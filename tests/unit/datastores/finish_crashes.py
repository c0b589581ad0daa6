"""Finishes uploads in processes that are killed before the first, second, ... change of the file system.

Run as `python finish_crashes.py FOLDER SCENARIO AFTERWARDS LEASES`, in a process without threads, since it forks.
Prints how many crashes there were; fails when what `AFTERWARDS` does ("finish" or "abort") does not repair one of them.
`LEASES` are "process", which end with it, or "redis", which run out.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from tests.kits.datastore import append, content_of, finish, finished, new_final, new_upload
from tests.unit.datastores.leases import LeasedStore
from tusfleet.datastores.filesystem import FilesystemDataStore
from tusfleet.uploads.models import ConcatKind, Upload
from tusfleet.uploads.ports import DataStore

CHANGES = frozenset({"os.link", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.utime", "os.truncate"})
"""Audit events (PEP 578) of the calls that change names or marks; opening for writing counts too."""

NEIGHBOUR = b"of another upload"

TAKES_EFFECT = 0.05
"""Seconds in which a signal has reached every thread: another one may be the first to get it."""

LEASES_OF_ONE = 4
"""At least as many leases as a process takes before it dies."""

Store = FilesystemDataStore | LeasedStore


def stop_at(number: int, how: signal.Signals = signal.SIGKILL) -> None:
    """Kill this process, or freeze it, right before its change of that number."""
    left = number

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        flags = arguments[2] if event == "open" else 0
        if event in CHANGES or (isinstance(flags, int) and flags & os.O_CREAT):
            left -= 1
            if left == -1:
                os.kill(os.getpid(), how)
                time.sleep(TAKES_EFFECT)

    sys.addaudithook(count)


def without_links() -> None:
    """A file system without hard links, which cannot be mounted everywhere."""

    def refused(source: str, target: str) -> None:
        sys.audit("os.link", source, target, -1, -1)
        raise PermissionError(1, "Operation not permitted")

    os.link = refused  # type: ignore[assignment]


async def prepare(store: Store, scenario: str) -> tuple[Upload, list[Upload], bytes]:
    """The record to finish, the parts it is made of, and its content."""
    await store.prepare()
    await finished(store, NEIGHBOUR, name="final.bin")
    if scenario == "final":
        parts = [await finished(store, piece, kind=ConcatKind.PARTIAL) for piece in (b"one", b"two")]
        return new_final(6), parts, b"onetwo"
    content = b"" if scenario == "empty" else b"content"
    upload = new_upload(len(content), name="final.bin")
    return (await append(store, upload, content) if content else upload), [], content


async def whole(store: DataStore, record: Upload, parts: list[Upload]) -> Upload:
    """What the use case does from all bytes to the placed file."""
    if parts:
        placement = await store.concatenate(record, parts)
        record = replace(record, placement=placement, offset=record.length or 0)
    return await finish(store, record)


def crashes(store: Store, record: Upload, parts: list[Upload], number: int) -> bool:
    """Let a process die at a change; False when it got through."""
    child = os.fork()
    if child == 0:
        stop_at(number)
        asyncio.run(whole(store, record, parts))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def files_of(root: Path, folder: str) -> list[Path]:
    return [path for path in (root / folder).rglob("*") if path.is_file()]


async def repair(store: Store, root: Path, record: Upload, parts: list[Upload], content: bytes) -> None:
    """Finish again, and see that there is one file, whole, and nothing else."""
    done = await whole(store, record, parts)
    assert await content_of(store, done) == content
    found = [path for path in files_of(root, "files") if path.suffix != ".json"]
    assert len(found) == 2 + len(parts), found
    assert files_of(root, "partial") == []
    await store.abort(done)


def opened(root: Path, scenario: str, leases: str) -> Store:
    """The store of a scenario."""
    store = FilesystemDataStore(root, key_template="{yyyy}/{filename}", sidecar=scenario == "sidecar")
    return store if leases == "process" else LeasedStore(store)


def main(folder: Path, scenario: str, afterwards: str, leases: str) -> None:
    if scenario == "without links":
        without_links()
    number = 0
    while True:
        root = folder / str(number)
        store = opened(root, scenario, leases)
        record, parts, content = asyncio.run(prepare(store, scenario))
        before = sorted(files_of(root, "files"))
        crashed = crashes(store, record, parts, number)
        if isinstance(store, LeasedStore):
            store.run_out(LEASES_OF_ONE)
        if afterwards == "finish":
            asyncio.run(repair(store, root, record, parts, content))
        else:
            asyncio.run(store.abort(record))
        assert sorted(files_of(root, "files")) == before
        assert files_of(root, "partial") == []
        if not crashed:
            break
        number += 1
    print(number)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
