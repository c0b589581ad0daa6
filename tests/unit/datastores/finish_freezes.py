"""Finishes and ends uploads in processes that are frozen before the first, second, ... change of the file system.

While such a process stands still its lease runs out, another one carries on, and the name of a file that went away is
taken by another upload. Then it is thawed, and has to change nothing.

Run as `python finish_freezes.py FOLDER SCENARIO WHAT AFTERWARDS`, in a process without threads, since it forks. `WHAT`
is what the frozen process does ("finish" or "abort"), `AFTERWARDS` how the upload is brought to its end meanwhile
("finish": it is finished; "abort": it is ended after that). Prints how many freezes there were.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from tests.kits.datastore import content_of, finish, finished
from tests.unit.datastores.finish_crashes import (
    LEASES_OF_ONE,
    NEIGHBOUR,
    files_of,
    opened,
    prepare,
    stop_at,
    whole,
    without_links,
)
from tests.unit.datastores.leases import LeasedStore, sweep
from tusfleet.uploads.errors import DataLost, Unavailable
from tusfleet.uploads.models import State, Upload

NAME = "final.bin"


async def _late(store: LeasedStore, record: Upload, parts: list[Upload], what: str) -> None:
    """What the frozen process does; that it was late it learns only now, when its commit is refused."""
    # It has no lease but the one, whatever it does in it.
    held = LeasedStore(store.store)
    held.under = lambda upload: replace(upload, fence=own.fence, doubt=own.doubt)  # type: ignore[method-assign]
    own = store.under(record)
    if what == "abort":
        await held.abort(record)
        return
    try:
        await whole(held, record, parts)
    except (DataLost, Unavailable):
        return


def _frozen(store: LeasedStore, record: Upload, parts: list[Upload], what: str, number: int) -> int:
    """A process that stands still at a change; 0 when it got through."""
    child = os.fork()
    if child == 0:
        stop_at(number, signal.SIGSTOP)
        asyncio.run(_late(store, record, parts, what))
        os._exit(0)
    _, status = os.waitpid(child, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        return child
    assert os.WEXITSTATUS(status) == 0
    return 0


async def _carry_on(store: LeasedStore, record: Upload, parts: list[Upload], what: str, afterwards: str) -> Upload:
    """What others do meanwhile; gives the upload whose file has the name in the end."""
    if what == "finish":
        done = await whole(store, record, parts)
        if afterwards == "finish":
            return done
        record = done
    await store.abort(record)
    return await finished(store, NEIGHBOUR[::-1], name=NAME)


def main(folder: Path, scenario: str, what: str, afterwards: str) -> None:
    if scenario == "without links":
        without_links()
    number = 0
    while True:
        root = folder / str(number)
        store = opened(root, scenario, "redis")
        assert isinstance(store, LeasedStore)
        record, parts, content = asyncio.run(prepare(store, "plain" if scenario == "unrecorded" else scenario))
        if what == "abort":
            placed = asyncio.run(finish(store, record))
            record = record if scenario == "unrecorded" else placed
        child = _frozen(store, record, parts, what, number)
        if not child:
            break
        store.run_out(LEASES_OF_ONE)
        last = asyncio.run(_carry_on(store, record, parts, what, afterwards))
        before = sorted(files_of(root, "files"))
        os.kill(child, signal.SIGCONT)
        _, status = os.waitpid(child, 0)
        assert status == 0, (number, status)
        # A janitor may have to remove what it has begun, and nothing else.
        known = replace(last, state=State.FINISHED)
        asyncio.run(sweep(store, known, *parts))
        assert files_of(root, "partial") == [], number
        made = set(files_of(root, "files")) - set(before)
        # Of bytes that it had itself, it makes one more file of an upload that has ended: nobody asks for it.
        assert not made or (afterwards == "abort" and scenario in {"empty", "final"}), (number, made)
        assert [path.read_bytes() for path in made] in ([], [content]), number
        assert set(before) <= set(files_of(root, "files")), number
        assert asyncio.run(content_of(store, last)) == (content if afterwards == "finish" else NEIGHBOUR[::-1]), number
        number += 1
    print(number)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
