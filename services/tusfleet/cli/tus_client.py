"""A client of tus 1.0.0: each method is one request, and one of three ways it can fail.

`Transient` is worth another try, `Missing` a new start, `Failure` ends the command.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urljoin

import httpx

from tusfleet.cli.failures import Failure, Missing, ServerFailure, Transient
from tusfleet.cli.http_client import detail, retry_after, transport_errors, worth_a_retry
from tusfleet.cli.text import printable, size_text

VERSION = "1.0.0"
MEDIA_TYPE = "application/offset+octet-stream"

MERGE_SECONDS = 600.0
"""Longest wait for an answer to a concatenation: without reflinks the server copies every byte."""

_NUMBER = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Features:
    """What a server announces: extensions, checksum algorithms, and its limit in bytes."""

    extensions: frozenset[str]
    algorithms: frozenset[str]
    max_size: int | None


@dataclass(frozen=True, slots=True)
class Status:
    """Where an upload stands; `offset` is None for a final upload that is not put together yet."""

    offset: int | None
    length: int | None
    metadata: str = ""
    concat: str | None = None
    expires: str | None = None


class TusClient:
    """Speaks to one upload collection.

    Parameters:
        http: an open client.
        endpoint: URL of the collection.
    """

    def __init__(self, http: httpx.Client, endpoint: str) -> None:
        self._http = http
        self._endpoint = endpoint

    def discover(self) -> Features:
        """Ask what the server can do (OPTIONS)."""
        response = self._send("OPTIONS", self._endpoint)
        if response.status_code in {404, 410}:
            raise self._no_collection()
        if response.status_code not in {200, 204} or "Tus-Version" not in response.headers:
            raise self._failed(response)
        headers = response.headers
        return Features(
            frozenset(_listed(headers.get("Tus-Extension", ""))),
            frozenset(_listed(headers.get("Tus-Checksum-Algorithm", ""))),
            _number(headers.get("Tus-Max-Size")),
        )

    def create(self, length: int | None, metadata: str, *, partial: bool = False) -> str:
        """Create an upload of `length` bytes (None: told later); returns its URL."""
        fields = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
        if partial:
            fields["Upload-Concat"] = "partial"
        return self._created(fields, metadata, None)

    def create_final(self, parts: Sequence[str], metadata: str) -> str:
        """Have finished partial uploads put together; returns the URL of the whole."""
        timeout = httpx.Timeout(MERGE_SECONDS, connect=self._http.timeout.connect)
        return self._created({"Upload-Concat": "final;" + " ".join(parts)}, metadata, timeout)

    def inspect(self, url: str) -> Status:
        """Ask where an upload stands (HEAD)."""
        response = self._send("HEAD", url)
        if response.status_code not in {200, 204}:
            raise self._failed(response)
        headers = response.headers
        concat = headers.get("Upload-Concat")
        offset = _number(headers.get("Upload-Offset"))
        if offset is None and not (concat or "").startswith("final"):
            raise ServerFailure(f"{printable(url)} is not an upload: the answer has no Upload-Offset")
        metadata, expires = headers.get("Upload-Metadata", ""), headers.get("Upload-Expires")
        return Status(offset, _number(headers.get("Upload-Length")), metadata, concat, expires)

    def append(
        self, url: str, offset: int, size: int, body: Iterable[bytes], *, length: int | None, checksum: str | None
    ) -> int:
        """Send `size` bytes that follow `offset` (PATCH); returns the new offset.

        Parameters:
            length: length of the upload, when it was deferred and is known now.
            checksum: value of Upload-Checksum over the body.
        """
        fields = {"Content-Type": MEDIA_TYPE, "Upload-Offset": str(offset), "Content-Length": str(size)}
        if length is not None:
            fields["Upload-Length"] = str(length)
        if checksum is not None:
            fields["Upload-Checksum"] = checksum
        response = self._send("PATCH", url, fields, body)
        reached = _number(response.headers.get("Upload-Offset"))
        if response.status_code != 204 or reached is None:
            raise self._failed(response)
        return reached

    def terminate(self, url: str) -> None:
        """Remove an upload (DELETE)."""
        response = self._send("DELETE", url)
        if response.status_code != 204:
            raise self._failed(response)

    def _created(self, fields: dict[str, str], metadata: str, timeout: httpx.Timeout | None) -> str:
        if metadata:
            fields["Upload-Metadata"] = metadata
        response = self._send("POST", self._endpoint, {**fields, "Content-Length": "0"}, timeout=timeout)
        location: str | None = response.headers.get("Location")
        if response.status_code != 201 or not location:
            if response.status_code == 413:
                raise Failure(f"The server takes no upload of this size{self._limit()}{detail(response)}")
            if response.status_code in {404, 410}:
                raise self._no_collection()
            raise self._failed(response)
        return _resolved(response, location)

    def _no_collection(self) -> ServerFailure:
        return ServerFailure(f"There is no upload collection at {printable(self._endpoint)}; check --url")

    def _limit(self) -> str:
        try:
            limit = self.discover().max_size
        except (Failure, Missing, Transient):
            return ""
        return "" if limit is None else f"; its limit is {size_text(limit)} ({limit} bytes)"

    def _send(
        self,
        method: str,
        url: str,
        fields: Mapping[str, str] | None = None,
        body: Iterable[bytes] | None = None,
        timeout: httpx.Timeout | None = None,
    ) -> httpx.Response:
        headers = {"Tus-Resumable": VERSION, **(fields or {})}
        with transport_errors(url):
            request = self._http.build_request(
                method, url, headers=headers, content=body, timeout=timeout or self._http.timeout
            )
            return self._http.send(request)

    def _failed(self, response: httpx.Response) -> Exception:
        status, url = response.status_code, printable(str(response.request.url))
        method, why = response.request.method, detail(response)
        if worth_a_retry(status):
            return Transient(f"the server answered {status}{why}", retry_after(response))
        if "Location" in response.headers and 300 <= status < 400:
            target = printable(_resolved(response, response.headers["Location"]))
            return ServerFailure(f"{url} has moved to {target}; use that address")
        if status == 401:
            if "Authorization" in response.request.headers:
                return ServerFailure(f"The server does not accept the credentials{why}")
            return ServerFailure(f"The server asks for credentials; see --token-file and TUSFLEET_TOKEN{why}")
        if status == 403:
            return ServerFailure(f"The server does not allow {method} here{why}")
        if status == 507:
            return ServerFailure(f"The server has no room for it{why}; what it has is kept, try again later")
        if status in {404, 410}:
            return Missing(f"There is no upload at {url}{why}")
        if "Tus-Resumable" not in response.headers and "Tus-Version" not in response.headers:
            return ServerFailure(f"{url} does not speak tus {VERSION} (it answered {status}); check the address")
        if status == 412:
            spoken = printable(response.headers.get("Tus-Version", "another version"))
            return ServerFailure(f"The server does not speak tus {VERSION} but {spoken}")
        if status == 413:
            return Failure(f"The upload is too large for the server{self._limit()}{why}")
        return Failure(f"The server refused {method} with {status}{why}")


def encode_metadata(pairs: Mapping[str, str]) -> str:
    """The value of Upload-Metadata (tus 1.0.0, creation): keys and base64 of UTF-8, separated by commas.

    Bytes of a file name or an argument that are no UTF-8 go as they are.
    """
    return ",".join(f"{key} {_base64(value)}".rstrip() for key, value in pairs.items())


def decode_metadata(raw: str) -> dict[str, str]:
    """Keys and texts of an Upload-Metadata value; bytes that are no text become replacement characters."""
    found = {}
    for item in filter(None, (part.strip() for part in raw.split(","))):
        key, _, value = item.partition(" ")
        try:
            found[key] = base64.b64decode(value, validate=True).decode("utf-8", "replace")
        except ValueError:
            found[key] = value
    return found


def _resolved(response: httpx.Response, location: str) -> str:
    """The URL that a Location names."""
    try:
        return str(httpx.URL(urljoin(str(response.url), location)))
    except (ValueError, httpx.InvalidURL):
        raise ServerFailure(f"The server named an address that is none: {printable(location[:200])}") from None


def _base64(text: str) -> str:
    # Python shows such bytes of names and arguments as surrogates (PEP 383).
    return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode()


def _listed(value: str) -> list[str]:
    return [item.strip().lower() for item in value.split(",") if item.strip()]


def _number(value: str | None) -> int | None:
    return int(value) if value is not None and _NUMBER.fullmatch(value) else None
