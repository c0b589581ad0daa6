"""The benchmark of slow lines: it counts requests and commits of one PATCH at a pace."""

from __future__ import annotations

from bench.slow import MIB, Cost, measure, table

FAST, SLOW = 200.0, 8.0
"""Megabits a second."""


def test_a_slow_line_costs_more_requests_and_loses_nothing() -> None:
    fast, slow = measure(6 * MIB, (FAST, SLOW), faster=5)
    assert fast.s3 == {"CreateMultipartUpload": 1, "UploadPart": 1, "CompleteMultipartUpload": 1} or fast.s3 == {
        "PutObject": 1
    }
    assert sum(slow.s3.values()) >= sum(fast.s3.values())
    assert slow.redis["commit"] > fast.redis["commit"]


def test_the_table_names_what_is_counted() -> None:
    cost = Cost({"PutObject": 3, "GetObject": 2, "UploadPart": 4, "CompleteMultipartUpload": 1}, {"commit": 9})
    assert "| 1.5 Mbit/s | 10 | 4 | 3, 2 | 9 |" in table(8 * MIB, [1.5], [cost])
