"""The lane for bulk: what threads move from sockets into files is what was sent, and nothing else."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import random
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.gateway.edge import Edge, TinyApp, answer, request, serving, until
from tusfleet.gateway import http_lane
from tusfleet.gateway.body import request_body
from tusfleet.gateway.http_lane import Lanes, Run
from tusfleet.uploads.models import BodyEnd

MIB = 1024 * 1024
SIZE = 8 * MIB
BYTES = random.Random(7).randbytes(SIZE)


@pytest.fixture(params=["splice", "copy"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of moving bytes; those of this thread are made anew."""
    if request.param == "splice" and not http_lane.SPLICES:
        pytest.skip("this system has no splice")
    monkeypatch.setattr(http_lane, "SPLICES", request.param == "splice")
    monkeypatch.setattr(http_lane, "_threads", threading.local())
    return str(request.param)


class Pair:
    """Two connected sockets and a file."""

    def __init__(self, path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.client = socket.create_connection(listener.getsockname())
            self.server, _ = listener.accept()
        self.server.setblocking(False)
        self.path = path
        self.file = os.open(path, os.O_RDWR | os.O_CREAT)

    def run(self, *head: bytes, position: int = 0, want: int = SIZE, seconds: float = 10.0) -> Run:
        return Run(self.server.fileno(), self.file, position, head, want, seconds)

    def send(self, data: bytes) -> None:
        threading.Thread(target=self.client.sendall, args=(data,)).start()

    def close(self) -> None:
        self.client.close()
        self.server.close()
        os.close(self.file)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path / "file")
    yield pair
    pair.close()


def test_all_bytes_arrive_in_order_behind_those_that_came_before(way: str, pair: Pair) -> None:
    pair.send(BYTES[10:])
    run = pair.run(BYTES[:3], BYTES[3:10], position=5, want=SIZE - 10)
    pumped = run()
    run.close()
    assert (pumped.written, pumped.error, run.received) == (SIZE, None, SIZE - 10)
    assert pair.path.read_bytes() == bytes(5) + BYTES


def test_bytes_beyond_those_wanted_stay_in_the_socket(way: str, pair: Pair) -> None:
    pair.client.sendall(BYTES[:2000])
    run = pair.run(want=1500)
    assert run().written == 1500
    run.close()
    assert pair.server.recv(4096) == BYTES[1500:2000]


def test_a_pause_of_the_client_ends_it(way: str, pair: Pair) -> None:
    pair.client.sendall(BYTES[:1000])
    run = pair.run()
    assert run().written == 1000
    run.close()


def test_the_end_of_the_connection_ends_it(way: str, pair: Pair) -> None:
    pair.client.sendall(BYTES[:1000])
    pair.client.close()
    run = pair.run()
    assert run().written == 1000
    run.close()


def test_its_time_ends_it(way: str, pair: Pair) -> None:
    pair.client.sendall(BYTES[:1000])
    run = pair.run(seconds=0)
    assert run().written == 0
    run.close()
    assert pair.server.recv(4096) == BYTES[:1000]


def test_stopping_ends_it_while_bytes_come(way: str, pair: Pair) -> None:
    run = pair.run(want=1 << 40, seconds=60)
    ended = threading.Event()

    def feed() -> None:
        while not ended.is_set():
            if select.select([], [pair.client], [], 0.05)[1]:
                pair.client.send(BYTES[:65536])

    feeder = threading.Thread(target=feed)
    worker = threading.Thread(target=run)
    feeder.start()
    worker.start()
    until(lambda: run.received > 0, "bytes come")
    run.stop()
    worker.join(5)
    stopped = not worker.is_alive()
    ended.set()
    feeder.join()
    worker.join()
    run.close()
    assert stopped
    assert run.written == run.received


def test_a_file_that_takes_no_bytes_gives_its_error_and_the_next_file_gets_only_its_own(
    way: str, pair: Pair, tmp_path: Path
) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    pair.client.sendall(BYTES[:1000])
    run = Run(pair.server.fileno(), full, 0, (), SIZE, 10)
    pumped = run()
    run.close()
    os.close(full)
    assert isinstance(pumped.error, OSError)
    assert (pumped.written, run.received) == (0, 1000)
    pair.client.sendall(b"next")
    run = pair.run()
    assert run().written == 4
    run.close()
    assert pair.path.read_bytes() == b"next"


@pytest.mark.anyio
async def test_a_cancelled_run_has_ended_when_the_cancellation_goes_on(way: str, pair: Pair) -> None:
    lanes = Lanes(1)
    run = pair.run(want=1 << 40, seconds=60)
    pair.client.sendall(BYTES[:1000])
    task = asyncio.create_task(lanes.run(run))
    while run.received < 1000:
        await asyncio.sleep(0.001)
    frees = [lanes.free]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    frees.append(lanes.free)
    assert frees == [False, True]
    pair.client.sendall(BYTES[:1000])
    until(lambda: select.select([pair.server], [], [], 0)[0], "the bytes stay in the socket")
    assert pair.server.recv(4096) == BYTES[:1000]
    assert pair.path.stat().st_size == run.written == 1000


