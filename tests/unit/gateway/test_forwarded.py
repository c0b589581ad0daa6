from __future__ import annotations

from typing import Any

import pytest

from tusfleet.gateway.forwarded import ClientView, ProxyTrust

TRUST = ProxyTrust(["10.0.0.0/8", "2001:db8:1::/48"])


def view(*fields: tuple[str, str], peer: str = "10.0.0.1", scheme: str = "http") -> ClientView:
    headers = [(name.lower().encode(), value.encode()) for name, value in fields]
    scope: dict[str, Any] = {"headers": [(b"host", b"inside:8000"), *headers], "client": (peer, 1), "scheme": scheme}
    return TRUST.view(scope)


def test_without_proxies_a_request_is_what_it_is() -> None:
    assert view(peer="192.0.2.1") == ClientView("192.0.2.1", "http", "inside:8000", doubtful=False)
    assert TRUST.view({"headers": []}) == ClientView("", "http", None, doubtful=False)


def test_a_peer_that_is_not_trusted_is_not_believed() -> None:
    for field in [("X-Forwarded-For", "1.2.3.4"), ("Forwarded", "host=evil"), ("X-Forwarded-Proto", "https")]:
        assert view(field, peer="192.0.2.1") == ClientView("192.0.2.1", "http", "inside:8000", doubtful=True)
    assert view(("X-Forwarded-For", "1.2.3.4"), peer="").doubtful


def test_one_proxy_is_believed() -> None:
    found = view(
        ("X-Forwarded-For", "192.0.2.7"), ("X-Forwarded-Proto", "HTTPS"), ("X-Forwarded-Host", "Files.Example:443")
    )
    assert found == ClientView("192.0.2.7", "https", "files.example", doubtful=False)
    found = view(("Forwarded", "for=192.0.2.7;proto=https;host=files.example:8443"))
    assert found == ClientView("192.0.2.7", "https", "files.example:8443", doubtful=False)


def test_what_a_client_put_in_front_of_the_chain_is_not_believed() -> None:
    for value in ["6.6.6.6, 192.0.2.7", "127.0.0.1,192.0.2.7, 10.1.1.1", "10.9.9.9, 192.0.2.7:4711"]:
        assert view(("X-Forwarded-For", value)).client == "192.0.2.7"
    assert view(("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "192.0.2.7")).client == "192.0.2.7"
    found = view(("Forwarded", "for=6.6.6.6;host=evil;proto=https, for=192.0.2.7;host=files.example"))
    assert (found.client, found.scheme, found.authority) == ("192.0.2.7", "http", "files.example")


def test_a_chain_of_trusted_proxies_is_followed_to_its_beginning() -> None:
    found = view(("X-Forwarded-For", "192.0.2.7, 10.0.0.3, 10.0.0.2"), ("X-Forwarded-Proto", "https, http, http"))
    assert (found.client, found.scheme) == ("192.0.2.7", "https")
    assert view(("X-Forwarded-For", "192.0.2.7, 10.0.0.2"), ("X-Forwarded-Proto", "https")).scheme == "https"
    assert view(("X-Forwarded-For", "10.0.0.4")).client == "10.0.0.4"


def test_a_hop_that_does_not_say_for_whom_ends_the_chain() -> None:
    found = view(("Forwarded", "for=6.6.6.6;host=evil, proto=https"))
    assert (found.client, found.scheme, found.authority) == ("10.0.0.1", "https", "inside:8000")


def test_two_kinds_of_headers_that_disagree_are_doubtful() -> None:
    found = view(("Forwarded", "for=6.6.6.6;host=evil"), ("X-Forwarded-For", "192.0.2.7"))
    assert found == ClientView("10.0.0.1", "http", "inside:8000", doubtful=True)
    found = view(
        ("Forwarded", "for=192.0.2.7;proto=https"), ("X-Forwarded-For", "192.0.2.7"), ("X-Forwarded-Proto", "https")
    )
    assert found == ClientView("192.0.2.7", "https", "inside:8000", doubtful=False)


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ('for="[2001:db8::7]:4711"', "2001:db8::7"),
        ('For="[2001:db8::7]"; Proto=http', "2001:db8::7"),
        ("for=_hidden", "_hidden"),
        ("for=unknown", "unknown"),
        ('for=", for=192.0.2.7', "192.0.2.7"),
        ("nonsense", "10.0.0.1"),
        (";;==,,", "10.0.0.1"),
        ('for="[2001:db8:1::5]", for=192.0.2.7', "192.0.2.7"),
        ('for=192.0.2.7, for="[2001:db8:1::5]:1"', "192.0.2.7"),
        # A comma in quotes is none between two hops, and a quote that a client left open swallows nobody's hop.
        ('for=192.0.2.7;secret="a, for=6.6.6.6"', "192.0.2.7"),
        (r'for=192.0.2.7;secret="a\", for=6.6.6.6;b=\""', "192.0.2.7"),
        ('for=6.6.6.6;a="x, for="[2001:db8::7]:4711"', "2001:db8::7"),
        ('for=6.6.6.6;a=", for="[2001:db8::7]";proto=https', "2001:db8::7"),
        (r'for="192.0.2.\7"', "192.0.2.7"),
    ],
)
def test_forwarded_in_its_many_forms(value: str, client: str) -> None:
    assert view(("Forwarded", value)).client == client


@pytest.mark.parametrize(("value", "client"), [("2001:db8::7", "2001:db8::7"), ("[2001:db8::7]:80", "2001:db8::7")])
def test_ipv6_in_x_forwarded_for(value: str, client: str) -> None:
    assert view(("X-Forwarded-For", value)).client == client


@pytest.mark.parametrize("host", ["", "a b", "a/b", "user@a", "a:b", "a\\b", "x" * 300, "[::1", "é"])
def test_a_host_that_is_none_is_not_known(host: str) -> None:
    scope = {"headers": [(b"host", host.encode())], "client": ("192.0.2.1", 1)}
    assert TRUST.view(scope).authority is None


def test_default_ports_are_left_out() -> None:
    for host, scheme, authority in [("a:80", "http", "a"), ("a:443", "https", "a"), ("[::1]:80", "https", "[::1]:80")]:
        assert TRUST.view({"headers": [(b"host", host.encode())], "scheme": scheme}).authority == authority


def test_an_unknown_scheme_counts_as_http() -> None:
    assert view(("X-Forwarded-For", "192.0.2.7"), ("X-Forwarded-Proto", "gopher")).scheme == "http"


def test_an_ipv4_peer_of_a_socket_for_both_families_is_recognised() -> None:
    assert view(("X-Forwarded-For", "192.0.2.7"), peer="::ffff:10.0.0.1").client == "192.0.2.7"
