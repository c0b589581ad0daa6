"""Two TusServers in two namespaces with one Redis and two prefixes of one bucket: neither knows of the other."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from tests.cluster.story.site import Site
from tests.servers import eventually

pytestmark = pytest.mark.long

TUS = {"Tus-Resumable": "1.0.0"}

LENGTH = 20 * 2**20
PART = 7 * 2**20
SENT = PART + 2**20
"""A part, and a tail, which is what an append below the smallest part leaves."""

SWEPT_SECONDS = 60.0

STRAY = f".tails/{'a' * 32}/1.1-stray"
"""What a writer that died might have left, of an upload that no record knows."""


@pytest.fixture
def neighbours(site: Site) -> Iterator[tuple[Site, Site]]:
    """Two of them, beside the one that `site` has."""
    plane = site.cluster.plane
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    homes = [plane.namespace(labels=restricted) for _ in range(2)]
    sites = [replace(site, home=home) for home in homes]
    for number, found in enumerate(sites):
        found.make(prefix=f"n{number}")
    # Only theirs is to take away what is young: what ours took would tell nothing.
    patch = json.dumps({"spec": {"storage": {"s3": {"abandonedAfter": "1h"}}}})
    sites[0].kubectl("patch", "tusserver", "uploads", "--type=merge", "-p", patch)
    time.sleep(2)  # until the operator has seen it
    sites[0].kubectl("rollout", "status", "deployment/uploads-janitor", "--timeout=180s")
    yield sites[0], sites[1]
    for home in homes:
        plane.api.delete("tusfleet.dev/v1alpha1", "TusServer", "uploads", home)
        plane.api.delete("v1", "Namespace", home)
    eventually(lambda: all(plane.api.get("v1", "Namespace", home) is None for home in homes), 120)


def asked(method: str, url: str, headers: dict[str, str] | None = None, body: bytes = b"") -> httpx.Response:
    return httpx.request(method, url, headers=TUS | (headers or {}), content=body, timeout=30, trust_env=False)


def patched(url: str, offset: int, body: bytes) -> int:
    """The status of an append."""
    headers = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offset)}
    return asked("PATCH", url, headers, body).status_code


def created(site: Site, headers: dict[str, str]) -> str:
    """The URL of a new upload."""
    answer = asked("POST", site.url, headers)
    assert answer.status_code == 201, answer.text
    return site.url + answer.headers["location"].rpartition("/")[2]


def offset(url: str) -> int:
    answer = asked("HEAD", url)
    assert answer.status_code == 200
    return int(answer.headers["upload-offset"])


def test_two_of_them_share_redis_and_a_bucket(neighbours: tuple[Site, Site]) -> None:
    ours, theirs = neighbours
    unfinished = created(ours, {"Upload-Length": str(LENGTH)})
    assert patched(unfinished, 0, bytes(PART)) == 204
    assert patched(unfinished, PART, bytes(SENT - PART)) == 204
    partial = created(ours, {"Upload-Length": "3", "Upload-Concat": "partial"})
    assert patched(partial, 0, b"abc") == 204
    whole = ours.upload(ours.file("whole", 1000))

    for id in (url.rpartition("/")[2] for url in (unfinished, partial, whole)):
        there = theirs.url + id
        assert asked("HEAD", there).status_code == 404
        assert asked("GET", there).status_code == 404
        assert patched(there, 0, b"x") == 404
        assert asked("DELETE", there).status_code == 404
    path = httpx.URL(partial).raw_path.decode()
    joined = asked("POST", theirs.url, {"Upload-Concat": f"final;{path}"})
    assert 400 <= joined.status_code < 500, joined.text

    for prefix in ("n0/", "n1/"):
        ours.bucket.put(prefix + STRAY, b"left")
    keys, multiparts = objects(ours)
    tail = f"n0/.tails/{unfinished.rpartition('/')[2]}/"
    assert any(key.startswith(tail) for key in keys)
    assert multiparts != []
    eventually(lambda: f"n1/{STRAY}" not in swept_keys(theirs), SWEPT_SECONDS)
    assert objects(ours) == ([key for key in keys if key != f"n1/{STRAY}"], multiparts)
    assert offset(unfinished) == SENT
    assert patched(unfinished, SENT, bytes(LENGTH - SENT)) == 204
    final = created(ours, {"Upload-Concat": f"final;{path}"})
    assert asked("GET", final).content == b"abc"
    assert asked("GET", ours.url + whole).status_code == 200


def objects(site: Site) -> tuple[list[str], list[tuple[str, str]]]:
    """What is in the bucket: keys, and multipart uploads."""
    return site.bucket.keys(), site.bucket.multipart_uploads()


def swept_keys(site: Site) -> list[str]:
    """The keys in the bucket after one more pass of the janitor."""
    command = ("exec", "deployment/uploads-janitor", "--", "/opt/tusfleet/bin/tusfleet", "janitor")
    print("their janitor:", json.loads(site.kubectl(*command, "--once", "--report", "json"))["removed"])
    return site.bucket.keys()
