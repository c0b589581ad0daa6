from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.integration.cli.conftest import EAGER, Client, Running, fetched, make_file, received
from tests.servers import Server, eventually, serving

MIB = 2**20
NOTHING = subprocess.DEVNULL
SIZE = 8 * MIB
RATE = "4MiB"
"""Slow enough to be caught in the middle, fast enough for a test."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server for one test, which counts its bytes or kills it."""
    with serving(tmp_path / "server", *EAGER) as running:
        yield running


@contextmanager
def in_the_middle(
    client: Client, server: Server, *arguments: str, stdin: int = subprocess.DEVNULL
) -> Iterator[Running]:
    """An upload of which the server has some, but not all; it is frozen until its result is asked for."""
    with client.running("upload", *arguments, "--rate", RATE, stdin=stdin) as running:
        eventually(lambda: running.ended or received(server) > SIZE // 8, 60)
        running.signal(signal.SIGSTOP)
        assert not running.ended
        yield running


def interrupted(client: Client, server: Server, *arguments: str, number: int = signal.SIGKILL) -> int:
    """End an upload in its middle; returns the bytes that the server has then."""
    with in_the_middle(client, server, *arguments) as running:
        running.signal(number)
        result = running.result()
    assert result.code == (130 if number == signal.SIGINT else -number)
    # A HEAD waits until the cut request has let go, so from then on nothing more is counted.
    for url in saved(client)["urls"]:
        assert httpx.head(url, headers={"Tus-Resumable": "1.0.0"}, trust_env=False).status_code == 200
    had = received(server)
    assert 0 < had < SIZE
    return had


def saved(client: Client) -> dict[str, list[str]]:
    (file,) = (client.states / "uploads").glob("*.json")
    state: dict[str, list[str]] = json.loads(file.read_text())["saved"]
    return state


@pytest.mark.parametrize("options", [(), ("--chunk-size", "512KiB"), ("--parallel", "3")])
def test_after_kill_9_of_the_client_only_the_rest_is_sent(
    options: tuple[str, ...], client: Client, server: Server, tmp_path: Path
) -> None:
    content = make_file(tmp_path, "f", SIZE)
    interrupted(client, server, "f", *options)
    urls = saved(client)["urls"]
    result = client.run("upload", "f", *options)
    assert fetched(result.url) == content
    assert received(server) == SIZE
    assert "f: going on at " in result.err
    assert "--parallel" in options or urls == [result.url]
    assert list((client.states / "uploads").glob("*.json")) == []


def test_ctrl_c_says_how_to_go_on(client: Client, server: Server, tmp_path: Path) -> None:
    content = make_file(tmp_path, "f", SIZE)
    with in_the_middle(client, server, "f") as running:
        running.signal(signal.SIGINT)
        result = running.result()
    assert (result.code, result.out) == (130, "")
    assert result.err.splitlines()[-1] == "Error: Interrupted; run the same command again to go on"
    again = client.run("upload", "f")
    assert "going on at" in again.err
    assert fetched(again.url) == content


def test_ctrl_c_ends_all_parts(client: Client, server: Server, tmp_path: Path) -> None:
    content = make_file(tmp_path, "f", SIZE)
    interrupted(client, server, "f", "--parallel", "4", number=signal.SIGINT)
    assert fetched(client.run("upload", "f", "--parallel", "4").url) == content
    assert received(server) == SIZE


@pytest.mark.parametrize("options", [(), ("--checksum", "sha256", "--chunk-size", "512KiB"), ("--parallel", "3")])
def test_the_client_survives_kill_9_of_the_server(
    options: tuple[str, ...], client: Client, server: Server, tmp_path: Path
) -> None:
    content = make_file(tmp_path, "f", SIZE)
    with in_the_middle(client, server, "f", *options) as running:
        running.signal(signal.SIGCONT)
        server.restart()
        result = running.result()
    assert "trying again in" in result.err
    assert fetched(result.url) == content
    # What was durable before is not sent again.
    assert 0 < received(server) < SIZE


def test_standard_input_survives_kill_9_of_the_server(client: Client, server: Server, tmp_path: Path) -> None:
    content = make_file(tmp_path, "f", SIZE)
    handle = os.open(tmp_path / "f", os.O_RDONLY)
    try:
        with in_the_middle(client, server, "-", "--chunk-size", "1MiB", stdin=handle) as running:
            running.signal(signal.SIGCONT)
            server.restart()
            result = running.result()
    finally:
        os.close(handle)
    assert fetched(result.url) == content


def test_the_client_gives_up_when_the_server_stays_away(client: Client, server: Server, tmp_path: Path) -> None:
    content = make_file(tmp_path, "f", SIZE)
    with in_the_middle(client, server, "f", "--give-up-after", "2s") as running:
        server.kill()
        result = running.result()
    assert result.code == 1
    assert "Error: Gave up after 0:0" in result.err.splitlines()[-1]
    assert "cannot be reached (Connection refused)" in result.err.splitlines()[-1]
    server.start()
    assert fetched(client.run("upload", "f").url) == content


def test_a_file_that_changed_since_is_sent_anew(client: Client, server: Server, tmp_path: Path) -> None:
    make_file(tmp_path, "f", SIZE)
    interrupted(client, server, "f")
    (first,) = saved(client)["urls"]
    content = make_file(tmp_path, "f", SIZE)
    os.utime(tmp_path / "f", ns=(1, 1))
    result = client.run("upload", "f")
    assert result.url != first
    assert "going on" not in result.err
    assert fetched(result.url) == content


@pytest.mark.parametrize("options", [(), ("--parallel", "3")])
def test_an_upload_that_is_gone_is_started_anew(
    options: tuple[str, ...], client: Client, server: Server, tmp_path: Path
) -> None:
    content = make_file(tmp_path, "f", SIZE)
    interrupted(client, server, "f", *options)
    first = saved(client)["urls"][-1]
    assert client.run("terminate", first).code == 0
    result = client.run("upload", "f", *options)
    assert "does not know the upload any more" in result.err
    assert fetched(result.url) == content


def test_two_runs_do_not_fight(client: Client, server: Server, tmp_path: Path) -> None:
    content = make_file(tmp_path, "f", SIZE)
    with in_the_middle(client, server, "f") as running:
        second = client.run("upload", "f")
        assert second.code == 1
        assert second.err == "Error: Another run of tusfleet is busy with this very transfer\n"
        assert fetched(running.result().url) == content
    assert received(server) == SIZE


def test_a_file_that_shrinks_meanwhile_is_never_finished(client: Client, server: Server, tmp_path: Path) -> None:
    make_file(tmp_path, "f", SIZE)
    with in_the_middle(client, server, "f") as running:
        (url,) = saved(client)["urls"]
        os.truncate(tmp_path / "f", MIB)
        result = running.result()
    assert (result.code, result.out) == (1, "")
    last = result.err.splitlines()[-1]
    assert last == f"Error: f shrank from {SIZE} to {MIB} bytes while it was being sent"
    assert list((client.states / "uploads").glob("*.json")) == []
    assert httpx.head(url, headers={"Tus-Resumable": "1.0.0"}, trust_env=False).status_code in {404, 410}


def test_a_file_that_changes_meanwhile_keeps_nothing_back_but_itself(
    client: Client, server: Server, tmp_path: Path
) -> None:
    make_file(tmp_path, "f", SIZE)
    make_file(tmp_path, "g", 10)
    with in_the_middle(client, server, "f", "g") as running:
        with (tmp_path / "f").open("ab") as file:
            file.write(b"more")
        result = running.result()
    assert result.code == 1
    assert len(result.out.splitlines()) == 1
    assert "Error: f: f changed while it was being sent; run the command again" in result.err
    assert result.err.splitlines()[-1] == "Error: 1 of 2 files could not be sent"
