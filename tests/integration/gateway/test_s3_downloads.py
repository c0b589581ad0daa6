"""Downloads from S3: a range costs one request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.failure.client import ask, create
from tests.servers import Server, serving
from tests.testbed.faults import S3Proxy
from tests.testbed.s3 import Bucket

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
