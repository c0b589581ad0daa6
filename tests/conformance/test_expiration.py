"""Rows A80-A88: expiration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.conformance import uploads
from tests.conformance.conftest import USUAL, Serve
from tests.servers import Server, eventually, serving

FIXDATE = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-3][0-9] (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) "
    r"20[0-9]{2} [0-2][0-9]:[0-5][0-9]:[0-6][0-9] GMT"
)
"""IMF-fixdate (RFC 9110 section 5.6.7)."""

HOUR = timedelta(hours=1)


@pytest.fixture
def hour(serve: Serve) -> Server:
    """Uploads expire an hour after their last bytes."""
    return serve("--expire-after", "1h")


@pytest.fixture
def brief(serve: Serve) -> Server:
    """Uploads expire very soon after their last bytes, and are remembered."""
    return serve("--expire-after", "1s")


@pytest.fixture
def absolute(serve: Serve) -> Server:
    """Uploads expire soon after their creation, whatever comes later."""
    return serve("--expire-after", "2s", "--expiration", "absolute")


def moment(text: str) -> datetime:
    assert FIXDATE.fullmatch(text), text
    return datetime.strptime(text, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)


def when(server: Server, url: str) -> datetime:
    """When an upload expires, more exactly than headers tell."""
    return datetime.fromisoformat(uploads.record(server, url)["expires_at"])


def wait_until_gone(url: str) -> None:
    eventually(lambda: uploads.head(url).status == 410)


def test_A80_options_tells_expiration_only_if_uploads_expire(serve: Serve, hour: Server) -> None:
    assert "expiration" in uploads.ask("OPTIONS", hour.url)["Tus-Extension"].split(",")
    assert "expiration" not in uploads.ask("OPTIONS", serve().url)["Tus-Extension"].split(",")


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (["Upload-Length: 5"], None),
        (["Upload-Defer-Length: 1"], None),
        (["Upload-Length: 5", uploads.BYTES], b"123"),
        (["Upload-Length: 5", "Upload-Concat: partial"], None),
    ],
)
def test_A81_a_creation_tells_when_the_upload_expires(hour: Server, fields: list[str], body: bytes | None) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    expires = moment(uploads.post(hour, *fields, body=body)["Upload-Expires"])
    assert before + HOUR <= expires <= datetime.now(UTC) + HOUR


def test_A81_no_expiry_no_header(server: Server) -> None:
    response = uploads.post(server, "Upload-Length: 5")
    url = uploads.located(server, response)
    for answer in (response, uploads.head(url), uploads.patch(url, 0, b"123"), uploads.patch(url, 3)):
        assert "Upload-Expires" not in answer


def test_A82_every_patch_of_an_unfinished_upload_tells_it(hour: Server) -> None:
    url = uploads.create(hour, 10)
    for position, data in ((0, b"123"), (3, b""), (3, b"456")):
        response = uploads.patch(url, position, data)
        assert response.status == 204
        assert moment(response["Upload-Expires"]) == when(hour, url).replace(microsecond=0)


@pytest.fixture(scope="module")
def abroad(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose process is set up for another country."""
    place = {"LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8", "TZ": "Asia/Kathmandu"}
    with serving(tmp_path_factory.mktemp("abroad"), *USUAL, "--expire-after", "1h", environment=place) as server:
        yield server


def test_A83_the_value_is_a_date_of_http_wherever_the_server_is(abroad: Server) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    response = uploads.post(abroad, "Upload-Length: 5")
    url = uploads.located(abroad, response)
    for answer in (response, uploads.patch(url, 0, b"123"), uploads.head(url)):
        assert before + HOUR <= moment(answer["Upload-Expires"]) <= datetime.now(UTC) + HOUR


def test_A84_bytes_move_a_sliding_expiry_forward_only(hour: Server) -> None:
    url = uploads.create(hour, 10)
    seen = [when(hour, url)]
    for position in range(3):
        assert uploads.patch(url, position, b"x").status == 204
        seen.append(when(hour, url))
    assert seen == sorted(set(seen))
    assert uploads.patch(url, 3).status == 204
    assert uploads.patch(url, 9, b"x").status == 409
    assert uploads.head(url).status == 200
    assert when(hour, url) >= seen[-1]


def test_A84_nothing_moves_an_absolute_expiry(absolute: Server) -> None:
    url = uploads.create(absolute, 10)
    expires = when(absolute, url)
    assert uploads.patch(url, 0, b"123").status == 204
    assert when(absolute, url) == expires
    wait_until_gone(url)
    assert datetime.now(UTC) >= expires