class PumpApp(TinyApp):
    """Stores a body as a data store does: reads, and lets it pump in between."""

    folder: Path
    pumped = 0

    async def do_store(self, scope: Any, receive: Any, send: Any, query: dict[str, str]) -> None:
        body: Any = request_body(scope, receive, self.idle_timeout)
        self.bodies.append(body)
        path = self.folder / query["name"]
        file, position = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), 0
        try:
            while chunks := await body.read(MIB, 0.02):
                for chunk in chunks:
                    position += os.pwrite(file, chunk, position)
                del chunk, chunks
                pumped = await body.pump(file, position, int(query.get("want", 1 << 40)), 10.0)
                assert pumped.error is None
                position += pumped.written
                self.pumped += pumped.written
        finally:
            os.close(file)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        self.read.append({"size": position, "end": body.end, "sha256": digest})
        await answer(send, 200, {"size": position, "sha256": digest})


@pytest.fixture
def app(tmp_path: Path) -> PumpApp:
    app = PumpApp()
    app.folder = tmp_path
    return app


@pytest.fixture
def edge(app: PumpApp) -> Iterator[Edge]:
    with serving(app) as server:
        yield server
        assert server.tracebacks == []
    assert server.gauge == [0]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_body_is_stored_and_the_connection_goes_on(way: str, app: PumpApp, edge: Edge) -> None:
    with edge.client() as client:
        for number in range(3):
            client.send(request("PATCH", f"/store?name={number}", body=BYTES))
            assert client.answer().json() == {"size": SIZE, "sha256": sha256(BYTES)}
    assert app.pumped > SIZE


def test_without_a_descriptor_for_a_lane_a_body_comes_by_the_loop(
    app: PumpApp, edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(descriptor: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "dup", refused)
    with edge.client() as client:
        client.send(request("PATCH", "/store?name=a", body=BYTES), request("GET", "/after"))
        assert client.answer().json() == {"size": SIZE, "sha256": sha256(BYTES)}
        assert client.answer().json()["path"] == "/after"
    assert app.pumped == 0


def test_requests_that_follow_at_once_are_not_taken_for_the_body(way: str, app: PumpApp, edge: Edge) -> None:
    with edge.client() as client:
        client.send(
            request("PATCH", "/store?name=a", body=BYTES),
            request("GET", "/after"),
            request("PATCH", "/store?name=b", body=BYTES[::-1]),
        )
        assert client.answer().json()["sha256"] == sha256(BYTES)
        assert client.answer().json()["path"] == "/after"
        assert client.answer().json()["sha256"] == sha256(BYTES[::-1])
    assert app.pumped > 0


@pytest.mark.parametrize("cut", [300_000, SIZE // 2, SIZE - 1])
def test_bytes_of_a_cut_connection_are_all_stored(way: str, app: PumpApp, edge: Edge, cut: int) -> None:
    with edge.client() as client:
        client.send(request("PATCH", "/store?name=a", f"Content-Length: {SIZE}"), BYTES[:cut])
        client.socket.shutdown(socket.SHUT_WR)
        until(lambda: app.read, "the body ends")
    assert app.read == [{"size": cut, "end": BodyEnd.CUT, "sha256": sha256(BYTES[:cut])}]


def test_a_client_in_fits_and_starts_gets_everything_stored(way: str, app: PumpApp, edge: Edge) -> None:
    chance = random.Random(3)
    with edge.client() as client:
        client.send(request("PATCH", "/store?name=a&want=700001", f"Content-Length: {SIZE}"))
        position = 0
        while position < SIZE:
            size = chance.choice([1, 1000, 70_000, 400_000, 1_500_000])
            client.send(BYTES[position : position + size])
            position += size
            if chance.random() < 0.3:
                assert client.silent(0.03)
        assert client.answer().json() == {"size": SIZE, "sha256": sha256(BYTES)}


def test_an_interrupted_body_ends_soon_with_what_arrived(way: str, app: PumpApp, edge: Edge) -> None:
    with edge.client() as client:
        client.send(request("PATCH", "/store?name=a", f"Content-Length: {SIZE * 100}"))
        stop = threading.Event()

        def feed() -> None:
            position = 0
            while not stop.is_set():
                if select.select([], [client.socket], [], 0.05)[1]:
                    position += client.socket.send(BYTES[position % SIZE : position % SIZE + 65536])

        feeder = threading.Thread(target=feed)
        feeder.start()
        until(lambda: (app.folder / "a").exists() and (app.folder / "a").stat().st_size > 2 * MIB, "bytes are stored")
        edge.call(lambda: app.bodies[0].interrupt())
        until(lambda: app.read, "the body ends")
        stop.set()
        feeder.join()
    (found,) = app.read
    assert found["end"] is BodyEnd.INTERRUPTED
    sent = (BYTES * (found["size"] // SIZE + 1))[: found["size"]]
    assert found["sha256"] == sha256(sent)


def test_more_bodies_than_threads_are_all_stored(way: str, app: PumpApp, edge: Edge) -> None:
    clients = [edge.client() for _ in range(3 * http_lane.LANES)]
    senders = [
        threading.Thread(target=client.send, args=(request("PATCH", f"/store?name={number}", body=BYTES),))
        for number, client in enumerate(clients)
    ]
    for sender in senders:
        sender.start()
    for sender, client in zip(senders, clients, strict=True):
        assert client.answer().json() == {"size": SIZE, "sha256": sha256(BYTES)}
        sender.join()
        client.__exit__()
    assert http_lane.LANES_OF_THIS_PROCESS.free
