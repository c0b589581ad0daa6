"""The image as the test bed runs it for the conformance tests: confined, and killed, ended and read as any server."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import START_SECONDS, eventually
from tests.testbed import redis
from tests.testbed.containers import CONTAINED, services_image
from tests.testbed.fixtures import need_redis
from tests.testbed.gateways import Fleet, fleet, on_disk

KILLED = 128 + signal.SIGKILL
"""How runc tells that what it ran was killed."""


@pytest.fixture
def contained(tmp_path: Path) -> Iterator[Fleet]:
    """A fleet of the image on a folder."""
    need_redis()
    folder = tmp_path / "fleet"
    with (
        redis.standalone_topology(tmp_path / "redis") as keys,
        fleet(folder, on_disk(keys, folder / "data"), kinds=CONTAINED) as found,
    ):
        yield found


def told(pid: int) -> dict[str, list[str]]:
    """What the kernel says of a process."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}


def containers() -> list[str]:
    state = str(services_image().state)
    listed = subprocess.run(["runc", "--root", state, "list", "--format", "json"], capture_output=True, check=True)
    return [one["id"] for one in json.loads(listed.stdout) or []]


def test_every_process_is_that_of_the_image_without_any_right(contained: Fleet) -> None:
    processes = [one.process.pid for one in (*contained.gateways, *contained.janitors)]
    assert len(containers()) == len(processes) == 3
    for pid in processes:
        status = told(pid)
        assert status["Uid"] == status["Gid"] == ["65532"] * 4
        assert status["NSpid"][-1] == "1"
        assert {int(status[kind][0], 16) for kind in ("CapEff", "CapPrm", "CapBnd")} == {0}
        assert status["NoNewPrivs"] == ["1"]
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        assert b"/opt/tusfleet/bin/tusfleet" in command
        mounts = Path(f"/proc/{pid}/mountinfo").read_text(encoding="utf-8").splitlines()
        (root,) = (line.split() for line in mounts if line.split()[4] == "/")
        assert "ro" in root[5].split(",")


def test_it_is_killed_comes_back_on_its_port_and_ends_when_asked_to(contained: Fleet) -> None:
    gateway = contained.gateways[0]
    port, process = gateway.port, gateway.process
    gateway.kill()
    assert process.poll() == KILLED
    assert not Path(f"/proc/{process.pid}").exists()
    gateway.start()
    assert gateway.port == port
    assert "listening on " in gateway.log()
    assert gateway.terminate() == 0
    eventually(lambda: len(containers()) == 2, START_SECONDS)
    gateway.start()


def test_a_start_that_fails_is_told_with_what_was_written(contained: Fleet, tmp_path: Path) -> None:
    broken = CONTAINED.gateway(tmp_path / "broken" / "gateway", "--no-such-flag")
    broken.folder.mkdir(parents=True)
    with pytest.raises(AssertionError, match="no-such-flag"):
        broken.start()
