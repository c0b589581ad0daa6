"""F14: expiry that is absent, deletes finished files, or sweeps what others have in the same bucket."""

from __future__ import annotations

import uuid
from pathlib import Path
from random import Random

import pytest

from tests.failure.client import KIB, MIB, Wire, concatenate, create, head, id_of, patch
from tests.failure.fleet.gateways import QUICK, ForkedGateway, ForkedJanitor, gateway, need_forks
from tests.failure.fleet.passages import finished
from tests.failure.fleet.stores import PART, Place
from tests.servers import eventually

pytestmark = pytest.mark.long

SWEPT_SECONDS = 30.0
"""In which a janitor that looks all the time has found everything, on a machine that is busy with other tests."""

FLAGS = (*QUICK, "--expire-after", "2s", "--sweep-interval", "100ms", "--tombstone-ttl", "1s")

DATA = Random(14).randbytes(PART + MIB)


def test_F14_what_is_not_finished_expires_and_nothing_else(bucket_place: Place, tmp_path: Path) -> None:
    need_forks()
    bucket = bucket_place.bucket
    assert bucket is not None
    theirs = ["backup.tar", f"{uuid.uuid4().hex}.bak", ".tails/notes.txt", ".partials/a/b"]
    for key in theirs:
        bucket.put(key, key.encode())
    client = bucket.server.client
    parts = {str(client.create_multipart_upload(Bucket=bucket.name, Key=key)["UploadId"]) for key in ("a", "b/c")}
    with gateway(tmp_path / "gateway", bucket_place.backend, *FLAGS, kind=ForkedGateway) as one:
        kept = create(one, len(DATA), body=DATA)
        part = create(one, KIB, {"Upload-Concat": "partial"}, DATA[:KIB])
        final = concatenate(one, [part])
        # As tails in a record and in an object, and as a part with a tail.
        doomed = [create(one, 2 * PART, body=DATA[:size]) for size in (KIB, MIB, len(DATA))]
        abandon = ("--s3-abandoned-after", "1s")
        with gateway(tmp_path / "janitor", bucket_place.backend, *FLAGS, *abandon, kind=ForkedJanitor):
            eventually(lambda: all(head(one, path).status in (404, 410) for path in doomed), SWEPT_SECONDS)
            assert patch(one, doomed[0], KIB, b"x").status in (404, 410)
            eventually(lambda: {upload for _, upload in bucket.multipart_uploads()} == parts, SWEPT_SECONDS, 0.2)
            ours = [id_of(kept), id_of(final)]
            eventually(lambda: bucket.keys() == sorted([*theirs, *ours]), SWEPT_SECONDS, 0.2)
            eventually(lambda: all(head(one, path).status == 404 for path in doomed), SWEPT_SECONDS)
        for path, data in ((kept, DATA), (final, DATA[:KIB])):
            assert "upload-expires" not in head(one, path)
            finished(one, bucket_place, path, data)
        assert all(bucket.read(key) == key.encode() for key in theirs)


def test_F14_what_is_being_written_does_not_expire(bucket_place: Place, tmp_path: Path) -> None:
    need_forks()
    with (
        gateway(tmp_path / "gateway", bucket_place.backend, *FLAGS, kind=ForkedGateway) as one,
        gateway(tmp_path / "janitor", bucket_place.backend, *FLAGS, kind=ForkedJanitor),
    ):
        path, gone = create(one, KIB + 1), create(one, KIB)
        with Wire(one) as wire:
            wire.patch(path, 0, KIB + 1)
            wire.send(DATA[:KIB])
            # One that was created after it has expired and been forgotten meanwhile.
            eventually(lambda: head(one, gone).status == 404, SWEPT_SECONDS)
            wire.send(DATA[KIB : KIB + 1])
            assert wire.read("PATCH").status == 204
        finished(one, bucket_place, path, DATA[: KIB + 1])
