"""Who may do what: asked for every request before anything is read or written."""

from __future__ import annotations

import hashlib
import hmac
import inspect
import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tusfleet.uploads.errors import Forbidden, Unauthorised
from tusfleet.uploads.intents import Intent
from tusfleet.uploads.models import Principal

MIN_TOKEN_LENGTH = 16
"""Shorter tokens can be guessed over the network."""


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """What somebody wants to do.

    Parameters:
        action: create, append, inspect, terminate, download or list.
        upload_id: of which upload; None for create and list.
        headers: fields of the request, names in lower case; of repeated ones the last.
        client: address of the client.
        intent: the request as it was understood; None for list.
    """

    action: str
    upload_id: str | None
    headers: Mapping[str, str]
    client: str
    intent: Intent | None = None


FORWARDING = frozenset({"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"})
"""Fields that proxies add; who sends one does not speak for himself alone."""

Authorise = Callable[[AccessRequest], Principal | Awaitable[Principal | None] | None]
"""Gives who makes the request, None for somebody unnamed; raises `Unauthorised` or `Forbidden` to refuse."""


async def ask(authorise: Authorise, request: AccessRequest) -> Principal:
    """Ask an authoriser, synchronous or not."""
    answer = authorise(request)
    if inspect.isawaitable(answer):
        answer = await answer
    return Principal() if answer is None else answer


ANYBODY = Principal(admin=True)
"""Who makes a request where everybody may do everything."""


def everybody(request: AccessRequest) -> Principal:  # noqa: ARG001 - it is an authoriser that looks at nothing
    """Let everybody do everything: for loopback, and behind a gateway that has asked already."""
    return ANYBODY


def local_only(request: AccessRequest) -> Principal:
    """Let whoever is on this machine do everything, and nobody else anything.

    Raises:
        Forbidden: the request comes from elsewhere, or from a proxy that may speak for somebody elsewhere.
    """
    try:
        local = ipaddress.ip_address(request.client).is_loopback
    except ValueError:
        local = False
    if not local or any(name in FORWARDING for name in request.headers):
        raise Forbidden("Without credentials the API answers this machine only; set auth_tokens_file")
    return Principal(admin=True)


class BearerTokens:
    """Static bearer tokens (RFC 6750), kept as digests.

    Parameters:
        tokens: principals by token.
    """

    def __init__(self, tokens: Mapping[str, Principal]) -> None:
        self._digests = [(hashlib.sha256(token.encode()).digest(), principal) for token, principal in tokens.items()]

    @classmethod
    def from_file(cls, path: Path) -> BearerTokens:
        """Read `TOKEN [name=NAME] [tenant=TENANT] [admin]` lines; empty lines and those with # are passed over.

        Raises:
            ValueError: unreadable, empty or a wrong line; the message names file and line, never a token.
        """
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"auth_tokens_file: {path} cannot be read: {error.__class__.__name__}") from None
        tokens: dict[str, Principal] = {}
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            token, *words = line.split()
            if len(token) < MIN_TOKEN_LENGTH or token in tokens:
                raise ValueError(
                    f"auth_tokens_file: {path} line {number}: a token has at least {MIN_TOKEN_LENGTH} characters "
                    "and stands there once"
                )
            tokens[token] = _principal(words, f"token {number}", f"auth_tokens_file: {path} line {number}")
        if not tokens:
            raise ValueError(f"auth_tokens_file: {path} has no token in it")
        return cls(tokens)

    def __call__(self, request: AccessRequest) -> Principal:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthorised("Send Authorization: Bearer and a token")
        given = hashlib.sha256(token.strip().encode("latin-1", "replace")).digest()
        found = [principal for digest, principal in self._digests if hmac.compare_digest(digest, given)]
        if not found:
            raise Unauthorised("The token is not known here")
        return found[0]


def _principal(words: list[str], name: str, where: str) -> Principal:
    tenant, admin = None, False
    for word in words:
        key, _, value = word.partition("=")
        if key == "name" and value:
            name = value
        elif key == "tenant" and value:
            tenant = value
        elif word == "admin":
            admin = True
        else:
            raise ValueError(f"{where}: after a token come name=NAME, tenant=TENANT or admin")
    return Principal(name, tenant, admin or tenant is None)
