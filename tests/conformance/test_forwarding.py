"""Section A.9, `Location`: what the server believes about itself behind proxies, and from whom."""

from __future__ import annotations

import pytest

from tests.conformance.conftest import Serve
from tests.conformance.uploads import (
    VERSION,
    content,
    final,
    id_of,
    located,
    partial,
    patch,
    post,
    refused,
)
from tests.raw_http import Connection, Response, message
from tests.servers import Server, eventually

TRUSTING = ("--trusted-proxies", "127.0.0.0/8,::1")
PROXY = ["X-Forwarded-Proto: https", "X-Forwarded-Host: up.example", "X-Forwarded-For: 192.0.2.1"]


def create_as(server: Server, host: str, *fields: str) -> Response:
    """Create an upload, with `host` as the Host header."""
    with Connection(server.url) as connection:
        connection.send(message("POST", server.path, host, VERSION, "Upload-Length: 5", *fields))
        response = connection.read()
    assert response.status == 201, response
    return response


def base_of(response: Response) -> str:
    """The Location of a creation without the id."""
    base, slash, id = response["Location"].rpartition("/")
    assert slash
    assert id.isalnum()
    return base


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("up.example", "http://up.example/files"),
        ("up.example:8080", "http://up.example:8080/files"),
        ("up.example:80", "http://up.example/files"),
        ("UP.example", "http://up.example/files"),
        ("192.0.2.1:81", "http://192.0.2.1:81/files"),
        ("[2001:db8::1]:81", "http://[2001:db8::1]:81/files"),
    ],
)
def test_a_location_is_absolute_for_the_host_that_was_asked(server: Server, host: str, expected: str) -> None:
    assert base_of(create_as(server, host)) == expected


@pytest.mark.parametrize("host", ["", "a_b!", "up.example:port", "up.example:", "%41", "a,b", "[::1"])
def test_a_host_that_is_none_gives_the_path_alone(server: Server, host: str) -> None:
    assert base_of(create_as(server, host)) == "/files"


@pytest.mark.parametrize("host", ['"', "a/b", "user@up.example", "a b", "<script>", "a\tb", "é"])
def test_a_host_that_http_does_not_allow_is_400(server: Server, host: str) -> None:
    with Connection(server.url) as connection:
        connection.send(message("POST", "/files", host, VERSION, "Upload-Length: 5"))
        refused(connection.read(), 400, "bad_request")


@pytest.mark.parametrize(
    "fields",
    [
        PROXY,
        ["X-Forwarded-Proto: https"],
        ["X-Forwarded-Host: evil.example"],
        ["X-Forwarded-For: 192.0.2.1"],
        ["Forwarded: for=192.0.2.1;proto=https;host=evil.example"],
        ["Forwarded: nonsense"],
    ],
)
def test_from_a_stranger_forwarding_leaves_the_path_alone(server: Server, fields: list[str]) -> None:
    assert base_of(create_as(server, "internal:8080", *fields)) == "/files"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (PROXY, "https://up.example/files"),
        (["X-Forwarded-Proto: https"], "https://internal:8080/files"),
        (["X-Forwarded-Host: up.example:8443"], "http://up.example:8443/files"),
        (["X-Forwarded-Proto: https", "X-Forwarded-Host: up.example:443"], "https://up.example/files"),
        (["X-Forwarded-Proto: HTTPS", "X-Forwarded-Host: UP.example"], "https://up.example/files"),
        (["X-Forwarded-For: 192.0.2.1"], "http://internal:8080/files"),
        (["X-Forwarded-Proto: gopher", "X-Forwarded-Host: up.example"], "http://up.example/files"),
        (["X-Forwarded-Proto: javascript:alert(1)//"], "http://internal:8080/files"),
        (["Forwarded: for=192.0.2.1;proto=https;host=up.example"], "https://up.example/files"),
        (
            ['Forwarded: For="[2001:db8::1]:4711" ; Proto=https ; Host="up.example:8443"'],
            "https://up.example:8443/files",
        ),
        (["Forwarded: proto=https"], "https://internal:8080/files"),
        # Most proxies write one kind and pass the other on as the client sent it: only when both agree it is clear.
        (["Forwarded: for=192.0.2.1;host=up.example;proto=https", *PROXY], "https://up.example/files"),
        (["Forwarded: host=up.example;proto=https", "X-Forwarded-Host: other.example"], "/files"),
        # The nearest proxy is the one that is trusted; what stands before it came from outside.
        (
            ["Forwarded: for=1.1.1.1;host=evil.example;proto=http, for=192.0.2.1;host=up.example;proto=https"],
            "https://up.example/files",
        ),
        (["X-Forwarded-Proto: http, https", "X-Forwarded-Host: evil.example, up.example"], "https://up.example/files"),
        # A chain of trusted ones: the first of them saw the client.
        (
            ["Forwarded: for=192.0.2.1;host=up.example;proto=https, for=127.0.0.9;host=inner;proto=http"],
            "https://up.example/files",
        ),
    ],
)
def test_a_trusted_proxy_is_believed(serve: Serve, fields: list[str], expected: str) -> None:
    assert base_of(create_as(serve(*TRUSTING), "internal:8080", *fields)) == expected


