"""F6: a download holds the exclusive lock, so that HEAD gets 500; and a download that takes long is cut.

Here a download holds nothing, at no gateway, and takes as long as its client does.
"""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import pytest

from tests.failure.client import MIB, Wire, ask, create, get, head, offset_of
from tests.failure.fleet.gateways import QUICK, need_forks, two_gateways
from tests.failure.fleet.stores import Place

pytestmark = pytest.mark.long

SIZE = 48 * MIB
"""More than the network between a gateway and a client that reads nothing takes."""

READ_SECONDS = 1.0
"""Longest silence of S3 that a gateway bears."""

SOON_SECONDS = 5.0
"""In which something small is answered on a machine that is busy with other tests."""


def test_F06_a_download_that_stands_still_holds_up_nobody_and_is_not_cut(bucket_place: Place, tmp_path: Path) -> None:
    need_forks()
    flags = (*QUICK, "--s3-read-timeout", f"{READ_SECONDS:g}s")
    data = Random(6).randbytes(SIZE)
    with two_gateways(tmp_path, bucket_place.backend, *flags) as (first, second):
        path = create(first, SIZE, body=data)
        part = create(first, MIB, {"Upload-Concat": "partial"}, data[:MIB])
        with Wire(first) as slow, Wire(second) as other:
            for wire in (slow, other):
                wire.request("GET", path, {})
            began = time.monotonic()
            for server in (first, second):
                asked = time.monotonic()
                answer = head(server, path)
                assert (answer.status, offset_of(answer)) == (200, SIZE)
                assert time.monotonic() - asked < SOON_SECONDS
                assert get(server, path) == data
            # What may be done to an upload that is being downloaded is done at once too.
            with Wire(first) as third:
                third.request("GET", part, {})
                asked = time.monotonic()
                assert ask(second, "DELETE", part).status == 204
                assert time.monotonic() - asked < SOON_SECONDS
            # Much longer than S3 may be silent.
            time.sleep(max(0.0, began + 4 * READ_SECONDS - time.monotonic()))
            for wire in (slow, other):
                answer = wire.read("GET")
                assert answer.status == 200
                assert answer.body == data
