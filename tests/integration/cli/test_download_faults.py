from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Client
from tests.integration.cli.faulty import CUT, Fault, faulty_server

ClientOf = Callable[[str], Client]

CONTENT = b"0123456789"


def whole(tag: str = '"a"', *, cut_at: int = 10) -> Fault:
    """All bytes are promised, and `cut_at` of them sent."""
    return Fault("GET", 200, {"ETag": tag, "Content-Length": "10"}, CONTENT[:cut_at])


def rest(start: int, tag: str = '"a"') -> Fault:
    return Fault("GET", 206, {"ETag": tag, "Content-Range": f"bytes {start}-9/10"}, CONTENT[start:])


@pytest.mark.parametrize("output", ["-", "f"])
def test_a_cut_download_goes_on_where_it_was(output: str, client_of: ClientOf, tmp_path: Path) -> None:
    with faulty_server(Fault("GET", 503), whole(cut_at=4), Fault("GET", CUT), rest(4)) as server:
        result = client_of(server.url).run("download", server.url + "1", "-o", output)
        assert result.code == 0
        assert (result.out.encode() if output == "-" else (tmp_path / "f").read_bytes()) == CONTENT
        _, _, third, fourth = (headers for _, headers in server.asked)
    for headers in (third, fourth):
        assert (headers["Range"], headers["If-Range"]) == ("bytes=4-", '"a"')


@pytest.mark.parametrize("second", [whole('"b"'), rest(4, '"b"')])
def test_versions_are_never_mixed_on_standard_output(second: Fault, client_of: ClientOf) -> None:
    with faulty_server(whole(cut_at=4), second) as server:
        result = client_of(server.url).run("download", server.url + "1", "-o", "-")
    assert (result.code, result.out) == (1, "0123")
    assert "start again" in result.err.splitlines()[-1]


def test_a_file_of_another_version_is_written_anew(client_of: ClientOf, tmp_path: Path) -> None:
    with faulty_server(whole('"b"', cut_at=4), whole('W/"c"', cut_at=6), whole()) as server:
        assert client_of(server.url).run("download", server.url + "1", "-o", "f").code == 0
        assert (tmp_path / "f").read_bytes() == CONTENT
        # A weak tag promises nothing, so nothing is built upon it.
        assert "Range" not in server.asked[2][1]


@pytest.mark.parametrize(
    ("faults", "sentence"),
    [
        ([Fault("GET", 401)], "does not give {url} out without the right credentials"),
        ([Fault("GET", 405)], "The server does not give uploads out"),
        ([Fault("GET", 410)], "There is nothing to download at {url}"),
        ([Fault("GET", 406)], "The server refused the download with 406"),
        ([whole(cut_at=4), rest(5)], "answered with another range than was asked for"),
        ([whole(cut_at=4), Fault("GET", 416)], "answered with another range than was asked for"),
    ],
)
def test_what_cannot_be_got_over_ends_with_a_sentence(
    faults: list[Fault], sentence: str, client_of: ClientOf, tmp_path: Path
) -> None:
    with faulty_server(*faults) as server:
        result = client_of(server.url).run("download", server.url + "1", "-o", "f")
        assert (result.code, result.out) == (1, "")
        assert sentence.format(url=server.url + "1") in result.err.splitlines()[-1]
    assert not (tmp_path / "f").exists()


def test_it_gives_up_when_the_server_stays_away(client_of: ClientOf) -> None:
    with faulty_server(*[Fault("GET", 500)] * 9) as server:
        result = client_of(server.url).run("download", server.url + "1", "--retries", "1")
    assert result.err.splitlines()[-1] == "Error: Gave up after 2 tries: the server answered 500"
