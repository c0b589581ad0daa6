from __future__ import annotations

import pytest

from tusfleet.gateway.http_answer import Answer, Framing
from tusfleet.gateway.http_framing import Refused, Target, body_length, request_target

HOST = (b"host", b"a")


@pytest.mark.parametrize(
    ("method", "url", "target", "host"),
    [
        ("GET", b"/a/b?c=d?e", Target(b"/a/b", b"c=d?e"), b"a"),
        ("GET", b"//a/b", Target(b"//a/b", b""), b"a"),
        ("OPTIONS", b"*", Target(b"*", b""), b"a"),
        ("GET", b"https://b:8443/c", Target(b"/c", b""), b"b:8443"),
        ("GET", b"http://b?c", Target(b"/", b"c"), b"b"),
        ("OPTIONS", b"http://b", Target(b"*", b""), b"b"),
        ("GET", b"http://[::1]/", Target(b"/", b""), b"[::1]"),
    ],
)
def test_targets(method: str, url: bytes, target: Target, host: bytes) -> None:
    headers = [HOST, (b"x", b"y")]
    assert request_target(method, url, headers) == target
    assert headers == [(b"host", host), (b"x", b"y")]


@pytest.mark.parametrize(
    ("fields", "version", "length"),
    [
        ([HOST], "1.1", 0),
        ([], "1.0", 0),
        ([HOST, (b"content-length", b" 0012 ")], "1.1", 12),
        ([HOST, (b"transfer-encoding", b"Chunked")], "1.1", None),
        ([(b"host", b"")], "1.1", 0),
    ],
)
def test_lengths(fields: list[tuple[bytes, bytes]], version: str, length: int | None) -> None:
    assert body_length(fields, version) == length


@pytest.mark.parametrize(
    ("fields", "version"),
    [
        ([HOST, (b"content-length", b"1"), (b"transfer-encoding", b"chunked")], "1.1"),
        ([HOST, (b"content-length", b"1"), (b"content-length", b"1")], "1.1"),
        ([HOST, (b"content-length", "１".encode())], "1.1"),
        ([HOST, (b"content-length", b"1_0")], "1.1"),
        ([(b"transfer-encoding", b"chunked")], "1.0"),
        ([HOST, HOST], "1.0"),
        ([HOST], "2.0"),
    ],
)
def test_what_two_servers_could_read_differently_is_refused_whatever_the_parser_does(
    fields: list[tuple[bytes, bytes]], version: str
) -> None:
    with pytest.raises(Refused) as refused:
        body_length(fields, version)
    assert refused.value.status == 400


def test_the_framing_is_decided_by_the_first_piece() -> None:
    whole, pieces, closing = (Answer("GET", http10=http10, keep_alive=True) for http10 in (False, False, True))
    for answer in (whole, pieces, closing):
        answer.start(200, [(b"date", b"now")], [(b"connection", b"keep-alive, x")])
        assert not answer.sent
    assert b"".join(whole.piece(b"abc", more=False)).endswith(b"content-length: 3\r\n\r\nabc")
    assert b"".join(pieces.piece(b"abc", more=True)).endswith(b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
    assert b"".join(pieces.piece(b"", more=False)) == b"0\r\n\r\n"
    assert b"".join(closing.piece(b"abc", more=True)).endswith(b"date: now\r\nconnection: close\r\n\r\nabc")
    assert [answer.framing for answer in (whole, pieces, closing)] == [Framing.LENGTH, Framing.CHUNKED, Framing.CLOSE]


def test_an_answer_keeps_to_its_length() -> None:
    for data, said in [(b"abcd", "longer"), (b"ab", "shorter")]:
        answer = Answer("GET", http10=False, keep_alive=True)
        answer.start(200, [], [(b"Content-Length", b"3")])
        with pytest.raises(RuntimeError, match=said):
            answer.piece(data, more=False)
