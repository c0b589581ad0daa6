"""Several processes on one port: whoever dies, freezes or is asked in place of another, uploads go on."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from tests.failure.aftermath import check, complaints, records
from tests.failure.client import KIB, MIB, Wire, ask, create, get, head, held, metrics, offset, patch
from tests.servers import Server, eventually, serving

WORKERS = 3

AT_ONCE = 1.0
"""Seconds: what a client waits at most for another one that is connected to another worker."""

BACK_SECONDS = 20.0
"""In which a worker is back that has died once; on a machine of its own, a tenth of a second."""

CLIENTS = 8


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path, "--workers", str(WORKERS), "--sweep-interval", "100ms") as server:
        yield server


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in found.split()]


def workers(server: Server) -> list[int]:
    """The workers of a server that is up."""
    return children(server.process.pid)


def sockets(pid: int) -> set[str]:
    """Names of the sockets that a process has open, as the kernel gives them."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.add(os.readlink(entry))
        except OSError:
            continue
    return {name for name in found if name.startswith("socket:")}


def served_by(server: Server, wire: Wire) -> int:
    """The worker that has accepted a connection."""
    ours = wire._socket.getsockname()[1]
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        local, remote = (int(field.rpartition(":")[2], 16) for field in fields[1:3])
        if (local, remote) == (server.port, ours):
            name = f"socket:[{fields[9]}]"
            return next(pid for pid in workers(server) if name in sockets(pid))
    raise AssertionError("no worker has accepted this connection")


def wires(server: Server, stack: ExitStack, count: int = WORKERS) -> dict[int, Wire]:
    """A connection to each of the workers."""
    found: dict[int, Wire] = {}
    for _ in range(200):
        wire = stack.enter_context(Wire(server))
        wire.request("GET", "/healthz", {})
        assert wire.read("GET").status == 200
        found.setdefault(served_by(server, wire), wire)
        if len(found) == count:
            return found
    raise AssertionError(f"only {len(found)} of {count} workers get connections")


def ready(server: Server) -> bool:
    return ask(server, "GET", "/readyz").status == 200


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


