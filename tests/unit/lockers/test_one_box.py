from __future__ import annotations

import asyncio
import os
import socket
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.kits.elsewhere import DistantLocker
from tests.kits.locker import SOON, LockerKit
from tests.kits.lockers import LockersKit
from tusfleet.gateway.crew import Counter
from tusfleet.gateway.mesh import Mesh, Pair, pairs
from tusfleet.lockers.one_box import OneBoxLocker
from tusfleet.uploads.ports import Locker

AT_ONCE = 0.1
"""Seconds in which a holder in another process has heard of a request, and the heir of a dead one has its lease."""

PLACES = ["beside", "in another process", "seen from another process"]


def descriptors(made: list[Pair]) -> list[int]:
    return [end.fileno() for pair in made for end in pair]


async def make(arguments: dict[str, Any]) -> OneBoxLocker:
    """The locker of one process, made of descriptors that it has inherited."""
    ends = [socket.socket(fileno=number) for number in arguments["ends"]]
    mesh = Mesh(arguments["number"], list(zip(ends[::2], ends[1::2], strict=True)))
    mesh.open()
    fences = arguments["fences"]
    return OneBoxLocker.open(Path(arguments["folder"]), lambda: os.lseek(fences, 1, os.SEEK_CUR), mesh)


class Box:
    """What the processes of one box have in common."""

    def __init__(self, folder: Path, made: list[Pair]) -> None:
        self.folder = folder / "leases"
        self.made = made
        self.fences = Counter()
        self.opened: list[tuple[Mesh, OneBoxLocker]] = []
        self.distant: list[DistantLocker] = []

    def locker(self, number: int) -> OneBoxLocker:
        """One in this process."""
        mesh = Mesh(number, self.made)
        mesh.open()
        locker = OneBoxLocker.open(self.folder, self.fences.next, mesh)
        self.opened.append((mesh, locker))
        return locker

    async def elsewhere(self, number: int) -> DistantLocker:
        """One in another process."""
        fences = self.fences._file.fileno()
        arguments = {
            "number": number,
            "ends": descriptors(self.made),
            "folder": str(self.folder),
            "fences": fences,
        }
        locker = await DistantLocker.start(f"{__name__}:make", arguments, [fences, *descriptors(self.made)])
        self.distant.append(locker)
        return locker

    async def close(self) -> None:
        for distant in self.distant:
            await distant.stop()
        for mesh, locker in self.opened:
            mesh.close()
            locker.close()


@contextmanager
def mesh_of(count: int) -> Iterator[list[Pair]]:
    made = pairs(count)
    yield made
    for pair in made:
        for end in pair:
            end.close()


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    with mesh_of(3) as made:
        box = Box(tmp_path, made)
        yield box
        await box.close()
        box.fences._file.close()


class TestOneBoxLocker(LockerKit):
    @pytest.fixture
    async def locker(self, box: Box) -> OneBoxLocker:
        return box.locker(0)


@pytest.mark.anyio
class TestOneBoxLockers(LockersKit):
    @pytest.fixture(params=PLACES)
    async def both(self, box: Box, request: pytest.FixtureRequest) -> tuple[Locker, Locker]:
        near = box.locker(0)
        if request.param == PLACES[0]:
            return near, box.locker(1)
        far = await box.elsewhere(1)
        return (near, far) if request.param == PLACES[1] else (far, near)

    @pytest.fixture
    def here(self, both: tuple[Locker, Locker]) -> Locker:
        return both[0]

    @pytest.fixture
    def there(self, both: tuple[Locker, Locker]) -> Locker:
        return both[1]


@pytest.mark.anyio
async def test_a_holder_in_another_process_hears_of_a_request_at_once(box: Box) -> None:
    near, far = box.locker(0), await box.elsewhere(1)
    times = []
    for _ in range(9):
        holder = await far.acquire("a", SOON)
        asked = asyncio.Event()
        holder.on_request(asked.set)
        await far.call("hello")
        started = asyncio.get_running_loop().time()
        waiter = asyncio.create_task(near.acquire("a", SOON))
        await asyncio.wait_for(asked.wait(), SOON)
        await holder.release()
        heir = await waiter
        times.append(asyncio.get_running_loop().time() - started)
        await heir.release()
    assert statistics.median(times) < AT_ONCE


@pytest.mark.anyio
async def test_the_lease_of_a_killed_process_is_free(box: Box) -> None:
    near, far = box.locker(0), await box.elsewhere(1)
    holder = await far.acquire("a", SOON)
    waiter = asyncio.create_task(near.acquire("a", SOON))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiter), AT_ONCE)
    started = asyncio.get_running_loop().time()
    far.kill()
    heir = await waiter
    assert asyncio.get_running_loop().time() - started < 10 * AT_ONCE
    assert heir.fence > holder.fence
    await heir.release()
    # And so it is for those who come later.
    await (await near.acquire("a", SOON)).release()


@pytest.mark.anyio
async def test_a_process_that_hears_nothing_is_waited_for_and_its_lease_is_had_when_it_lets_go(box: Box) -> None:
    """Every message is lost: whoever waits looks for itself."""
    deaf, near = box.locker(0), box.locker(1)
    box.opened[0][0].close()
    holder = await deaf.acquire("a", SOON)
    waiter = asyncio.create_task(near.acquire("a", SOON))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiter), AT_ONCE)
    await holder.release()
    await (await waiter).release()


@pytest.mark.anyio
async def test_a_full_queue_of_messages_costs_nothing_but_the_messages(box: Box) -> None:
    near, far = box.locker(0), await box.elsewhere(1)
    post = box.opened[0][0]
    # Nobody reads for the third process.
    for _ in range(5000):
        post.send(2, b"W" + b"x" * 100)
    holder = await far.acquire("a", SOON)
    holder.on_request(lambda: released.append(asyncio.ensure_future(holder.release())))
    released: list[asyncio.Future[None]] = []
    await far.call("hello")
    await (await near.acquire("a", SOON)).release()
    await asyncio.gather(*released)


@pytest.mark.anyio
async def test_nothing_is_kept_of_leases_that_are_over(box: Box) -> None:
    first, second = box.locker(0), box.locker(1)

    async def use(locker: Locker, id: str) -> None:
        lease = await locker.acquire(id, 4 * SOON)
        await asyncio.sleep(0)
        await lease.release()

    await asyncio.gather(*(use(locker, id) for _ in range(10) for id in "abc" for locker in (first, second)))
    assert first.held == second.held == 0
    assert not first._waiting
    assert not first._ranges._taken
    assert not second._ranges._taken


COUNT = """
import os, sys
for _ in range(int(sys.argv[2])):
    print(os.lseek(int(sys.argv[1]), 1, os.SEEK_CUR))
"""


def test_numbers_are_given_out_once_however_many_processes_ask() -> None:
    counter = Counter()
    file = counter._file.fileno()
    asking = [
        subprocess.Popen([sys.executable, "-c", COUNT, str(file), "20000"], stdout=subprocess.PIPE, pass_fds=[file])
        for _ in range(3)
    ]
    given = [[int(line) for line in process.communicate()[0].split()] for process in asking]
    for numbers in given:
        assert numbers == sorted(numbers)
    assert sorted(number for numbers in given for number in numbers) == list(range(1, 60001))
    assert counter.next() == 60001
    counter._file.close()
