from __future__ import annotations

import pytest

from tusfleet.gateway.cors import Cors

PAGE = "https://app.example"


def request(origin: str | None, **fields: str) -> list[tuple[bytes, bytes]]:
    headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    return headers if origin is None else [(b"origin", origin.encode()), *headers]


def test_every_origin_gets_a_star_and_nothing_depends_on_it() -> None:
    cors = Cors(["*"])
    headers = dict(cors.headers(request(PAGE)))
    assert headers[b"access-control-allow-origin"] == b"*"
    assert b"Upload-Offset" in headers[b"access-control-expose-headers"]
    assert b"vary" not in headers
    assert b"access-control-allow-credentials" not in headers
    assert cors.headers(request(None)) == []


def test_a_listed_origin_is_named_and_every_answer_varies() -> None:
    cors = Cors([PAGE])
    headers = cors.headers(request(PAGE))
    assert (b"access-control-allow-origin", PAGE.encode()) in headers
    assert headers.count((b"vary", b"Origin")) == 1
    for origin in ("https://other.example", None, "null", ""):
        assert cors.headers(request(origin)) == [(b"vary", b"Origin")]


def test_no_origins_turn_it_off() -> None:
    cors = Cors([])
    assert cors.headers(request(PAGE)) == []
    assert cors.preflight("OPTIONS", request(PAGE, access_control_request_method="PATCH")) == []


def test_credentials_need_the_name_of_the_origin() -> None:
    for origins in ([PAGE], ["*"]):
        headers = dict(Cors(origins, credentials=True).headers(request(PAGE)))
        assert headers[b"access-control-allow-origin"] == PAGE.encode()
        assert headers[b"access-control-allow-credentials"] == b"true"
        assert headers[b"vary"] == b"Origin"
    assert Cors(["*"], credentials=True).headers(request(None)) == [(b"vary", b"Origin")]


@pytest.mark.parametrize(
    ("pattern", "origin", "allowed"),
    [
        ("https://*.example", "https://a.example", True),
        ("https://*.example", "https://a.b.example", True),
        ("https://*.example", "https://A.EXAMPLE", True),
        ("https://*.example", "https://example", False),
        ("https://*.example", "https://.example", False),
        ("https://*.example", "http://a.example", False),
        ("https://*.example", "https://a.example.evil", False),
        ("https://*.example", "https://evil/.example", False),
        ("https://*.example", "https://evil:80.example", False),
        ("https://*.example:8443", "https://a.example:8443", True),
        ("https://app.example", "https://appxexample", False),
        ("https://app.example", "https://app.example:8443", False),
        ("re:https://(a|b)\\.example", "https://b.example", True),
        ("re:https://(a|b)\\.example", "https://b.example.evil", False),
        ("re:https://a\\.example", "evil https://a.example", False),
        ("null", "null", True),
    ],
)
def test_patterns(pattern: str, origin: str, allowed: bool) -> None:
    names = dict(Cors([pattern]).headers(request(origin)))
    assert (names.get(b"access-control-allow-origin") == origin.encode()) is allowed


def test_a_preflight_tells_what_may_be_asked() -> None:
    cors = Cors([PAGE], max_age=60)
    asked = request(PAGE, access_control_request_method="PATCH", access_control_request_headers="x-mine, tus-resumable")
    headers = dict(cors.preflight("OPTIONS", asked))
    assert b"PATCH" in headers[b"access-control-allow-methods"]
    assert headers[b"access-control-allow-headers"].endswith(b", x-mine")
    assert headers[b"access-control-allow-headers"].lower().count(b"tus-resumable") == 1
    assert headers[b"access-control-max-age"] == b"60"
    for method, other in [
        ("OPTIONS", request(PAGE)),
        ("PATCH", asked),
        ("OPTIONS", request("https://other.example", access_control_request_method="PATCH")),
    ]:
        assert cors.preflight(method, other) == []


def test_names_that_are_none_are_not_given_back() -> None:
    names = 'ok, b ad, c"d, ' + "x" * 101 + ", " + ", ".join(f"n{number}" for number in range(200))
    asked = request(PAGE, access_control_request_method="PATCH", access_control_request_headers=names)
    allowed = dict(Cors(["*"]).preflight("OPTIONS", asked))[b"access-control-allow-headers"].decode()
    assert ", ok, n0, " in allowed
    assert "b ad" not in allowed
    assert '"' not in allowed
    assert len(allowed) < 2000
