from __future__ import annotations

import signal
from pathlib import Path

import httpx
import pytest

from tests.integration.cli.conftest import Client, Running, make_file
from tests.servers import Server, eventually
from tusfleet.cli.downloading import safe_name

MIB = 2**20
SIZE = 6 * MIB


def upload(client: Client, name: str, size: int = SIZE, *options: str) -> tuple[str, bytes]:
    content = make_file(client.folder, name, size)
    return client.run("upload", name, *options).url, content


def sent(server: Server) -> int:
    text = httpx.get(f"{server.origin}/metrics", trust_env=False).text
    return next(
        int(float(line.split()[1])) for line in text.splitlines() if line.startswith("tusfleet_bytes_sent_total")
    )


def partial(client: Client, part: Path, running: Running) -> int:
    """Kill a download in its middle; returns the bytes that are there."""
    eventually(lambda: running.ended or (part.exists() and part.stat().st_size > MIB), 60)
    running.signal(signal.SIGKILL)
    assert running.result().code == -signal.SIGKILL
    size = part.stat().st_size
    assert MIB < size < SIZE
    return size


@pytest.fixture
def elsewhere(client: Client, tmp_path: Path) -> Client:
    """The program in another folder, where nothing is in the way."""
    (tmp_path / "elsewhere").mkdir()
    return Client(tmp_path / "elsewhere", "http://127.0.0.1:1/unused/")


def test_the_name_is_that_of_the_server(client: Client, elsewhere: Client) -> None:
    url, content = upload(client, "Größe 1.bin")
    result = elsewhere.run("download", url)
    assert (result.code, result.out) == (0, "Größe 1.bin\n")
    assert (elsewhere.folder / "Größe 1.bin").read_bytes() == content
    assert [file.name for file in elsewhere.folder.iterdir() if file.is_file()] == ["Größe 1.bin"]
    again = elsewhere.run("download", url)
    assert again.code == 1
    assert again.err == "Error: Größe 1.bin is there already; name another file with -o\n"


def test_a_name_is_never_a_path(client: Client, elsewhere: Client) -> None:
    url, content = upload(client, "f", 10, "--metadata", "filename=../../evil")
    result = elsewhere.run("download", url)
    name = result.out.strip()
    assert "/" not in name
    assert (elsewhere.folder / name).read_bytes() == content


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="a b.txt"', "a b.txt"),
        ("attachment; filename=\"x\"; filename*=UTF-8''%C3%A9%20.txt", "é .txt"),
        ('attachment; filename="/etc/passwd"', "passwd"),
        ('attachment; filename="C:\\\\Users\\\\me\\\\f.doc"', "f.doc"),
        ("attachment; filename*=UTF-8''..%2F..%2Fevil", "evil"),
        ('attachment; filename="..."', "id-1"),
        ('attachment; filename=".bashrc"', "bashrc"),
        ("attachment; filename*=UTF-8''a%1b%0ab", "a__b"),
        ("inline", "id-1"),
        (None, "id-1"),
    ],
)
def test_names_are_made_safe(disposition: str | None, name: str) -> None:
    assert safe_name(disposition, "http://h/files/id-1") == name


def test_a_name_is_not_longer_than_file_systems_take() -> None:
    assert len(safe_name('attachment; filename="' + "é" * 500 + '"', "http://h/f").encode()) <= 200
    assert safe_name(None, "http://h/") == "download"


@pytest.mark.parametrize("output", [(), ("-o", "there.bin")])
def test_after_kill_9_only_the_rest_is_fetched(
    output: tuple[str, ...], client: Client, elsewhere: Client, server: Server
) -> None:
    url, content = upload(client, "f.bin")
    target = elsewhere.folder / (output[1] if output else "f.bin")
    part = target.with_name(target.name + ".part")
    with elsewhere.running("download", url, *output, "--rate", "3MiB") as running:
        had = partial(elsewhere, part, running)
    before = sent(server)
    result = elsewhere.run("download", url, *output)
    assert result.code == 0
    assert target.read_bytes() == content
    assert "going on at" in result.err
    assert not part.exists()
    assert sent(server) - before == SIZE - had


def test_a_part_of_another_version_is_not_used(client: Client, elsewhere: Client, server: Server) -> None:
    url, content = upload(client, "f.bin")
    part = elsewhere.folder / "o.part"
    with elsewhere.running("download", url, "-o", "o", "--rate", "3MiB") as running:
        partial(elsewhere, part, running)
    (state,) = (elsewhere.states / "downloads").glob("*.json")
    text = state.read_text()
    identifier = url.rpartition("/")[2]
    assert f'\\"{identifier}' in text
    # As if the bytes behind the address had been others then.
    state.write_text(text.replace(f'\\"{identifier}', '\\"other'))
    result = elsewhere.run("download", url, "-o", "o")
    assert "going on" not in result.err
    assert (elsewhere.folder / "o").read_bytes() == content


def test_a_complete_part_is_only_renamed(client: Client, elsewhere: Client, server: Server) -> None:
    url, content = upload(client, "f.bin")
    part = elsewhere.folder / "o.part"
    with elsewhere.running("download", url, "-o", "o", "--rate", "3MiB") as running:
        partial(elsewhere, part, running)
    part.write_bytes(content)
    before = sent(server)
    result = elsewhere.run("download", url, "-o", "o")
    assert result.code == 0
    assert "trying again" not in result.err
    assert sent(server) == before
    assert (elsewhere.folder / "o").read_bytes() == content


def test_the_download_survives_kill_9_of_the_server(client: Client, elsewhere: Client, server: Server) -> None:
    url, content = upload(client, "f.bin")
    part = elsewhere.folder / "o.part"
    with elsewhere.running("download", url, "-o", "o", "--rate", "3MiB") as running:
        eventually(lambda: running.ended or (part.exists() and part.stat().st_size > MIB), 60)
        server.restart()
        result = running.result()
    assert result.code == 0
    assert (elsewhere.folder / "o").read_bytes() == content


def test_standard_output(client: Client, elsewhere: Client) -> None:
    url, _ = upload(client, "f", 0)
    assert elsewhere.run("download", url, "-o", "-").out == ""
    (client.folder / "t").write_text("hello\n")
    result = elsewhere.run("download", client.run("upload", "t").url, "-o", "-")
    assert (result.code, result.out) == (0, "hello\n")
    assert list(elsewhere.folder.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here, which takes no byte")
def test_a_standard_output_that_takes_nothing_is_told_in_a_sentence(client: Client, elsewhere: Client) -> None:
    for size in (10, 100_000):
        url, _ = upload(client, "f", size)
        with open("/dev/full", "wb") as full:
            result = elsewhere.run("download", url, "-o", "-", "--quiet", stdout=full)
        assert result.code == 1
        assert result.err == "Error: Standard output cannot be written: No space left on device\n"


def test_what_cannot_be_downloaded(client: Client, elsewhere: Client, server: Server) -> None:
    absent = elsewhere.run("download", f"{server.url}/absent")
    assert absent.code == 1
    assert absent.err.startswith(f"Error: There is nothing to download at {server.url}/absent")
    url, _ = upload(client, "f", 10)
    folder = elsewhere.run("download", url, "-o", ".")
    assert (folder.code, folder.err) == (1, "Error: . is a folder; name a file\n")
    unwritable = elsewhere.run("download", url, "-o", "no/such/file")
    assert unwritable.code == 1
    assert "no/such/file.part cannot be written: No such file or directory" in unwritable.err