class Sender(threading.Thread):
    """A client that sends files in pieces and resumes whatever happens."""

    def __init__(self, server: Server, seed: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._numbers = Random(seed)
        self._stop_sending = stop
        self.sent: dict[str, str] = {}
        self.resumed = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._stop_sending.is_set():
                data = self._numbers.randbytes(self._numbers.randint(100 * KIB, MIB))
                path = self._create(len(data))
                self._send(path, data)
                self.sent[path] = hashlib.sha256(data).hexdigest()
        except BaseException as error:  # noqa: BLE001 - told by the test
            self.failure = error

    def _create(self, size: int) -> str:
        while True:
            try:
                return create(self._server, size)
            except (OSError, EOFError):
                self.resumed += 1

    def _send(self, path: str, data: bytes) -> None:
        at = 0
        while at < len(data):
            piece = data[at : at + self._numbers.randint(10 * KIB, 300 * KIB)]
            try:
                answer = patch(self._server, path, at, piece)
                if answer.status == 204:
                    at += len(piece)
                    continue
                assert answer.status in (409, 423, 503), answer
            except (OSError, EOFError):
                self.resumed += 1
            at = self._where(path)

    def _where(self, path: str) -> int:
        while True:
            try:
                answer = head(self._server, path)
                if answer.status == 200:
                    return int(answer["upload-offset"])
                assert answer.status in (423, 503), answer
            except (OSError, EOFError):
                continue


def test_workers_are_killed_in_turn_under_uploads(server: Server) -> None:
    stop = threading.Event()
    senders = [Sender(server, number, stop) for number in range(CLIENTS)]
    for sender in senders:
        sender.start()
    numbers = Random(5)
    for _ in range(4):
        time.sleep(numbers.uniform(0.2, 0.5))
        before = workers(server)
        victim = numbers.choice(before)
        os.kill(victim, signal.SIGKILL)
        eventually(lambda before=before, victim=victim: _replaced(server, before, victim), BACK_SECONDS)  # type: ignore[misc]
    stop.set()
    for sender in senders:
        sender.join(60)
        assert not sender.is_alive()
        assert sender.failure is None, sender.failure
    eventually(lambda: ready(server), BACK_SECONDS)
    assert sum(sender.resumed for sender in senders) > 0, "no client has noticed anything"
    sent = {path: digest for sender in senders for path, digest in sender.sent.items()}
    assert len(sent) >= CLIENTS
    for path, digest in sent.items():
        assert hashlib.sha256(get(server, path)).hexdigest() == digest
    for upload in ask(server, "GET", "/api/v1/uploads?state=open&state=finishing&limit=1000").json()["uploads"]:
        assert ask(server, "DELETE", upload["url"]).status == 204
    eventually(lambda: all(row["state"] == "finished" for row in records(server.data)))
    check(server.data)
    assert metrics(server)["tusfleet_offsets_lost_total"] == 0
    assert complaints(server) == []


def _replaced(server: Server, before: list[int], victim: int) -> bool:
    now = workers(server)
    return victim not in now and len(now) == len(before)


def test_a_silent_connection_to_one_worker_lets_go_for_a_request_to_another(server: Server) -> None:
    data = bytes(range(256)) * 4 * KIB
    with ExitStack() as stack:
        first, second, third = wires(server, stack).values()
        path = create(server, MIB)
        first.patch(path, 0, MIB)
        first.send(data[: 100 * KIB])
        eventually(lambda: held(server, path) == 100 * KIB)
        started = time.monotonic()
        second.request("HEAD", path, {"Tus-Resumable": "1.0.0"})
        answer = second.read("HEAD")
        assert (answer.status, answer["upload-offset"]) == (200, str(100 * KIB))
        third.patch(path, 100 * KIB, len(data) - 100 * KIB)
        third.send(data[100 * KIB :])
        assert third.read("PATCH").status == 204
        assert time.monotonic() - started < AT_ONCE
        assert first.read("PATCH").status == 423
    assert get(server, path) == data


def test_an_upload_goes_on_when_the_worker_that_wrote_it_is_killed(server: Server) -> None:
    data = os.urandom(MIB)
    with ExitStack() as stack:
        first, second, _ = wires(server, stack).values()
        path = create(server, MIB)
        first.patch(path, 0, MIB)
        first.send(data[: 200 * KIB])
        eventually(lambda: held(server, path) == 200 * KIB)
        os.kill(served_by(server, first), signal.SIGKILL)
        started = time.monotonic()
        second.request("HEAD", path, {"Tus-Resumable": "1.0.0"})
        at = int(second.read("HEAD")["upload-offset"])
        assert at <= 200 * KIB
        second.patch(path, at, MIB - at)
        second.send(data[at:])
        assert second.read("PATCH").status == 204
        assert time.monotonic() - started < AT_ONCE, "the lease of a dead worker was not free"
    assert get(server, path) == data


def test_writers_at_the_same_offset_never_mix_over_workers(server: Server) -> None:
    for _ in range(5):
        with ExitStack() as stack:
            connections = [*wires(server, stack).values()]
            path = create(server, MIB)
            for number, wire in enumerate(connections, 1):
                wire.patch(path, 0, 300 * KIB)
                wire.offer(bytes([number]) * 300 * KIB)
            statuses = [wire.read("PATCH").status for wire in connections]
        assert set(statuses) <= {204, 409, 423}
        assert statuses.count(204) <= 1
        at = offset(server, path)
        assert 0 < at <= 300 * KIB
        assert patch(server, path, at, bytes(MIB - at)).status == 204
        content = get(server, path)
        assert content[:at] == content[:1] * at, "bytes of several requests stand side by side"


def test_every_worker_tells_the_metrics_of_all_and_nothing_falls_when_one_dies(server: Server) -> None:
    with ExitStack() as stack:
        connections = wires(server, stack)
        for number, wire in enumerate(connections.values(), 1):
            for _ in range(number):
                wire.request("POST", server.path, {"Tus-Resumable": "1.0.0", "Upload-Length": "10"})
                assert wire.read("POST").status == 201
        expected = WORKERS * (WORKERS + 1) // 2
        for wire in connections.values():
            wire.request("GET", "/metrics", {})
            page = wire.read("GET").body.decode().splitlines()
            assert f'tusfleet_http_requests_total{{method="POST",status="201"}} {expected}.0' in page
            assert f'tusfleet_uploads_total{{event="created"}} {expected}.0' in page
            assert f"tusfleet_uploads_open {expected}.0" in page, "a gauge of the whole server was added up"
            assert len([line for line in page if line.startswith("# TYPE")]) == len(
                {line for line in page if line.startswith("# TYPE")}
            )
        victim = next(iter(connections))
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: victim not in workers(server) and len(workers(server)) == WORKERS, BACK_SECONDS)
    eventually(lambda: ready(server), BACK_SECONDS)
    create(server, 10)
    assert metrics(server)['tusfleet_uploads_total{event="created"}'] == expected + 1


