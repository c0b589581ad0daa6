"""Foreign servers are ended for certain, whatever happens to them or to the tests."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.testbed.leftovers import nothing_left
from tests.integration.testbed.programs import failing_server, small_server
from tests.testbed import processes
from tests.testbed.ports import reserved_port
from tests.testbed.processes import accepts, group_is_gone, running

ROOT = Path(__file__).parents[3]

KILLED_TESTS = """
import sys, time
from pathlib import Path
from tests.integration.testbed.programs import small_server
from tests.testbed.processes import running

program = small_server(Path(sys.argv[1]), int(sys.argv[2]))
with running(program):
    print(program.pid, flush=True)
    time.sleep(600)
"""


def test_server_ends_with_its_children(tmp_path: Path) -> None:
    with nothing_left() as groups, reserved_port() as port:
        program = small_server(tmp_path, port)
        with running(program):
            groups.append(program.pid)
            assert accepts(port)
        assert not accepts(port)


def test_stubborn_server_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.1)
    with nothing_left() as groups, reserved_port() as port:
        program = small_server(tmp_path, port, stubborn=True)
        with running(program):
            groups.append(program.pid)


def test_server_comes_back_on_its_port_after_a_kill(tmp_path: Path) -> None:
    with nothing_left() as groups, reserved_port() as port:
        program = small_server(tmp_path, port)
        with running(program):
            groups.append(program.pid)
            program.kill()
            assert group_is_gone(groups[0])
            assert not accepts(port)
            program.start()
            groups.append(program.pid)
            assert accepts(port)


def test_failed_start_tells_what_the_server_said_and_ends_the_others(tmp_path: Path) -> None:
    with nothing_left() as groups, reserved_port() as port:
        small, failing = small_server(tmp_path, port), failing_server(tmp_path)
        small.start()
        groups.append(small.pid)
        small.kill()
        with pytest.raises(AssertionError, match="no such setting"), running(small, failing):
            pytest.fail("it cannot have started")


def test_servers_end_when_the_tests_are_killed(tmp_path: Path) -> None:
    with reserved_port() as port:
        tests = subprocess.Popen(
            [sys.executable, "-c", KILLED_TESTS, str(tmp_path), str(port)], cwd=ROOT, stdout=subprocess.PIPE
        )
        try:
            assert tests.stdout is not None
            server = int(tests.stdout.readline())
        finally:
            tests.send_signal(signal.SIGKILL)
            tests.communicate()
        assert group_is_gone(server)


def test_ports_are_kept_from_others() -> None:
    with reserved_port() as first, reserved_port() as second:
        assert first != second