@pytest.mark.parametrize("data", [b"", b"123"])
def test_A85_an_expired_upload_is_410(brief: Server, data: bytes) -> None:
    before = uploads.events(brief, "expired")
    url = uploads.create(brief, 10, data=data)
    wait_until_gone(url)
    response = uploads.head(url)
    uploads.refused(response, 410, "gone", method="HEAD")
    assert "Upload-Offset" not in response
    assert "Upload-Expires" not in response
    uploads.refused(uploads.patch(url, len(data), b"4"), 410, "gone")
    uploads.refused(uploads.ask("DELETE", url), 410, "gone")
    uploads.refused(uploads.ask("GET", url), 410, "gone")
    eventually(lambda: uploads.files(brief, url) == [])
    eventually(lambda: uploads.events(brief, "expired") > before)
    uploads.refused(uploads.patch(url, len(data), b"4"), 410, "gone")


def test_A85_it_is_410_before_the_sweeper_comes(serve: Serve) -> None:
    server = serve("--expire-after", "100ms", "--sweep-interval", "1h")
    url = uploads.create(server, 10)
    wait_until_gone(url)
    uploads.refused(uploads.patch(url, 0, b"1"), 410, "gone")


def test_A85_in_the_end_it_is_forgotten(serve: Serve) -> None:
    server = serve("--expire-after", "100ms", "--tombstone-ttl", "100ms")
    url = uploads.located(server, uploads.post(server, "Upload-Length: 10", uploads.BYTES, body=b"123"))
    eventually(lambda: uploads.head(url).status == 404)
    unknown = f"{server.url}/{uploads.UNKNOWN}"
    for method in ("HEAD", "DELETE", "GET"):
        assert uploads.ask(method, url).status == uploads.ask(method, unknown).status == 404
    assert uploads.patch(url, 3, b"4").status == 404
    assert uploads.files(server, url) == []


@pytest.mark.parametrize("length", [5, 0])
def test_A86_finished_uploads_do_not_expire(brief: Server, length: int) -> None:
    data = b"12345"[:length]
    url = uploads.finished(brief, data) if data else uploads.create(brief, 0)
    assert "Upload-Expires" not in uploads.head(url)
    answer = uploads.patch(url, length)
    assert answer.status == 204
    assert "Upload-Expires" not in answer
    wait_until_gone(uploads.create(brief, 10))
    assert uploads.head(url).status == 200
    assert uploads.content(url) == data


def test_A86_the_last_patch_tells_no_expiry(hour: Server) -> None:
    url = uploads.create(hour, 5)
    response = uploads.patch(url, 0, b"12345")
    assert response.status == 204
    assert "Upload-Expires" not in response


@pytest.mark.parametrize("mode", ["brief", "absolute"])
def test_A87_a_running_patch_is_not_cut_by_the_expiry(request: pytest.FixtureRequest, mode: str) -> None:
    server: Server = request.getfixturevalue(mode)
    url = uploads.create(server, 10)
    with uploads.running(server, url, b"12345", 10) as connection:
        expires = when(server, url)
        wait_until_gone(uploads.create(server, 10))  # a later one; and the sweeper has been there
        assert datetime.now(UTC) > expires
        connection.send(b"67890")
        response = connection.read()
        assert (response.status, response["Upload-Offset"]) == (204, "10")
    assert uploads.content(url) == b"1234567890"


def test_A88_head_tells_when_the_upload_expires(hour: Server) -> None:
    url = uploads.create(hour, 10)
    assert moment(uploads.head(url)["Upload-Expires"]) == when(hour, url).replace(microsecond=0)


def test_A88_a_finished_part_goes_on_expiring_and_tells_so(hour: Server) -> None:
    # It is no file of its own: nobody else would ever remove a part that is not merged.
    url = uploads.create(hour, 5, "Upload-Concat: partial")
    for answer in (uploads.patch(url, 0, b"12345"), uploads.patch(url, 5), uploads.head(url)):
        assert moment(answer["Upload-Expires"]) == when(hour, url).replace(microsecond=0)
    whole = uploads.located(hour, uploads.final(hour, url))
    assert "Upload-Expires" not in uploads.head(whole)


def test_A88_a_final_upload_that_waits_tells_it_too(hour: Server) -> None:
    part = uploads.create(hour, 5, "Upload-Concat: partial")
    response = uploads.final(hour, part)
    url = uploads.located(hour, response)
    for answer in (response, uploads.head(url)):
        assert moment(answer["Upload-Expires"]) == when(hour, url).replace(microsecond=0)
