"""Downloads from S3: a range costs one request, and a redirect names an address that clients can reach."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.failure.client import ask, create
from tests.servers import Server, serving
from tests.testbed.faults import S3Proxy
from tests.testbed.s3 import Bucket
from tests.testbed.toxiproxy import Toxiproxy

CONTENT = bytes(range(256)) * 4096


@contextmanager
def serving_from(folder: Path, bucket: Bucket, endpoint: str, *flags: str) -> Iterator[Server]:
    place = ("--datastore", "s3", "--s3-bucket", bucket.name, "--s3-endpoint", endpoint)
    environment = {**bucket.server.credentials, "AWS_REGION": bucket.server.region}
    with serving(folder, *place, *flags, environment=environment) as server:
        yield server


def test_a_range_costs_one_request(bucket: Bucket, s3_proxy: S3Proxy, tmp_path: Path) -> None:
    with serving_from(tmp_path, bucket, s3_proxy.endpoint) as server:
        path = create(server, len(CONTENT), body=CONTENT)
        for asked, start, stop in (("1000-1999", 1000, 2000), ("-5", len(CONTENT) - 5, len(CONTENT)), ("0-0", 0, 1)):
            s3_proxy.clear()
            answer = ask(server, "GET", path, {"Range": f"bytes={asked}"})
            assert (answer.status, answer.body) == (206, CONTENT[start:stop])
            (sent,) = [request for request in s3_proxy.requests() if request.operation == "GetObject"]
            assert sent.fields["range"] == f"bytes={start}-{stop - 1}"


def test_a_redirect_names_the_address_for_clients(bucket: Bucket, toxiproxy: Toxiproxy, tmp_path: Path) -> None:
    """The gateways reach S3 by another address than clients do; each address is under the signature."""
    inside, outside = toxiproxy.proxy(bucket.server.port), toxiproxy.proxy(bucket.server.port)
    public = ("--downloads", "redirect", "--s3-public-endpoint", f"http://{outside.address}")
    with outside.down(), serving_from(tmp_path, bucket, f"http://{inside.address}", *public) as server:
        path = create(server, len(CONTENT), body=CONTENT)
        answer = ask(server, "GET", path)
    url = answer["location"]
    assert (answer.status, urlsplit(url).netloc) == (307, outside.address)
    assert urlsplit(url).path.startswith(f"/{bucket.name}/")
    with inside.down():
        found = httpx.get(url, headers={"Range": "bytes=10-19"})
        assert (found.status_code, found.content) == (206, CONTENT[10:20])
    # What is signed for one address is good for no other.
    assert httpx.get(url.replace(outside.address, inside.address)).status_code == 403


def test_an_address_for_clients_that_is_none_is_told_of(bucket: Bucket, tmp_path: Path) -> None:
    flags = ("--downloads", "redirect", "--s3-public-endpoint", "not a url")
    with (
        pytest.raises(AssertionError, match="public_endpoint: it is a URL such as") as ended,
        serving_from(tmp_path, bucket, bucket.endpoint, *flags),
    ):
        pass
    assert "Traceback" not in str(ended.value)
