"""The server inside of other programs: the example as its docstring says, and a program that writes everything down."""

from __future__ import annotations

import base64
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from tests.integration.embedded import Embedded, embedding
from tests.servers import eventually

TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}
ADA, BEN = ({"Authorization": f"Bearer demo-token-of-{name}"} for name in ("ada", "ben"))
KIB = 1024


def metadata(**values: str) -> dict[str, str]:
    pairs = (f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())
    return {"Upload-Metadata": ",".join(pairs)}


def ask(method: str, url: str, headers: Mapping[str, str], content: bytes | None = None) -> httpx.Response:
    return httpx.request(method, url, headers={**TUS, **headers}, content=content, timeout=30)


def create(url: str, length: int, headers: Mapping[str, str], content: bytes | None = None) -> httpx.Response:
    kind = BYTES if content is not None else {}
    return ask("POST", url, {"Upload-Length": str(length), **kind, **headers}, content)


# The example.


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    folder = tmp_path_factory.mktemp("example")
    environment = {"PHOTOS_DIR": str(folder / "photos")}
    with embedding(folder, "examples.embedded:app", "/files/", environment) as server:
        yield server


def photos(server: Embedded) -> Any:
    return httpx.get(f"{server.origin}/photos", timeout=30).json()


def upload(server: Embedded, token: str, file: Path) -> subprocess.CompletedProcess[str]:
    """The line of the docstring, with the address that the program has here."""
    tusfleet = Path(sys.executable).with_name("tusfleet")
    return subprocess.run(
        [str(tusfleet), "upload", "--url", server.url, "--token", token, str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_example_stores_a_row_for_a_photo(example: Embedded, tmp_path: Path) -> None:
    photo = tmp_path / "me.jpg"
    photo.write_bytes(Random(1).randbytes(300_000))
    done = upload(example, "demo-token-of-ada", photo)
    assert done.returncode == 0, done
    row = {"owner": "ada", "name": "me.jpg", "bytes": 300_000}
    rows = eventually(lambda: [id for id, found in photos(example).items() if found == row])
    assert len(rows) == 1
    answer = ask("GET", f"{example.url}{rows[0]}", ADA)
    assert answer.content == photo.read_bytes()


def test_the_example_refuses_who_is_not_known(example: Embedded, tmp_path: Path) -> None:
    photo = tmp_path / "stranger.png"
    photo.write_bytes(b"x")
    done = upload(example, "demo-token-of-nobody", photo)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    for headers in ({}, {"Authorization": "Bearer x"}):
        for method in ("POST", "HEAD", "PATCH", "DELETE", "GET"):
            url = example.url if method == "POST" else f"{example.url}{'0' * 32}"
            fields = {**BYTES, "Upload-Length": "1", "Upload-Offset": "0", **headers}
            if method == "PATCH":
                del fields["Upload-Length"]
            answer = ask(method, url, fields, b"x" if method in ("POST", "PATCH") else None)
            assert answer.status_code == 401, (method, answer.text)
    assert all(row["name"] != "stranger.png" for row in photos(example).values())


def test_the_example_takes_pictures_only(example: Embedded, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("no picture", encoding="utf-8")
    done = upload(example, "demo-token-of-ada", note)
    assert done.returncode != 0
    assert "pictures only" in done.stderr
    answer = create(example.url, 5, {**ADA, **metadata(filename="n.txt", filetype="text/plain")}, b"hello")
    assert answer.status_code == 403
    assert "pictures only" in answer.json()["detail"]
    assert "location" not in answer.headers


def test_the_example_shows_everybody_his_own(example: Embedded) -> None:
    created = create(example.url, 2 * KIB, {**ADA, **metadata(filename="a.png", filetype="image/png")}, b"a" * KIB)
    assert created.status_code == 201
    url = created.headers["location"]
    assert url.startswith(example.url)
    at = {**BYTES, **BEN, "Upload-Offset": str(KIB)}
    for answer in (
        ask("HEAD", url, BEN),
        ask("PATCH", url, at, b"b" * KIB),
        ask("GET", url, BEN),
        ask("DELETE", url, BEN),
    ):
        assert answer.status_code == 404
    assert ask("HEAD", url, ADA).headers["upload-offset"] == str(KIB)
    assert ask("PATCH", url, {**at, **ADA}, b"a" * KIB).status_code == 204
    assert ask("GET", url, ADA).content == b"a" * 2 * KIB
    assert ask("GET", url, BEN).status_code == 404


# A program that writes down what it is told.

USER = {"X-User": "zoe"}

MOUNTED = ("tests.integration.programs.recorder:app", "/inner/files/")
BARE = ("tests.integration.programs.recorder:bare", "/")


@pytest.fixture(params=["synchronous", "asynchronous"])
def recorder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Embedded]:
    environment = {"RECORDER_FOLDER": str(tmp_path), "RECORDER_ASYNC": "1" if request.param == "asynchronous" else "0"}
    with embedding(tmp_path, *MOUNTED, environment) as server:
        yield server


def test_functions_of_both_kinds(recorder: Embedded) -> None:
    assert create(recorder.url, 5, {}).status_code == 401
    assert create(recorder.url, 5, {"X-User": "mallory"}).status_code == 403
    refused = create(recorder.url, 5, {**USER, **metadata(filename="forbidden.txt")}, b"hello")
    assert (refused.status_code, refused.json()["detail"]) == (403, "Not this file")
    defect = create(recorder.url, 5, {**USER, **metadata(filename="defect.txt")}, b"hello")
    assert (defect.status_code, defect.json()["code"]) == (500, "hook_failed")
    assert "ZeroDivision" not in defect.text

    changed = create(recorder.url, 5, {**USER, **metadata(filename="renamed.txt")}, b"hello")
    url = changed.headers["location"]
    assert url.startswith(f"{recorder.url}chosen-")
    shown = ask("HEAD", url, USER).headers["upload-metadata"]
    assert shown == metadata(filename="by the program.txt")["Upload-Metadata"]
    assert ask("DELETE", url, USER).status_code == 204
    done = eventually(lambda: rows if len(rows := recorder.noted("done")) == 2 else None)
    assert [row["type"] for row in done] == ["upload.finished", "upload.terminated"]
    assert {(row["upload"], row["tenant"]) for row in done} == {(url.rpartition("/")[2], "zoe")}
    actions = [row["action"] for row in recorder.noted("asked")]
    assert actions == ["create"] * 5 + ["inspect", "terminate"]


def test_an_event_survives_the_death_of_who_is_told(recorder: Embedded) -> None:
    block = recorder.folder / "block"
    block.touch()
    url = create(recorder.url, 5, USER, b"hello").headers["location"]
    id = url.rpartition("/")[2]
    eventually(lambda: recorder.noted("told"))
    # Finished, and the program is dying over the news: others do not wait for it.
    assert ask("GET", url, USER).content == b"hello"
    assert recorder.noted("done") == []
    recorder.kill()
    block.unlink()
    recorder.start()
    done = eventually(lambda: recorder.noted("done"))
    assert [row["upload"] for row in done] == [id]
    assert {row["event"] for row in recorder.noted("told")} == {done[0]["event"]}, "the same event has the same id"
    # It was confirmed: neither time nor another start brings it again. An end in order, since a death between the
    # return of the function and the confirmation would rightly have it told twice.
    second = create(recorder.url, 5, USER, b"world").headers["location"].rpartition("/")[2]
    eventually(lambda: len(recorder.noted("done")) == 2)
    recorder.terminate()
    recorder.start()
    third = create(recorder.url, 5, USER, b"again").headers["location"].rpartition("/")[2]
    eventually(lambda: len(recorder.noted("done")) >= 3)
    assert [row["upload"] for row in recorder.noted("done")] == [id, second, third]


def test_an_event_is_told_again_until_it_is_taken(recorder: Embedded) -> None:
    fail = recorder.folder / "fail"
    fail.touch()
    assert create(recorder.url, 5, USER, b"hello").status_code == 201
    eventually(lambda: len(recorder.noted("told")) >= 2)
    assert recorder.noted("done") == []
    fail.unlink()
    done = eventually(lambda: recorder.noted("done"), 20)
    assert {row["event"] for row in recorder.noted("told")} == {done[0]["event"]}


def test_a_function_that_takes_its_time_holds_up_nobody(recorder: Embedded) -> None:
    ponder = recorder.folder / "ponder"
    ponder.touch()
    with httpx.Client(timeout=30) as client:
        try:
            # Somebody waits for the authoriser, and the rest of the program answers.
            with pytest.raises(httpx.ReadTimeout):
                client.head(f"{recorder.url}x", headers={**TUS, **USER}, timeout=0.5)
            started = time.monotonic()
            assert client.get(f"{recorder.origin}/openapi.json").status_code == 200
            assert time.monotonic() - started < 1
        finally:
            ponder.unlink()


def test_a_stock_server_is_told_nothing_that_it_cannot_keep(recorder: Embedded) -> None:
    answer = ask("OPTIONS", recorder.url, {})
    extensions = answer.headers["tus-extension"].split(",")
    assert "creation-with-upload" in extensions
    assert "checksum" in extensions
    assert "checksum-trailer" not in extensions, "this server hands trailers to nobody"
    data = Random(5).randbytes(8 * KIB * KIB)
    url = create(recorder.url, len(data), USER).headers["location"]
    at = {**BYTES, **USER, "Upload-Offset": "0"}
    assert ask("PATCH", url, at, data).status_code == 204
    assert ask("GET", url, USER).content == data
    ranged = ask("GET", url, {**USER, "Range": "bytes=1000-1999"})
    assert (ranged.status_code, ranged.content) == (206, data[1000:2000])


def test_the_protocol_class_brings_what_a_stock_server_lacks(tmp_path: Path) -> None:
    flags = ("--http", "tusfleet.gateway.http_protocol:TusfleetHttpProtocol")
    with embedding(tmp_path, *MOUNTED, {"RECORDER_FOLDER": str(tmp_path)}, *flags) as server:
        assert "checksum-trailer" in ask("OPTIONS", server.url, {}).headers["tus-extension"].split(",")
        url = create(server.url, 2 * KIB, USER, b"a" * KIB).headers["location"]
        at = {**BYTES, **USER, "Upload-Offset": str(KIB)}
        assert ask("PATCH", url, at, b"b" * KIB).status_code == 204
        assert ask("GET", url, USER).content == b"a" * KIB + b"b" * KIB


def test_a_mount_ends_with_a_slash(recorder: Embedded) -> None:
    # FastAPI's doing, and why the documentation says so.
    answer = create(recorder.url.rstrip("/"), 5, USER)
    assert (answer.status_code, answer.headers["location"]) == (307, recorder.url)


def test_the_outermost_application_lives_with_its_server(tmp_path: Path) -> None:
    with embedding(tmp_path, *BARE, {"RECORDER_FOLDER": str(tmp_path)}) as server:
        assert "Application startup complete" in server.log()
        created = create(server.url, 10, USER, b"hello")
        assert created.status_code == 201
        url = created.headers["location"]
        assert url.startswith(server.url)
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(30)
        assert "Application shutdown complete" in server.log()
        assert "Traceback" not in server.log()
        server.start()
        assert ask("HEAD", url, USER).headers["upload-offset"] == "5"
        assert ask("PATCH", url, {**BYTES, **USER, "Upload-Offset": "5"}, b"world").status_code == 204
        eventually(lambda: server.noted("done"))
        assert ask("GET", url, USER).content == b"helloworld"


def test_a_program_that_cannot_have_its_folder_does_not_start(tmp_path: Path) -> None:
    with embedding(tmp_path, *BARE, {"RECORDER_FOLDER": str(tmp_path)}) as server:
        second = server.__class__(tmp_path, environment=server.environment)
        second.log_file = tmp_path / "second.log"
        with pytest.raises(AssertionError, match="the program ended"):
            second.start()
        assert "another server uses" in second.log()
        assert create(server.url, 5, USER, b"hello").status_code == 201