def test_a_worker_that_is_away_is_told_by_readiness_and_gets_no_connections(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "2") as server:
        assert ready(server)
        first, victim = workers(server)
        # It dies again and again, and the pause before its next start grows.
        for pause in ("0", "0.5", "1", "2"):
            os.kill(victim, signal.SIGKILL)
            eventually(lambda pause=pause: f"it is started again in {pause} s" in server.log())  # type: ignore[misc]
            if pause != "2":
                victim = eventually(lambda: next((pid for pid in workers(server) if pid != first), None))
        started = time.monotonic()
        for _ in range(20):
            answer = ask(server, "GET", "/readyz")
            assert answer.status == 503
            assert answer.json()["reason"] == "1 of 2 workers are up"
        assert time.monotonic() - started < 2, "a connection waited for the worker that is away"
        eventually(lambda: ready(server), BACK_SECONDS)
        with ExitStack() as stack:
            assert len(wires(server, stack, 2)) == 2, "the worker that is back gets no connections"


def test_a_worker_that_is_asked_to_end_twice_is_drained_and_replaced(server: Server) -> None:
    with ExitStack() as stack:
        first, *_ = wires(server, stack).values()
        path = create(server, MIB)
        first.patch(path, 0, MIB)
        first.send(bytes(100 * KIB))
        eventually(lambda: held(server, path) == 100 * KIB)
        victim = served_by(server, first)
        for _ in range(2):
            os.kill(victim, signal.SIGTERM)
        assert first.read("PATCH").status == 503
        eventually(lambda: victim not in workers(server) and len(workers(server)) == WORKERS, BACK_SECONDS)
    assert offset(server, path) == 100 * KIB


def test_a_killed_supervisor_leaves_no_worker_and_another_server_takes_over(server: Server) -> None:
    path = create(server, MIB)
    with Wire(server) as wire:
        wire.patch(path, 0, MIB)
        wire.send(bytes(100 * KIB))
        eventually(lambda: held(server, path) == 100 * KIB)
        left = workers(server)
        assert len(left) == WORKERS
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        server.start()
        assert all(gone(pid) for pid in left)
        at = offset(server, path)
        assert patch(server, path, at, bytes(MIB - at)).status == 204


def test_uploads_to_all_workers_are_flushed_by_a_drain(server: Server) -> None:
    with ExitStack() as stack:
        running = []
        for number, wire in enumerate(wires(server, stack).values()):
            path = create(server, MIB)
            wire.patch(path, 0, MIB)
            wire.send(bytes(100 * KIB + number))
            running.append((path, 100 * KIB + number, wire))
        for path, sent, _ in running:
            eventually(lambda path=path, sent=sent: held(server, path) == sent)  # type: ignore[misc]
        left = workers(server)
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        for _, _, wire in running:
            answer = wire.read("PATCH")
            assert answer.status == 503
            assert wire.ended()
        assert server.process.wait(20) == 0
        assert time.monotonic() - started < 10
        assert all(gone(pid) for pid in left)
        server.start()
        for path, sent, _ in running:
            assert offset(server, path) == sent


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "2", "--drain-grace", "60s") as server, Wire(server) as wire:
        path = create(server, 64 * MIB, body=bytes(64 * MIB))
        wire.request("GET", path, {})
        left = workers(server)
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: "Shutting down" in server.log())
        assert server.process.poll() is None
        started = time.monotonic()
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(10) == 1
        assert time.monotonic() - started < 5
        assert all(gone(pid) for pid in left)
        server.start()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--key-template", "{nope"), "key_template"),
        (("--auth-tokens-file", "/nowhere/tokens"), "auth_tokens_file"),
        (("--host", "192.0.2.1"), "192.0.2.1"),
    ],
)
def test_what_keeps_the_workers_from_starting_is_told_once(tmp_path: Path, flags: tuple[str, ...], told: str) -> None:
    line = refused(tmp_path / "data", *flags)
    assert told in line


def test_a_second_server_is_refused_its_folder_and_its_port(tmp_path: Path) -> None:
    with serving(tmp_path / "first", "--workers", "2") as server:
        assert "another server" in refused(server.data)
        assert "cannot be used" in refused(tmp_path / "other", "--port", str(server.port))
        assert ready(server)


def refused(data: Path, *flags: str) -> str:
    """Start a server of several workers that must not start; gives the line that it ends with."""
    command = ["serve", "--port", "0", "--data-dir", str(data), "--workers", "3", *flags]
    done = subprocess.run(
        [sys.executable, "-c", "from tusfleet.cli.main import main; main()", *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode > 0, done
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]
    assert len(lines) == 1, done
    assert "Traceback" not in done.stderr
    return lines[0]


def test_listening_is_told_once(server: Server) -> None:
    lines = [line for line in server.lines() if str(line.get("message", "")).startswith("listening on ")]
    assert len(lines) == 1, json.dumps(lines)
