"""SIGTERM: uploads under way are flushed and told to go elsewhere, and the process ends in time, with status 0."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from pathlib import Path

from tests.failure.client import KIB, MIB, TUS, Wire, ask, create, get, held, offset, patch, peeked
from tests.servers import Server, eventually, serving

GRACE = 5.0


def stopped(server: Server) -> int:
    """Wait until the server has ended by itself; gives its exit status."""
    return server.process.wait(GRACE + 10)


def test_running_uploads_are_flushed_and_told(tmp_path: Path) -> None:
    with serving(tmp_path, "--drain-grace", f"{GRACE:g}s") as server, ExitStack() as wires:
        running = []
        for number in range(8):
            path, sent = create(server, MIB), 100 * KIB + number
            wire = wires.enter_context(Wire(server))
            wire.patch(path, 0, MIB if number % 2 else None)
            wire.send(bytes(sent)) if number % 2 else wire.send_chunk(bytes(sent))
            running.append((path, sent, wire))
        idle = wires.enter_context(Wire(server))
        idle.request("HEAD", running[0][0] + "x", TUS)
        assert idle.read("HEAD").status == 404
        finished = create(server, KIB, body=bytes(KIB))
        for path, sent, _ in running:
            eventually(lambda path=path, sent=sent: held(server, path) == sent)  # type: ignore[misc]

        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        for _, _, wire in running:
            answer = wire.read("PATCH")
            assert answer.status == 503
            assert int(answer["retry-after"]) >= 0
            assert wire.ended()
        assert idle.ended(), "an idle connection is kept open"
        refuses(server)
        assert stopped(server) == 0
        assert time.monotonic() - started < GRACE, "it waited for nothing"

        server.start()
        for path, sent, _ in running:
            assert offset(server, path) == sent, "bytes that had arrived were dropped"
            assert patch(server, path, sent, bytes(MIB - sent)).status == 204
            assert len(get(server, path)) == MIB
        assert len(get(server, finished)) == KIB


def refuses(server: Server) -> None:
    """See that nobody is told any more that the server is ready."""
    for _ in range(5):
        try:
            assert ask(server, "GET", "/readyz").status == 503
        except (OSError, EOFError):
            return


def test_a_client_that_never_reads_does_not_keep_the_process(tmp_path: Path) -> None:
    with serving(tmp_path, "--drain-grace", "1s") as server, Wire(server) as wire:
        path = create(server, 64 * MIB, body=bytes(64 * MIB))
        wire.request("GET", path, {})
        server.process.send_signal(signal.SIGTERM)
        assert stopped(server) == 0
        server.start()
        assert len(get(server, path)) == 64 * MIB


def test_an_answer_on_its_way_is_completed(tmp_path: Path) -> None:
    with serving(tmp_path, "--drain-grace", f"{GRACE:g}s") as server, Wire(server) as wire:
        path = create(server, 32 * MIB, body=bytes(32 * MIB))
        wire.request("GET", path, {})
        head = wire.head()
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: "Shutting down" in server.log())
        assert wire._content("GET", head) == bytes(32 * MIB)
        assert stopped(server) == 0
        server.start()


def test_a_server_that_is_leaving_serves_until_others_know(tmp_path: Path) -> None:
    with serving(tmp_path, "--drain-delay", "1s") as server, Wire(server) as wire:
        path = create(server, MIB)
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: ask(server, "GET", "/readyz").status == 503)
        wire.patch(path, 0, MIB)
        wire.send(bytes(MIB))
        assert wire.read("PATCH").status == 204
        assert stopped(server) == 0
        assert time.monotonic() - started >= 1


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    with serving(tmp_path, "--drain-delay", "60s") as server, Wire(server) as wire:
        path = create(server, MIB)
        wire.patch(path, 0, MIB)
        wire.send(bytes(KIB))
        eventually(lambda: peeked(server, path)["offset"] == KIB)
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: ask(server, "GET", "/readyz").status == 503)
        server.process.send_signal(signal.SIGINT)
        assert stopped(server) == 1
        server.start()
        assert offset(server, path) == KIB
        server.kill()


def test_what_waits_for_an_upload_is_told_too(tmp_path: Path) -> None:
    """A drain in the middle of many clients that take an upload from each other."""
    with serving(tmp_path) as server:
        path = create(server, MIB)
        with ExitStack() as wires:
            for _ in range(10):
                wire = wires.enter_context(Wire(server))
                wire.patch(path, 0, MIB)
            server.process.send_signal(signal.SIGTERM)
            assert stopped(server) == 0
        server.start()
        assert offset(server, path) == 0
