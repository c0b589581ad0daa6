from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tests.integration.cli.conftest import Client, make_file
from tests.servers import Server, serving
from tusfleet.cli import managing


def create(server: Server, times: int = 1, **fields: str) -> list[str]:
    headers = {"Tus-Resumable": "1.0.0", **{name.replace("_", "-"): value for name, value in fields.items()}}
    with httpx.Client(headers=headers, trust_env=False) as http:
        answers = [http.post(server.url) for _ in range(times)]
    assert {answer.status_code for answer in answers} == {201}
    return [answer.headers["Location"] for answer in answers]


def test_info_shows_where_an_upload_stands(client: Client, server: Server) -> None:
    (url,) = create(server, Upload_Length="2048", Upload_Metadata="filename YRtbMko=,flag")
    result = client.run("info", url)
    assert (result.code, result.err) == (0, "")
    rows = {line[:17].strip(): line[19:] for line in result.out.splitlines()}
    assert rows["url"] == url
    assert rows["offset"] == "0 bytes (0 B)"
    assert rows["length"] == "2048 bytes (2.0 KiB)"
    assert rows["done"] == "0%"
    assert rows["expires"] == "never"
    assert rows["metadata filename"] == "a\N{REPLACEMENT CHARACTER}[2J"


def test_info_as_json(client: Client, server: Server) -> None:
    (url,) = create(server, Upload_Defer_Length="1")
    assert json.loads(client.run("info", url, "--json").out) == {
        "url": url, "offset": 0, "length": None, "complete": False, "expires": None, "concat": None, "metadata": {},
    }  # fmt: skip
    (part,) = create(server, Upload_Length="0", Upload_Concat="partial")
    (final,) = create(server, Upload_Concat=f"final;{part}")
    found = json.loads(client.run("info", final, "--json").out)
    assert (found["complete"], found["concat"]) == (True, f"final;{part}")


def test_info_of_nothing(client: Client, server: Server) -> None:
    result = client.run("info", f"{server.url}/absent")
    assert (result.code, result.out) == (1, "")
    assert result.err == f"Error: There is no upload at {server.url}/absent\n"


def test_terminate_removes_uploads_and_names_what_it_could_not(client: Client, server: Server) -> None:
    first, second = create(server, 2, Upload_Length="3")
    assert client.run("terminate", first).code == 0
    result = client.run("terminate", first, second)
    assert result.code == 1
    assert f"Error: There is no upload at {first}" in result.err
    assert f"Removed {second}" in result.err
    assert result.err.endswith("Error: 1 of 2 uploads could not be removed\n")
    for url in (first, second):
        response = httpx.head(url, headers={"Tus-Resumable": "1.0.0"}, trust_env=False)
        assert response.status_code in {404, 410}


def test_ls_lists_page_by_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(tmp_path / "server", "--durability", "relaxed") as server:
        client = Client(tmp_path, server.url + "/")
        assert client.run("ls").out.split() == ["ID", "STATE", "DONE", "SIZE", "CREATED", "EXPIRES", "NAME"]
        make_file(tmp_path, "done.bin", 2048)
        finished = client.run("upload", "done.bin").url.rpartition("/")[2]
        urls = create(server, managing.PAGE + 5, Upload_Length="10")
        ids = {url.rpartition("/")[2] for url in urls} | {finished}
        lines = client.run("ls").out.splitlines()
        assert {line.split()[0] for line in lines[1:]} == ids
        assert len(lines) == len(ids) + 1
        (line,) = (line.split() for line in lines if line.startswith(finished))
        assert line[1:5] == ["finished", "100%", "2.0", "KiB"]
        assert line[-1] == "done.bin"
        found = json.loads(client.run("ls", "--json", "--state", "finished").out)
        assert [(item["id"], item["length"], item["metadata"]["filename"]) for item in found] == [
            (finished, 2048, "done.bin")
        ]
        assert len(json.loads(client.run("ls", "--json", "--limit", "103").out)) == 103
        assert len(json.loads(client.run("ls", "--json", "--state", "finished", "--state", "open").out)) == len(ids)


def test_ls_of_something_else(client: Client, server: Server) -> None:
    nobody = client.run("ls", "--url", "http://127.0.0.1:1/files/")
    assert nobody.code == 1
    assert nobody.err == "Error: 127.0.0.1:1 cannot be reached (Connection refused)\n"
    assert client.run("ls", "--state", "lost").code == 2
