from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Client, make_file
from tests.integration.cli.faulty import CUT, Fault, faulty_server

ClientOf = Callable[[str], Client]
SIZE = 100_000


def problem(detail: str) -> tuple[dict[str, str], bytes]:
    return {"Content-Type": "application/problem+json"}, json.dumps({"detail": detail}).encode()


@pytest.mark.parametrize(
    "fault",
    [
        Fault("PATCH", 423),
        Fault("PATCH", 409, keeps=500),
        Fault("PATCH", 408, keeps=500),
        Fault("PATCH", 429),
        Fault("PATCH", 460),
        Fault("PATCH", 500, keeps=500),
        Fault("PATCH", 502, tus=False),
        Fault("PATCH", CUT, keeps=500),
        Fault("POST", 503, tus=False),
        Fault("POST", CUT),
    ],
    ids=lambda fault: f"{fault.method}-{fault.status}",
)
def test_faults_that_pass_are_got_over(fault: Fault, client_of: ClientOf, tmp_path: Path) -> None:
    content = make_file(tmp_path, "f", SIZE)
    with faulty_server(fault, Fault("HEAD", 500)) as server:
        result = client_of(server.url).run("upload", "f")
        assert result.url == server.url + "1"
        assert bytes(server.content) == content
        expected = "POST PATCH HEAD HEAD PATCH" if fault.method == "PATCH" else "POST POST PATCH"
        assert server.methods() == expected
    assert "trying again in" in result.err


def test_an_answer_that_got_lost_is_no_reason_to_send_again(client_of: ClientOf, tmp_path: Path) -> None:
    content = make_file(tmp_path, "f", SIZE)
    with faulty_server(Fault("PATCH", CUT, keeps=SIZE)) as server:
        assert client_of(server.url).run("upload", "f").code == 0
        assert bytes(server.content) == content
        assert server.methods() == "POST PATCH HEAD"


def test_a_length_that_was_told_is_not_told_twice(client_of: ClientOf) -> None:
    with faulty_server(Fault("PATCH", CUT, keeps=3)) as server:
        server.faults.append(Fault("HEAD", 200, {"Upload-Offset": "3", "Upload-Length": "10"}))
        assert client_of(server.url).run("upload", "-", input=b"0123456789").code == 0
        assert bytes(server.content) == b"0123456789"
        patches = [headers for method, headers in server.asked if method == "PATCH"]
        assert patches[0]["Upload-Length"] == "10"
        assert "Upload-Length" not in patches[1]


def test_retry_after_is_waited_for(client_of: ClientOf, tmp_path: Path) -> None:
    make_file(tmp_path, "f", 10)
    with faulty_server(Fault("POST", 503, {"Retry-After": "2"})) as server:
        started = time.monotonic()
        result = client_of(server.url).run("upload", "f")
        assert time.monotonic() - started >= 2
    assert "trying again in 2.0 s" in result.err


@pytest.mark.parametrize("value", ["9" * 400, "soon", "Mon, 99999999999999999999 Jan 2026 00:00:00 GMT"])
def test_a_retry_after_that_tells_no_time_is_passed_over(value: str, client_of: ClientOf, tmp_path: Path) -> None:
    make_file(tmp_path, "f", 10)
    with faulty_server(Fault("POST", 503, {"Retry-After": value})) as server:
        result = client_of(server.url).run("upload", "f")
        assert result.url == server.url + "1"
    assert "trying again in 0." in result.err


def test_a_digest_goes_with_every_request_and_a_mismatch_is_sent_again(client_of: ClientOf, tmp_path: Path) -> None:
    content = make_file(tmp_path, "f", SIZE)
    with faulty_server(Fault("PATCH", 460)) as server:
        result = client_of(server.url).run("upload", "f", "--checksum", "sha1", "--chunk-size", "64KiB")
        assert result.code == 0
        assert bytes(server.content) == content
        digests = [headers["Upload-Checksum"] for method, headers in server.asked if method == "PATCH"]
    assert len(digests) == 3
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Fault("POST", 401), "The server asks for credentials; see --token-file and TUSFLEET_TOKEN"),
        (Fault("POST", 403, *problem("Not for you.")), "The server does not allow POST here: Not for you"),
        (Fault("POST", 413), "The server takes no upload of this size"),
        (Fault("PATCH", 413), "The upload is too large for the server"),
        (Fault("PATCH", 507, *problem("Disk full")), "The server has no room for it: Disk full; what it has is kept"),
        (Fault("POST", 404), "There is no upload collection at {url}; check --url"),
        (Fault("POST", 200, tus=False), "{url} does not speak tus 1.0.0 (it answered 200); check the address"),
        (Fault("POST", 201), "The server refused POST with 201"),
        (Fault("POST", 405, tus=False), "{url} does not speak tus 1.0.0 (it answered 405)"),
        (Fault("POST", 412, {"Tus-Version": "2.0.0"}), "The server does not speak tus 1.0.0 but 2.0.0"),
        (Fault("POST", 301, {"Location": "/up/"}), "has moved to http://127.0.0.1"),
        (Fault("POST", 201, {"Location": "http://[/files/1"}), "named an address that is none: http://[/files/1"),
        (Fault("POST", 201, {"Location": "http://h:port/1"}), "named an address that is none: http://h:port/1"),
        (Fault("POST", 308, {"Location": "http://["}), "named an address that is none: http://["),
        (
            Fault("POST", 400, *problem("bad\x1b[2J")),
            "The server refused POST with 400: bad\N{REPLACEMENT CHARACTER}[2J",
        ),
        (Fault("PATCH", 415, {"Content-Type": "text/plain"}, b"no"), "The server refused PATCH with 415: no"),
    ],
    ids=lambda value: f"{value.method}-{value.status}" if isinstance(value, Fault) else "",
)
def test_faults_that_stay_end_with_one_sentence(
    fault: Fault, sentence: str, client_of: ClientOf, tmp_path: Path
) -> None:
    make_file(tmp_path, "f", SIZE)
    with faulty_server(fault) as server:
        result = client_of(server.url).run("upload", "f", "--quiet")
        assert (result.code, result.out) == (1, "")
        assert result.err.startswith("Error: ")
        assert result.err.count("\n") == 1
        assert sentence.format(url=server.url) in result.err


