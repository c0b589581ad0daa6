"""HTTP for the client commands: one configured httpx client, and its errors turned into what a command can act on."""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime

import httpx

from tusfleet import __version__
from tusfleet.cli.access import Access
from tusfleet.cli.failures import Failure, ServerFailure, Transient
from tusfleet.cli.text import printable

CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 60.0
"""Longest wait for a server to take or give anything: storage and locks take their time, a dead peer takes for ever."""

DETAIL_LIMIT = 300
"""Characters of a server's explanation that are shown."""

_SECONDS = re.compile(r"[0-9]{1,9}")
_RETRY = frozenset({408, 409, 423, 425, 429, 460})
_NO_RETRY = frozenset({501, 505, 507, 511})


class _ForOneServer(httpx.Auth):
    """Sends token and headers to the server they were given for, and to no other that a Location may name."""

    def __init__(self, access: Access, address: httpx.URL) -> None:
        token = [] if access.token is None else [("Authorization", f"Bearer {access.token}")]
        # A header may be a credential too; the token wins over one of the same name.
        self._headers = [*(pair for pair in access.headers if not token or pair[0].lower() != "authorization"), *token]
        self._origin = _origin(address)

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
        if _origin(request.url) == self._origin:
            request.headers.update(self._headers)
        yield request


def open_client(access: Access, address: str) -> httpx.Client:
    """A client for the server at `address`; to be closed by the caller.

    Raises:
        Failure: the certificates cannot be read, or the address is none.
    """
    try:
        url = httpx.URL(address)
        return httpx.Client(
            auth=_ForOneServer(access, url),
            headers={"User-Agent": f"tusfleet/{__version__}", "Accept-Encoding": "identity"},
            verify=_certificates(access),
            timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS, pool=None),
            limits=httpx.Limits(max_connections=None),
        )
    except httpx.InvalidURL as error:
        raise Failure(f"{printable(address)} is not an address: {error}") from None


@contextmanager
def transport_errors(address: str) -> Iterator[None]:
    """Turn what httpx raises into `Transient`, or into `ServerFailure` where another try cannot help."""
    host = httpx.URL(address).netloc.decode("ascii", "replace").rpartition("@")[2]
    try:
        yield
    except httpx.TransportError as error:
        raise _judged(error, host) from error
    except (httpx.InvalidURL, httpx.DecodingError) as error:
        raise ServerFailure(f"{host} answered with something that cannot be used: {error}") from error


def worth_a_retry(status: int) -> bool:
    """Whether the same request may succeed later."""
    return status in _RETRY or (status >= 500 and status not in _NO_RETRY)


def retry_after(response: httpx.Response) -> float | None:
    """Seconds to wait as the server asks for (RFC 9110 section 10.2.3), None when it does not."""
    value = response.headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def detail(response: httpx.Response) -> str:
    """The server's own explanation as a clause: problem details (RFC 9457), short plain text, or nothing."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    text = ""
    if kind.endswith("json"):
        try:
            found = json.loads(response.content)
        except ValueError:
            found = None
        if isinstance(found, dict):
            text = next((item for key in ("detail", "title") if isinstance(item := found.get(key), str)), "")
    elif kind == "text/plain":
        text = response.text
    text = printable(" ".join(text.split()))[:DETAIL_LIMIT].rstrip(". ")
    return f": {text}" if text else ""


def _judged(error: httpx.TransportError, host: str) -> Exception:
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ServerFailure(f"The certificate of {host} is not trusted: {cause.verify_message}; see --cacert")
        if isinstance(cause, socket.gaierror) and cause.errno in {socket.EAI_NONAME, socket.EAI_NODATA}:
            return ServerFailure(f"There is no host named {host}; check the address")
    if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        return ServerFailure(f"{host} cannot be asked: {error}")
    reason = next((item.strerror for item in causes if isinstance(item, OSError) and item.strerror), str(error))
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return Transient(f"{host} cannot be reached ({reason or 'no answer'})")
    if isinstance(error, httpx.TimeoutException):
        return Transient(f"{host} is silent")
    return Transient(f"the connection to {host} was lost ({reason or type(error).__name__})")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _certificates(access: Access) -> ssl.SSLContext | bool:
    if access.insecure:
        return False
    if access.cacert is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(access.cacert))
    except OSError as error:
        raise Failure(f"The certificates in {access.cacert} cannot be used: {error.strerror or error}") from None


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
