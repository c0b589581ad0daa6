"""What S3 has no part numbers for, with the memory of a gateway, is refused at the creation, not in the middle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

from tests.failure.client import MIB, ask, concatenate, create, metrics, offset, patch
from tests.servers import Server, serving
from tests.testbed.s3 import Bucket
from tusfleet.datastores.s3.options import SPARE_PARTS
from tusfleet.datastores.s3.sizes import PLANNED

PARTS = 64

LARGEST = int((PARTS - SPARE_PARTS) * PLANNED) * 5 * MIB
"""With parts of 5 MiB, as large as two of them in memory allow."""

FLAGS = ("--s3-part-size", "5MiB", "--buffer-memory", "10MiB", "--tail-cache", "0", "--s3-max-parts", f"{PARTS}")


@contextmanager
def serving_on(bucket: Bucket, folder: Path, *flags: str) -> Iterator[Server]:
    place = ("--datastore", "s3", "--s3-bucket", bucket.name, "--s3-endpoint", bucket.endpoint)
    environment = {**bucket.server.credentials, "AWS_REGION": bucket.server.region}
    with serving(folder, *place, *FLAGS, *flags, environment=environment) as found:
        yield found


@pytest.fixture
def server(bucket: Bucket, tmp_path: Path) -> Iterator[Server]:
    with serving_on(bucket, tmp_path) as found:
        yield found


def test_a_declared_length_is_taken_up_to_what_can_be_kept(server: Server, bucket: Bucket) -> None:
    assert int(ask(server, "OPTIONS", server.path)["tus-max-size"]) == LARGEST
    refused = ask(server, "POST", server.path, {"Upload-Length": f"{LARGEST + 1}"})
    assert refused.status == 413
    assert f"the limit is {LARGEST}" in refused.json()["detail"]
    data = Random(1).randbytes(LARGEST)
    path = create(server, LARGEST)
    half = LARGEST // 2 + 12345
    assert patch(server, path, 0, data[:half]).status == 204
    assert patch(server, path, half, data[half:]).status == 204
    assert bucket.sha256(path.rpartition("/")[2]) == sha256(data).hexdigest()


def test_an_unknown_length_ends_with_413_and_keeps_what_there_is(server: Server) -> None:
    path = create(server, None)
    assert patch(server, path, 0, bytes(LARGEST)).status == 204
    refused = patch(server, path, LARGEST, b"x")
    assert refused.status == 413
    assert f"the limit of {LARGEST}" in refused.json()["detail"]
    assert offset(server, path) == LARGEST
    late = patch(server, path, LARGEST, b"", {"Upload-Length": f"{LARGEST + 1}"})
    assert late.status == 413
    assert patch(server, path, LARGEST, b"", {"Upload-Length": f"{LARGEST}"}).status == 204


def test_a_final_upload_may_be_larger(server: Server, bucket: Bucket) -> None:
    data = Random(2).randbytes(LARGEST // 2 + MIB)
    parts = [create(server, len(data), {"Upload-Concat": "partial"}, data) for _ in range(2)]
    final = concatenate(server, parts)
    assert offset(server, final) == 2 * len(data) > LARGEST
    assert bucket.sha256(final.rpartition("/")[2]) == sha256(2 * data).hexdigest()


def test_too_many_parts_for_one_object_leave_no_final_upload_behind(bucket: Bucket, tmp_path: Path) -> None:
    most = 32
    with serving_on(bucket, tmp_path, "--s3-max-parts", f"{most}") as server:
        partial = {"Upload-Concat": "partial"}
        parts = [create(server, 5 * MIB, partial, bytes(5 * MIB)) for _ in range(most)]
        unfinished = create(server, 5 * MIB, partial)
        waiting = concatenate(server, [*parts, unfinished])
        assert patch(server, unfinished, 0, bytes(5 * MIB)).status == 204
        # Whoever waits for it learns that nothing will come of it.
        assert ask(server, "HEAD", waiting).status == 410
        final = {"Upload-Concat": f"final;{' '.join([*parts, unfinished])}"}
        refused = ask(server, "POST", server.path, final, b"")
        assert refused.status == 413
        assert "larger buffer_memory" in refused.json()["detail"]
        assert metrics(server)["tusfleet_uploads_open"] == 0
        states = [found["state"] for found in ask(server, "GET", "/api/v1/uploads?limit=100").json()["uploads"]]
        assert "finishing" not in states
        # The parts are there all the same, for a final upload of fewer.
        assert offset(server, concatenate(server, parts)) == most * 5 * MIB
