"""Who the client is and how it sees this server, when proxies stand between."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._~-]{1,253})(:[0-9]{1,5})?")
_PAIR = re.compile(r"""\s*([A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^\s;,"]*)\s*""")
# A quoted value ends where the next pair or hop begins. What only looks like one, since a client sent half of it, does
# not hide the comma that the next proxy wrote.
_QUOTED_OR_COMMA = re.compile(r"""="(?:[^"\\]|\\.)*"(?=[ \t]*(?:[;,]|$))|,""")
_ESCAPED = re.compile(r"\\(.)")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_FORWARDING = frozenset({b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"})

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ClientView(NamedTuple):
    """One request as its client sees it.

    Parameters:
        client: its address; the nearest one that no trusted proxy vouches beyond.
        scheme: http or https.
        authority: host and port it asked for, default port left out; None when it is not known.
        doubtful: forwarding headers came from a peer that is not trusted, so scheme and authority may be wrong.
    """

    client: str
    scheme: str
    authority: str | None
    doubtful: bool


class ProxyTrust:
    """Reads forwarding headers from trusted peers only (RFC 7239; X-Forwarded-For, -Host, -Proto).

    Parameters:
        networks: addresses or networks (CIDR) that are trusted.
    """

    def __init__(self, networks: Sequence[str] = ()) -> None:
        self._networks: tuple[Network, ...] = tuple(ipaddress.ip_network(item, strict=False) for item in networks)

    def view(self, scope: Any) -> ClientView:
        """See an HTTP request (an ASGI scope) as its client does."""
        headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
        peer = scope["client"][0] if scope.get("client") else ""
        scheme = scope.get("scheme", "http")
        host = _last(headers, b"host")
        if _FORWARDING.isdisjoint(dict(headers)):
            return ClientView(peer, scheme, _authority(host, scheme), doubtful=False)
        if not self._trusted(peer):
            return ClientView(peer, scheme, _authority(host, scheme), doubtful=True)
        tellings = [self._nearest(peer, hops) for hops in (_forwarded(headers), _x_forwarded(headers)) if hops]
        if not tellings or any(telling != tellings[0] for telling in tellings):
            # Most proxies write one kind and pass the other through as the client sent it: who knows which.
            return ClientView(peer, scheme, _authority(host, scheme), doubtful=True)
        client, said = tellings[0]
        scheme = said.get("proto", scheme).lower()
        if scheme not in _DEFAULT_PORTS:
            scheme = "http"
        return ClientView(client, scheme, _authority(said.get("host", host), scheme), doubtful=False)

    def _trusted(self, address: str) -> bool:
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped  # how a socket for both families tells an IPv4 peer
        return any(ip in network for network in self._networks)

    def _nearest(self, peer: str, hops: list[dict[str, str]]) -> tuple[str, dict[str, str]]:
        """Go back through the hops as long as each was told by somebody trusted."""
        client = peer
        said: dict[str, str] = {}
        for hop in reversed(hops):
            said = {**said, **{key: value for key, value in hop.items() if key in ("host", "proto")}}
            if "for" not in hop:
                break  # who told the hop before this one is not known
            client = hop["for"]
            if not self._trusted(client):
                break
        return client, said


def _last(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> str:
    values = [value for key, value in headers if key == name]
    return values[-1].decode("latin-1") if values else ""


def _authority(host: str, scheme: str) -> str | None:
    host = host.strip()
    if _AUTHORITY.fullmatch(host) is None:
        return None
    return host.lower().removesuffix(_DEFAULT_PORTS.get(scheme, ":80"))


def _forwarded(headers: Sequence[tuple[bytes, bytes]]) -> list[dict[str, str]]:
    text = ",".join(value.decode("latin-1") for name, value in headers if name == b"forwarded")
    hops = []
    for element in _elements(text):
        pairs = {key.lower(): _unquoted(value) for key, value in _PAIR.findall(element)}
        if "for" in pairs:
            pairs["for"] = _address(pairs["for"])
        hops.append(pairs)
    return hops


def _elements(text: str) -> list[str]:
    """What stands between the commas that are not in quotes."""
    if not text:
        return []
    commas = [found.start() for found in _QUOTED_OR_COMMA.finditer(text) if found[0] == ","]
    return [text[start + 1 : stop] for start, stop in pairwise([-1, *commas, len(text)])]


def _unquoted(value: str) -> str:
    return _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value


def _x_forwarded(headers: Sequence[tuple[bytes, bytes]]) -> list[dict[str, str]]:
    addresses = [
        _address(item)
        for name, value in headers
        if name == b"x-forwarded-for"
        for item in value.decode("latin-1").split(",")
        if item.strip()
    ]
    hops: list[dict[str, str]] = [{"for": address} for address in addresses]
    for key, name in (("host", b"x-forwarded-host"), ("proto", b"x-forwarded-proto")):
        values = [value.strip() for value in _last(headers, name).split(",")]
        if not values[-1]:
            continue
        hops = hops or [{}]
        # As many values as addresses belong to them one by one; otherwise only the nearest proxy's is sure.
        for hop, value in zip(
            reversed(hops), reversed(values if len(values) == len(hops) else values[-1:]), strict=False
        ):
            hop[key] = value
    return hops


def _address(text: str) -> str:
    """An address without its port: 192.0.2.1:80 and [2001:db8::1]:80 have one, 2001:db8::1 has none."""
    text = text.strip()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
