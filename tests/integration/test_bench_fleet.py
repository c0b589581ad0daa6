"""The benchmark of two gateways: it uploads through both of them, and says what limits the ratio."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.fleet import bulk, fleet, small
from bench.fleet_report import Sample, Table, render
from bench.load import Load

MIB = 2**20

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="costs are read from /proc, which only Linux has")


@linux_only
def test_load_goes_through_two_gateways_to_one_store(tmp_path: Path) -> None:
    with fleet(2, "s3", tmp_path) as at:
        assert len({gateway.pid for gateway in at.gateways}) == 2
        few = small(4096, 100)(Load(), at)
        long = bulk(12 * MIB)(Load(), at)
    for sample in (few, long):
        assert sample.rate > 0
        assert set(sample.cpu) == {"gateways", "Redis", "S3", "load generator"}
        assert min(sample.cpu.values()) > 0


@linux_only
def test_gateways_share_a_folder(tmp_path: Path) -> None:
    with fleet(2, "filesystem", tmp_path) as at:
        small(4096, 100)(Load(), at)
    files = [path for path in (tmp_path / "data" / "files").rglob("*") if path.is_file()]
    assert files
    assert {path.stat().st_size for path in files} == {4096}


def test_the_report_tells_the_ratio_and_its_limit() -> None:
    one = Sample(500.0, {"gateways": 0.001, "Redis": 0.0002, "load generator": 0.0001}, 1.1)
    two = Sample(800.0, {"gateways": 0.001, "Redis": 0.00025, "load generator": 0.0001}, 1.9)
    table = Table("small", "ms", 1e3, {1: one, 2: two})
    text = render({"s3": [table]}, {"CPU": "one"}, cores=2, rounds=3)
    assert "| 1 | 500 | 1.00 | 0.20 | 0.10 | 1.10 |" in text
    assert "Ratio **1.60**" in text
    # 1,000 uploads/s are one core of a gateway; 2 cores are busy with 1,481 of 1.35 ms.
    assert "1.48 is within reach" in text
    assert "every process it would be **2.00**" in text
    assert "ends at 4,000 uploads a second: as many as 4.0 busy gateways make" in text
