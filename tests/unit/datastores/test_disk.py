from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from tests.kits.datastore import SOON
from tusfleet.datastores._disk import in_thread, write_at


@pytest.mark.anyio
async def test_a_cancelled_call_ends_with_its_thread_however_often_it_is_cancelled() -> None:
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        may_end.wait(SOON)
        ended.set()

    task = asyncio.create_task(in_thread(work))
    assert await asyncio.to_thread(begun.wait, SOON)
    for _ in range(3):
        task.cancel()
        await asyncio.wait([task], timeout=0.01)
        assert not task.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.shield(task), SOON)
    assert ended.is_set()


def test_short_writes_go_on_where_they_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up, or a signal, makes the system write less than it was given."""
    whole = os.pwritev

    def short(fd: int, buffers: list[bytes], position: int) -> int:
        return whole(fd, [b"".join(buffers)[:3]], position)

    monkeypatch.setattr(os, "pwritev", short)
    with (tmp_path / "file").open("w+b") as file:
        assert sum(write_at(file.fileno(), [b"ab", b"", b"cdefg", b"h"], 2)) == 8
        assert file.read() == b"\0\0abcdefgh"
