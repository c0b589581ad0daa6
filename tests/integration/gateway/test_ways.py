"""Bytes of a body come by the event loop or by the lane, as the settings say, and are told apart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from tests.servers import LANE, Server, eventually, serving

pytestmark = pytest.mark.skipif(bool(LANE), reason="these tests say themselves which bodies take the lane")

TUS = {"Tus-Resumable": "1.0.0"}
SIZE = 4 * 2**20


def ways(server: Server) -> Mapping[str, float]:
    text = httpx.get(f"{server.origin}/metrics", trust_env=False).text
    return {
        way: float(value) for way, value in re.findall(r'^tusfleet_body_bytes_total\{way="(\w+)"\} (\S+)$', text, re.M)
    }


def upload(server: Server, data: bytes, **body: object) -> httpx.Response:
    """A PATCH with all bytes, over one connection with the POST before it."""
    with httpx.Client(trust_env=False, timeout=30) as client:
        made = client.post(server.url, headers={**TUS, "Upload-Length": str(len(data))})
        headers = {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        answer = client.patch(made.headers["Location"], headers=headers, content=data)
        assert answer.status_code == 204
        return client.get(made.headers["Location"])


BY_LANE = {
    "by default": ((), True),
    "off": (("--lane-min-size", "none"), False),
    "too small": (("--lane-min-size", "5MiB"), False),
    "of any size": (("--lane-min-size", "1"), True),
}


@pytest.mark.parametrize(("flags", "by_lane"), BY_LANE.values(), ids=BY_LANE)
def test_a_fast_body(tmp_path: Path, flags: tuple[str, ...], by_lane: bool) -> None:
    data = bytes(range(256)) * (SIZE // 256)
    with serving(tmp_path, *flags) as server:
        assert upload(server, data).content == data
        eventually(lambda: sum(ways(server).values()) == SIZE)
        assert (ways(server).get("lane", 0) > 0) is by_lane


def test_a_small_body_takes_the_lane_only_when_it_may(tmp_path: Path) -> None:
    with serving(tmp_path, "--lane-min-size", "1") as server:
        data = b"x" * 200_000
        assert upload(server, data).content == data
        eventually(lambda: sum(ways(server).values()) == len(data))
        assert ways(server).get("lane", 0) > 0
    with serving(tmp_path / "other") as server:
        assert upload(server, data).content == data
        eventually(lambda: ways(server) == {"loop": len(data)})
