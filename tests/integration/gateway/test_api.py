"""The API beside the uploads, on a real server."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers import Server, eventually, serving

TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}
TOKENS = """\
# who may do what
token-of-the-admin name=root
token-of-tenant-one name=ada tenant=one
token-of-tenant-two name=ben tenant=two
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("api")) as server:
        yield server


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("guarded")
    tokens = folder / "tokens"
    tokens.write_text(TOKENS)
    with serving(folder, "--auth-tokens-file", str(tokens)) as server:
        yield server


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=30) as client:
        yield client


def created(http: httpx.Client, server: Server, data: bytes, length: int, **headers: str) -> str:
    """A new upload of `length` bytes with the first ones; gives its id."""
    answer = http.post(server.url, content=data, headers={**BYTES, "Upload-Length": str(length), **headers})
    assert answer.status_code == 201, answer.text
    return answer.headers["location"].rpartition("/")[2]


def api(server: Server, id: str = "") -> str:
    return f"{server.origin}/api/v1/uploads" + (f"/{id}" if id else "")


def problem(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    members: dict[str, Any] = answer.json()
    assert members["status"] == answer.status_code
    return members


def test_an_upload_is_shown_with_what_is_known_of_it(http: httpx.Client, server: Server) -> None:
    name = base64.b64encode("Ü.txt".encode()).decode()
    id = created(http, server, b"123", 10, **{"Upload-Metadata": f"filename {name},raw /w=="})
    shown = http.get(api(server, id)).json()
    assert {
        key: shown[key] for key in ("id", "url", "state", "length", "offset", "concat", "expires_at", "tenant")
    } == {
        "id": id,
        "url": f"/files/{id}",
        "state": "open",
        "length": 10,
        "offset": 3,
        "concat": None,
        "expires_at": None,
        "tenant": None,
    }
    assert shown["metadata"] == {"filename": "Ü.txt", "raw": "/w=="}


def test_a_list_gives_every_upload_once_page_by_page(http: httpx.Client, server: Server) -> None:
    made = {created(http, server, b"123", 10) for _ in range(7)}
    seen: list[str] = []
    cursor = None
    while True:
        page = http.get(api(server), params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [item["id"] for item in page["uploads"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert made <= set(seen)
    assert len(seen) == len(set(seen))


def test_a_list_can_be_of_one_state(http: httpx.Client, server: Server) -> None:
    unfinished, finished = created(http, server, b"1", 2), created(http, server, b"12", 2)
    listed = [
        item["id"] for item in http.get(api(server), params={"state": "finished", "limit": 1000}).json()["uploads"]
    ]
    assert finished in listed
    assert unfinished not in listed


def test_terminating_an_upload_removes_it(http: httpx.Client, server: Server) -> None:
    id = created(http, server, b"12", 2)
    assert http.delete(api(server, id)).status_code == 204
    assert problem(http.get(api(server, id)))["code"] == "not_found"
    assert http.head(f"{server.url}/{id}", headers=TUS).status_code == 404
    assert problem(http.delete(api(server, id)))["status"] == 404


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "state=sleeping", "cursor=" + "x" * 2000, "cursor=nonsense"]
)
def test_wrong_parameters_are_the_clients_error(http: httpx.Client, server: Server, query: str) -> None:
    assert problem(http.get(f"{api(server)}?{query}"))["status"] == 400


@pytest.mark.parametrize(
    "path", ["/api/v1/nothing", "/api/v1/uploads/..%2f..", "/api/v1/uploads/%00", "/api/v2/uploads", "/"]
)
def test_what_is_not_there_is_404(http: httpx.Client, server: Server, path: str) -> None:
    assert problem(http.get(server.origin + path))["status"] == 404


def test_another_method_is_405_and_tells_which_are_allowed(http: httpx.Client, server: Server) -> None:
    answer = http.put(api(server, "abc"))
    assert problem(answer)["status"] == 405
    assert answer.headers["allow"]


def test_the_description_names_every_path(http: httpx.Client, server: Server) -> None:
    description = http.get(f"{server.origin}/api/v1/openapi.json").json()
    assert set(description["paths"]) == {"/api/v1/uploads", "/api/v1/uploads/{id}"}
    assert set(description["paths"]["/api/v1/uploads/{id}"]) == {"get", "delete"}


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_without_credentials_requests_through_a_proxy_are_refused(
    http: httpx.Client, server: Server, header: str
) -> None:
    id = created(http, server, b"12", 2)
    assert problem(http.get(api(server), headers={header: "192.0.2.1"}))["code"] == "forbidden"
    assert http.delete(api(server, id), headers={header: "192.0.2.1"}).status_code == 403
    assert http.get(api(server, id)).status_code == 200


def test_watching_does_not_disturb_a_running_upload(http: httpx.Client, server: Server) -> None:
    answer = http.post(server.url, headers={**TUS, "Upload-Length": "10"})
    url = answer.headers["location"]
    id = url.rpartition("/")[2]

    def slowly() -> Iterator[bytes]:
        yield b"12345"
        eventually(lambda: http.get(api(server, id)).json()["offset"] == 5)
        yield b"67890"

    with httpx.Client(timeout=30) as other:
        answer = other.patch(url, content=slowly(), headers={**BYTES, "Upload-Offset": "0", "Content-Length": "10"})
    assert (answer.status_code, answer.headers["upload-offset"]) == (204, "10")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("headers", [{}, bearer("wrong-token-wrong-token"), {"Authorization": "Basic eDp5"}])
def test_with_tokens_nobody_gets_in_without_one(http: httpx.Client, guarded: Server, headers: dict[str, str]) -> None:
    for answer in (
        http.get(api(guarded), headers=headers),
        http.get(api(guarded, "abc"), headers=headers),
        http.delete(api(guarded, "abc"), headers=headers),
    ):
        assert problem(answer)["code"] == "unauthorised"
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_tenant_sees_and_ends_only_what_is_its_own(http: httpx.Client, guarded: Server) -> None:
    one, two, admin = (bearer(f"token-of-{who}") for who in ("tenant-one", "tenant-two", "the-admin"))
    id = created(http, guarded, b"12", 2, **one)
    assert http.get(api(guarded, id), headers=one).json()["tenant"] == "one"
    assert http.get(api(guarded, id), headers=two).status_code == 404
    assert http.delete(api(guarded, id), headers=two).status_code == 404
    assert id not in http.get(api(guarded), headers=two).text
    assert id in http.get(api(guarded), headers=admin).text
    assert http.delete(api(guarded, id), headers=one).status_code == 204


def test_no_token_reaches_the_log(http: httpx.Client, guarded: Server) -> None:
    http.get(api(guarded), headers=bearer("token-of-tenant-one"))
    http.get(api(guarded), headers=bearer("wrong-token-wrong-token"))
    assert "token-of" not in guarded.log()
    assert "wrong-token" not in guarded.log()


def test_health_is_there_without_credentials(http: httpx.Client, guarded: Server) -> None:
    assert http.get(f"{guarded.origin}/healthz").json() == {"status": "alive"}
    assert http.get(f"{guarded.origin}/readyz").json() == {"status": "ready"}
    metrics = http.get(f"{guarded.origin}/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    assert "tusfleet_offsets_lost_total 0.0" in metrics.text
    assert http.post(f"{guarded.origin}/healthz").status_code == 405


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "no token"),
        ("short", "16 characters"),
        ("token-of-somebody colour=red", "name=NAME"),
        (None, "cannot be read"),
    ],
)
def test_a_wrong_token_file_ends_the_start_with_one_sentence(
    tmp_path: Path, content: str | None, sentence: str
) -> None:
    tokens = tmp_path / "tokens"
    if content is not None:
        tokens.write_text(content)
    server = Server(tmp_path, "--auth-tokens-file", str(tokens))
    with pytest.raises(AssertionError, match="the server ended with"):
        server.start()
    (line,) = server.log().splitlines()
    assert "auth_tokens_file" in line
    assert sentence in line
    assert "token-of" not in line
