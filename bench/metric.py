"""What a measurement gives, and how its table is read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum

from bench.load import Load
from bench.servers import Running

MIB = 2**20
GIB = 2**30

Sample = dict[str, float]
"""What one measurement saw, by the keys of the metrics."""

Start = Callable[[], AbstractContextManager[Running]]
"""Starts the server under measurement, with an empty folder."""

Run = Callable[[Load, Start], Sample]
"""Does one measurement."""


class WrongResult(RuntimeError):
    """A server acknowledged something that is not so."""


class Better(StrEnum):
    """Which direction of a number is the good one."""

    MORE = "more"
    LESS = "less"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class Metric:
    """One column of a workload's table."""

    key: str
    heading: str
    better: Better = Better.NEITHER
    digits: int = 0
