from __future__ import annotations

import socket
from pathlib import Path

from tests.integration.cli.conftest import Client, fetched, make_file
from tests.servers import serving

UNUSED = "http://127.0.0.1:1/files/"
TOKEN = "open-sesame-0123456789"


def test_limits_of_the_server_are_told(tmp_path: Path) -> None:
    with serving(tmp_path / "server", "--max-size", "1MiB") as server:
        client = Client(tmp_path, server.url + "/")
        make_file(tmp_path, "big", 2**20 + 1)
        content = make_file(tmp_path, "fits", 2**20)
        result = client.run("upload", "big", "fits", "--quiet")
        assert result.code == 1
        assert "Error: big: The server takes no upload of this size; its limit is 1.0 MiB (1048576 bytes)" in result.err
        assert fetched(result.out.strip()) == content
        stream = client.run("upload", "-", input=b"x" * (2**20 + 1))
        assert stream.code == 1
        assert "its limit is 1.0 MiB (1048576 bytes)" in stream.err


def test_a_full_store_is_told(tmp_path: Path) -> None:
    with serving(tmp_path / "server", "--max-store-size", "1MiB") as server:
        make_file(tmp_path, "big", 2**20 + 1)
        result = Client(tmp_path, server.url + "/").run("upload", "big")
        assert (result.code, result.out) == (1, "")
        assert "The server has no room for it" in result.err


def test_tokens_open_every_command(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{TOKEN} name=me admin\n")
    with serving(tmp_path / "server", "--auth-tokens-file", str(tokens)) as server:
        client = Client(tmp_path, server.url + "/")
        content = make_file(tmp_path, "f", 1000)
        with_token = {"TUSFLEET_TOKEN": TOKEN}
        url = client.run("upload", "f", environment=with_token).url
        for arguments in (("upload", "f"), ("info", url), ("ls",), ("download", url, "-o", "g"), ("terminate", url)):
            refused = client.run(*arguments)
            assert (refused.code, refused.out) == (1, ""), arguments
            assert "credentials" in refused.err
            assert client.run(*arguments, environment=with_token).code == 0, arguments
        assert (tmp_path / "g").read_bytes() == content


def test_what_keeps_the_server_from_starting_is_one_line(tmp_path: Path) -> None:
    client = Client(tmp_path, UNUSED)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = client.run("serve", "--port", port, "--data-dir", str(tmp_path / "data"))
    assert result.code == 2
    assert f"Error: port: 127.0.0.1:{port} cannot be used: Address already in use" in result.err.splitlines()
    (tmp_path / "file").write_text("")
    blocked = client.run("serve", "--port", "0", "--data-dir", str(tmp_path / "file" / "data"))
    assert blocked.code in {1, 2}
    assert sum(line.startswith("Error: ") for line in blocked.err.splitlines()) == 1


def test_sigterm_ends_it_with_0(tmp_path: Path) -> None:
    with serving(tmp_path / "server") as server:
        assert server.terminate() == 0
