"""`kill -9` between a file in its place and the commit that tells of it: the record is the truth, and its file too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.failure.aftermath import complaints, files, partials
from tests.failure.client import Wire, ask, create, get, head, offset, patch
from tests.servers import PROGRAM, Server, eventually

DIES = """
import os, signal
from tusfleet.datastores._placing import Placer
place = Placer.place
def die(placer, upload):
    place(placer, upload)
    os.kill(os.getpid(), signal.SIGKILL)
Placer.place = die
"""
"""Dies with the first file that it has placed."""

BYTES = os.urandom(100_000)


@pytest.fixture(params=["strict", "relaxed"])
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that is not started yet."""
    server = Server(tmp_path, "--sweep-interval", "100ms", "--durability", request.param)
    yield server
    server.stop()


def dies(server: Server, expire_after: str = "1h") -> str:
    """Have it die once it has placed the file of an upload; gives the path of that, when the server runs again."""
    server.flags = (*server.flags, "--expire-after", expire_after)
    server.program = DIES + PROGRAM
    server.start()
    path = create(server, len(BYTES))
    with Wire(server) as wire:
        wire.patch(path, 0, len(BYTES))
        wire.send(BYTES)
        eventually(lambda: server.process.poll() is not None)
    assert [name.read_bytes() for name in (server.data / "files").iterdir()] == [BYTES]
    server.program = PROGRAM
    server.restart()
    return path


def test_the_client_sends_all_of_it_again(server: Server) -> None:
    path = dies(server)
    assert offset(server, path) == 0
    assert patch(server, path, 0, BYTES[:1000]).status == 204
    assert patch(server, path, 1000, BYTES[1000:]).status == 204
    assert get(server, path) == BYTES
    assert (len(files(server.data)), partials(server.data)) == (1, set())
    assert not (found := complaints(server)), found


def test_the_client_sends_all_of_it_again_in_one_piece(server: Server) -> None:
    path = dies(server)
    others = BYTES[::-1]
    assert patch(server, path, 0, others).status == 204
    assert get(server, path) == others
    assert (len(files(server.data)), partials(server.data)) == (1, set())


def test_the_client_ends_it(server: Server) -> None:
    path = dies(server)
    assert ask(server, "DELETE", path).status == 204
    assert (files(server.data), partials(server.data)) == (set(), set())


def test_it_expires(server: Server) -> None:
    path = dies(server, "1s")
    eventually(lambda: head(server, path).status == 410)
    eventually(lambda: (files(server.data), partials(server.data)) == (set(), set()))