def test_after_a_refusal_the_upload_goes_on_in_the_next_run(client_of: ClientOf, tmp_path: Path) -> None:
    content = make_file(tmp_path, "f", SIZE)
    with faulty_server(Fault("PATCH", 507, keeps=700)) as server:
        client = client_of(server.url)
        assert client.run("upload", "f").code == 1
        assert client.run("upload", "f").url == server.url + "1"
        assert bytes(server.content) == content
        assert server.methods() == "POST PATCH HEAD PATCH"


def test_what_the_server_does_not_offer_is_named(client_of: ClientOf, tmp_path: Path) -> None:
    make_file(tmp_path, "f", SIZE)
    bare = {"Tus-Version": "1.0.0", "Tus-Extension": "creation"}
    with faulty_server(Fault("OPTIONS", 204, bare), Fault("OPTIONS", 204, bare)) as server:
        client = client_of(server.url)
        parallel = client.run("upload", "f", "--parallel", "2")
        assert "does not offer the tus extension concatenation" in parallel.err
        assert "does not offer the tus extension creation-defer-length" in client.run("upload", "-").err
        assert "cannot verify md5; it offers sha1, sha256" in client.run("upload", "f", "--checksum", "md5").err


def test_a_server_that_forgets_every_upload_is_not_asked_for_ever(client_of: ClientOf, tmp_path: Path) -> None:
    make_file(tmp_path, "f", SIZE)
    with faulty_server(*[Fault("PATCH", 404)] * 5) as server:
        result = client_of(server.url).run("upload", "f")
        assert server.methods() == "POST PATCH POST PATCH POST PATCH"
    assert result.err.splitlines()[-1] == "Error: The server forgets uploads as soon as they are made"


def test_retries_are_counted(client_of: ClientOf, tmp_path: Path) -> None:
    make_file(tmp_path, "f", SIZE)
    with faulty_server(*[Fault("POST", 500)] * 9) as server:
        result = client_of(server.url).run("upload", "f", "--retries", "2")
        assert len(server.asked) == 3
    assert result.err.splitlines()[-1] == "Error: Gave up after 3 tries: the server answered 500"


def test_nobody_listens_and_no_such_host(client_of: ClientOf, tmp_path: Path) -> None:
    make_file(tmp_path, "f", SIZE)
    with faulty_server() as server:
        url = server.url
    nobody = client_of(url).run("upload", "f", "--give-up-after", "500ms")
    assert nobody.code == 1
    assert "cannot be reached (Connection refused)" in nobody.err.splitlines()[-1]
    nowhere = client_of("http://nowhere.invalid/files/").run("upload", "f", "--give-up-after", "500ms")
    assert nowhere.code == 1
    assert "nowhere.invalid" in nowhere.err.splitlines()[-1]


def test_credentials_and_headers_go_to_their_server_and_nowhere_else(client_of: ClientOf, tmp_path: Path) -> None:
    make_file(tmp_path, "f", SIZE)
    (tmp_path / "token").write_text("s3cret\nrest\n")
    with faulty_server() as other, faulty_server(Fault("POST", 201, {"Location": other.url + "1"})) as server:
        result = client_of(server.url).run("upload", "f", "--token-file", "token", "--header", "X-Tenant: a b")
        assert result.url == other.url + "1"
        ((_, first),) = server.asked
        assert (first["Authorization"], first["X-Tenant"]) == ("Bearer s3cret", "a b")
        assert len(other.asked) == 1
        assert not {"Authorization", "X-Tenant"} & set(other.asked[0][1])
    assert "s3cret" not in result.out + result.err


def test_a_token_that_is_refused_is_not_shown(client_of: ClientOf, tmp_path: Path) -> None:
    make_file(tmp_path, "f", SIZE)
    with faulty_server(Fault("POST", 401, *problem("Unknown token"))) as server:
        client = client_of(server.url)
        result = client.run("upload", "f", environment={"TUSFLEET_TOKEN": "s3cret"})
    assert result.err == "Error: The server does not accept the credentials: Unknown token\n"
    unreadable = client.run("upload", "f", "--token-file", "absent")
    assert unreadable.err == "Error: The token file absent cannot be read: No such file or directory\n"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl, which makes the certificate, is not installed")
def test_certificates_are_checked(client_of: ClientOf, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    content = make_file(tmp_path, "f", SIZE)
    with faulty_server(tls=context) as server:
        client = client_of(server.url)
        refused = client.run("upload", "f")
        assert refused.code == 1
        assert "is not trusted: self-signed certificate; see --cacert" in refused.err
        assert client.run("upload", "f", "--cacert", str(certificate)).code == 0
        assert bytes(server.content) == content
        assert client.run("upload", "f", "--insecure").code == 0
        assert "cannot be used" in client.run("upload", "f", "--cacert", "f").err
