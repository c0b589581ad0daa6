"""A client that does what clients should not: stops in the middle, says nothing, vanishes, asks twice at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

from tests.raw_http import Connection, Response, message
from tests.servers import Server

KIB, MIB = 1024, 1024 * 1024

TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {"Content-Type": "application/offset+octet-stream"}


class Wire(Connection):
    """One connection to a server that may die.

    Its methods raise OSError or EOFError when it does.
    """

    def __init__(self, server: Server, timeout: float | None = None) -> None:
        super().__init__(server.origin, server.patience if timeout is None else timeout)

    def __enter__(self) -> Self:
        return self

    def request(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        """Send the head of a request."""
        self.send(message(method, path, self.authority, *(f"{name}: {value}" for name, value in headers.items())))

    def patch(self, path: str, offset: int, length: int | None, headers: Mapping[str, str] | None = None) -> None:
        """Send the head of a PATCH; with `length` None its body comes in chunks."""
        framing = {"Transfer-Encoding": "chunked"} if length is None else {"Content-Length": str(length)}
        self.request("PATCH", path, {**TUS, **BYTES, **framing, "Upload-Offset": str(offset), **(headers or {})})

    def send_chunk(self, data: bytes) -> None:
        """Send one chunk of a chunked body."""
        self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def _exactly(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise EOFError(f"the answer was cut after {len(data)} of {size} bytes")
        return data


def ask(
    server: Server, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> Response:
    """One request on a connection of its own."""
    framing = {} if body is None else {"Content-Length": str(len(body))}
    with Wire(server) as wire:
        wire.request(method, path, {**TUS, **framing, **(headers or {})})
        if body:
            wire.offer(body)
        return wire.read(method)


def offset_of(answer: Response) -> int:
    """The field Upload-Offset."""
    return int(answer["upload-offset"])


def create(
    server: Server, length: int | None, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> str:
    """Create an upload; gives its path."""
    size = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
    kind = {} if body is None else BYTES
    answer = ask(server, "POST", server.path, {**size, **kind, **(headers or {})}, b"" if body is None else body)
    assert answer.status == 201, answer
    return path_of(answer["location"])


def path_of(location: str) -> str:
    """The path of an absolute or relative URL."""
    return "/" + location.split("/", 3)[3] if "://" in location else location


def id_of(path: str) -> str:
    """The id at the end of a path."""
    return path.rpartition("/")[2]


def concatenate(server: Server, parts: Iterable[str], headers: Mapping[str, str] | None = None) -> str:
    """Create a final upload of `parts`; gives its path."""
    concat = {"Upload-Concat": f"final;{' '.join(parts)}", "Content-Length": "0"}
    answer = ask(server, "POST", server.path, {**concat, **(headers or {})})
    assert answer.status == 201, answer
    return path_of(answer["location"])


def patch(server: Server, path: str, offset: int, body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    """Send bytes in one PATCH."""
    return ask(server, "PATCH", path, {**BYTES, "Upload-Offset": str(offset), **(headers or {})}, body)


def head(server: Server, path: str, headers: Mapping[str, str] | None = None) -> Response:
    """Ask where an upload stands, as its client does."""
    return ask(server, "HEAD", path, headers)


def offset(server: Server, path: str) -> int:
    """Where an upload stands."""
    answer = head(server, path)
    assert answer.status == 200, answer
    return offset_of(answer)


def get(server: Server, path: str) -> bytes:
    """The bytes of a finished upload."""
    answer = ask(server, "GET", path)
    assert answer.status == 200, answer
    return answer.body


def peeked(server: Server, path: str) -> Any:
    """An upload as the API shows it: unlike HEAD it makes nobody let go."""
    answer = ask(server, "GET", f"/api/v1/uploads/{id_of(path)}")
    assert answer.status == 200, answer
    return answer.json()


def held(server: Server, path: str) -> int:
    """Bytes of an unfinished upload that have reached its file, committed or not."""
    found = list((server.data / "partial").glob(f"*/{id_of(path)}"))
    return found[0].stat().st_size if found else 0


def metrics(server: Server) -> dict[str, float]:
    """The metrics by name and labels."""
    lines = ask(server, "GET", "/metrics").body.decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}
