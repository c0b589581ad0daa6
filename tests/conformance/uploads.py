"""What the rows of the conformance list are made of: requests in one line, the whole state of an upload, refusals."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Thread
from typing import Any
from urllib.parse import urljoin, urlsplit

from tests.raw_http import Connection, Response, message
from tests.servers import Server, eventually

VERSION = "Tus-Resumable: 1.0.0"
BYTES = "Content-Type: application/offset+octet-stream"
CHUNKED = "Transfer-Encoding: chunked"
UNKNOWN = "0" * 32
"""An id that no upload has."""

STATE = ("upload-offset", "upload-length", "upload-defer-length", "upload-metadata", "upload-concat")


def text(method: str, url: str, *fields: str, body: bytes | None = None, tus: bool = True) -> bytes:
    """The bytes of a request to `url`, with `Tus-Resumable` unless `tus` is False."""
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    return message(method, target, parts.netloc, *([VERSION] if tus else []), *fields, body=body)


def ask(method: str, url: str, *fields: str, body: bytes | None = None, tus: bool = True) -> Response:
    """Send one request on a connection of its own. Whatever the answer is, it tells the version (row A1)."""
    with Connection(url) as connection:
        connection.send(text(method, url, *fields, body=body, tus=tus))
        response = connection.read(method)
    assert response["Tus-Resumable"] == "1.0.0"
    return response


def post(server: Server, *fields: str, body: bytes | None = None) -> Response:
    """POST to the collection."""
    return ask("POST", server.url, *fields, body=body)


def located(server: Server, response: Response) -> str:
    """The URL of what was created."""
    assert response.status == 201, response
    return urljoin(server.url, response["Location"])


def create(server: Server, length: int | None = None, *fields: str, data: bytes = b"") -> str:
    """Create an upload, deferred without a length, with `data` in it; give its URL."""
    size = "Upload-Defer-Length: 1" if length is None else f"Upload-Length: {length}"
    url = located(server, post(server, size, *fields))
    if data:
        assert patch(url, 0, data).status == 204
    return url


def finished(server: Server, data: bytes, *fields: str) -> str:
    """Create an upload that is `data`; give its URL."""
    return create(server, len(data), *fields, data=data)


def partial(server: Server, data: bytes) -> str:
    """Create a finished partial upload; give its URL."""
    return finished(server, data, "Upload-Concat: partial")


def final(server: Server, *parts: str) -> Response:
    """Ask for the concatenation of parts."""
    return post(server, f"Upload-Concat: final;{' '.join(parts)}")


def patch(url: str, offset: int, data: bytes = b"", *fields: str) -> Response:
    """PATCH bytes with all that they need."""
    return ask("PATCH", url, BYTES, f"Upload-Offset: {offset}", *fields, body=data)


def head(url: str) -> Response:
    """HEAD."""
    return ask("HEAD", url)


def limit(server: Server) -> int | None:
    """The largest upload as OPTIONS tells it."""
    told = ask("OPTIONS", server.url).get("Tus-Max-Size")
    return None if told is None else int(told)


def offset(url: str) -> int:
    """The offset that HEAD tells."""
    response = head(url)
    assert response.status == 200, response
    return int(response["Upload-Offset"])


def content(url: str) -> bytes:
    """The bytes that GET gives; of an unfinished upload where the server allows it."""
    response = ask("GET", url)
    assert response.status == 200, response
    return response.body


def path(url: str) -> str:
    """The path of a URL."""
    return urlsplit(url).path


def id_of(url: str) -> str:
    """The id of an upload."""
    return path(url).rpartition("/")[2]


@dataclass(frozen=True)
class State:
    """All that a client can know of an upload."""

    fields: tuple[tuple[str, str | None], ...]
    content: bytes


def state(url: str) -> State:
    """See an upload as HEAD and GET show it."""
    response = head(url)
    assert response.status == 200, response
    return State(tuple((name, response.get(name)) for name in STATE), content(url))


@contextmanager
def unchanged(*urls: str) -> Iterator[None]:
    """What happens inside changes neither state nor content of these uploads."""
    before = [state(url) for url in urls]
    yield
    assert [state(url) for url in urls] == before


def listed(server: Server) -> dict[str, dict[str, Any]]:
    """Every upload of the server that is alive, by id, as the API shows it; disturbs nobody."""
    found: dict[str, dict[str, Any]] = {}
    query = "limit=1000"
    while True:
        with Connection(server.origin) as connection:
            connection.send(message("GET", f"/api/v1/uploads?{query}", connection.authority))
            page = connection.read().json()
        found.update({item["id"]: item for item in page["uploads"]})
        if page["cursor"] is None:
            return found
        query = f"limit=1000&cursor={page['cursor']}"


@contextmanager
def nothing_happens(server: Server) -> Iterator[None]:
    """What happens inside creates, changes and removes no upload."""
    before = listed(server)
    yield
    assert listed(server) == before


def record(server: Server, url: str) -> dict[str, Any]:
    """One upload as the API shows it; disturbs nobody."""
    with Connection(server.origin) as connection:
        connection.send(message("GET", f"/api/v1/uploads/{id_of(url)}", connection.authority))
        response = connection.read()
    assert response.status == 200, response
    found: dict[str, Any] = response.json()
    return found


def events(server: Server, kind: str) -> int:
    """How often something happened to uploads of this server: created, finished, terminated, expired, failed."""
    lines = []
    for origin in server.origins:
        with Connection(origin) as connection:
            connection.send(message("GET", "/metrics", connection.authority))
            lines += connection.read().body.decode().splitlines()
    name = f'tusfleet_uploads_total{{event="{kind}"}} '
    return sum(int(float(line.removeprefix(name))) for line in lines if line.startswith(name))


def files(server: Server, url: str) -> list[str]:
    """What lies in the store under the name of an upload."""
    return server.stored(id_of(url))


def refused(response: Response, status: int, code: str, *, method: str = "GET") -> None:
    """An answer is a problem (RFC 9457) with our code; to HEAD, its head alone."""
    assert response.status == status, response
    assert response["Tus-Resumable"] == "1.0.0"
    assert response["Cache-Control"] == "no-store"
    if method == "HEAD":
        assert response.body == b""
        assert "Content-Type" not in response
        return
    assert response["Content-Type"] == "application/problem+json"
    assert int(response["Content-Length"]) == len(response.body)
    problem = response.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["type"] == f"urn:tusfleet:problem:{code}"
    assert problem["title"]
    assert problem["detail"]


@contextmanager
def running(
    server: Server, url: str, data: bytes, size: int, *fields: str, committed: bool = True
) -> Iterator[Connection]:
    """A PATCH at 0 that announced `size` bytes and sent `data` so far, which the server has stored by now."""
    with Connection(url) as connection:
        head = text("PATCH", url, BYTES, "Upload-Offset: 0", f"Content-Length: {size}", *fields)
        connection.send(head, data)
        if committed:
            eventually(lambda: record(server, url)["offset"] == len(data))
        yield connection


@contextmanager
def pouring(connection: Connection, data: bytes = bytes(64 * 1024), most: int = 20_000) -> Iterator[None]:
    """Send `data` over and over, at most so many times, until the server has had enough."""

    def pour() -> None:
        with suppress(OSError):
            for _ in range(most):
                connection.send(data)

    thread = Thread(target=pour)
    thread.start()
    try:
        yield
    finally:
        connection.abort()
        thread.join()


def checksum(algorithm: str, data: bytes) -> str:
    """The value of Upload-Checksum for `data`."""
    crc = algorithm == "crc32"
    digest = zlib.crc32(data).to_bytes(4, "big") if crc else hashlib.new(algorithm, data).digest()
    return f"{algorithm} {base64.b64encode(digest).decode()}"


def assert_healthy(server: Server) -> None:
    """The process lives, and has nothing to tell of that it did not foresee."""
    assert server.process.poll() is None, server.log()
    bad = [line for line in server.lines() if "traceback" in line or "text" in line or line.get("level") == "error"]
    assert bad == []


def answers(server: Server, *data: bytes) -> list[Response]:
    """Send bytes, and give everything that comes back until the server ends the connection."""
    with Connection(server.origin) as connection:
        for piece in data:
            connection.offer(piece)
        return connection.end_of_answers()


def assert_refused(found: list[Response], *statuses: int) -> None:
    """One clear refusal, by default 400, and the end of the connection."""
    assert [answer.status in (statuses or (400,)) for answer in found] == [True], found
    refused(found[0], found[0].status, found[0].json()["code"])
    assert found[0]["Connection"] == "close"


def creation(*fields: str) -> bytes:
    """The bytes of a creation with more fields."""
    return message("POST", "/files", "localhost", VERSION, "Upload-Length: 10", *fields)