@pytest.mark.parametrize("host", ["a/b", 'a"b', "user@up.example", "a b", "up.example/evil?", "..//x"])
def test_a_forwarded_host_that_is_none_gives_the_path_alone(serve: Serve, host: str) -> None:
    assert base_of(create_as(serve(*TRUSTING), "internal", f"X-Forwarded-Host: {host}")) == "/files"


def test_without_forwarding_a_trusted_peer_is_an_ordinary_client(serve: Serve) -> None:
    assert base_of(create_as(serve(*TRUSTING), "up.example")) == "http://up.example/files"


def test_only_the_proxies_named_are_trusted(serve: Serve) -> None:
    server = serve("--trusted-proxies", "192.0.2.0/24")
    assert base_of(create_as(server, "internal", *PROXY)) == "/files"


@pytest.mark.parametrize("fields", [[], PROXY])
@pytest.mark.parametrize("trust", [(), TRUSTING])
def test_a_location_can_always_be_the_path(serve: Serve, fields: list[str], trust: tuple[str, ...]) -> None:
    server = serve("--location", "relative", *trust)
    assert base_of(create_as(server, "internal", *fields)) == "/files"


def test_a_location_can_always_be_absolute(serve: Serve) -> None:
    server = serve("--location", "absolute")
    assert base_of(create_as(server, "internal:8080")) == "http://internal:8080/files"
    assert base_of(create_as(server, "internal:8080", *PROXY)) == "http://internal:8080/files"
    assert (
        base_of(create_as(serve("--location", "absolute", *TRUSTING), "internal", *PROXY)) == "https://up.example/files"
    )


@pytest.mark.parametrize("fields", [[], PROXY])
def test_a_location_can_have_a_base_of_its_own(serve: Serve, fields: list[str]) -> None:
    server = serve("--location", "https://cdn.example/some/where")
    assert base_of(create_as(server, "internal", *fields)) == "https://cdn.example/some/where"


def test_parts_may_be_named_as_clients_were_told_of_them(serve: Serve) -> None:
    server = serve("--location", "https://cdn.example/some/where")
    parts = []
    for data in (b"hello ", b"world"):
        response = post(server, f"Upload-Length: {len(data)}", "Upload-Concat: partial")
        parts.append(response["Location"])
        assert patch(f"{server.url}/{id_of(parts[-1])}", 0, data).status == 204
    whole = final(server, *parts)["Location"]
    assert whole.startswith("https://cdn.example/some/where/")
    assert content(f"{server.url}/{id_of(whole)}") == b"hello world"
    refused(final(server, parts[0].replace("cdn", "other")), 400, "invalid_concatenation")
    refused(final(server, parts[0].replace("/some", "")), 400, "invalid_concatenation")


def test_parts_may_be_named_as_seen_through_a_trusted_proxy(serve: Serve) -> None:
    server = serve(*TRUSTING)
    id = id_of(partial(server, b"12345"))
    with Connection(server.url) as connection:
        for host, status in (("up.example", 201), ("other.example", 400)):
            fields = [VERSION, *PROXY, f"Upload-Concat: final;https://{host}/files/{id}"]
            connection.send(message("POST", "/files", "internal", *fields))
            assert connection.read().status == status


def test_parts_are_known_by_their_path_behind_a_proxy_that_is_not_trusted(server: Server) -> None:
    # The proxy was asked for up.example, and this server cannot know that.
    id = id_of(partial(server, b"12345"))
    fields = [*PROXY, f"Upload-Concat: final;https://up.example/files/{id}"]
    response = post(server, *fields)
    assert base_of(response) == "/files"
    assert content(located(server, response)) == b"12345"


def test_the_address_of_a_client_is_logged_as_trusted_proxies_tell_it(serve: Serve) -> None:
    def client_of(server: Server) -> object:
        fields = ["X-Forwarded-For: 203.0.113.9, 192.0.2.1", "X-Request-Id: seen"]
        assert create_as(server, "internal", *fields)["X-Request-Id"] == "seen"
        lines = eventually(lambda: [line for line in server.lines() if line.get("request_id") == "seen"])
        return lines[0]["client"]

    assert client_of(serve(*TRUSTING)) == "192.0.2.1"
    assert client_of(serve()) == "127.0.0.1"


def test_the_api_does_not_take_a_proxy_for_this_machine(serve: Serve) -> None:
    for server in (serve(), serve(*TRUSTING)):
        for field in ("X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1", "Via: 1.1 proxy"):
            with Connection(server.origin) as connection:
                connection.send(message("GET", "/api/v1/uploads", "localhost", field))
                assert connection.read().status == 403
