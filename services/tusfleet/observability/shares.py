"""The metrics of a server of several processes: each leaves its share in shared memory, and anyone adds them up.

A share is written when somebody asks for the sum, so that counting costs what it costs one process. What a dead process
had counted when it was last asked stays in its place, and its successor goes on from there: no sum ever falls.
"""

from __future__ import annotations

import json
import logging
import mmap
import struct
import zlib
from collections.abc import Iterable, Iterator
from threading import Lock

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric

from tusfleet.observability.logs import LOGGER

logger = logging.getLogger(LOGGER)

HALF_BYTES = 1024 * 1024
"""Room for a share; memory that is never written to takes none. A page of 400 series has 60 KiB."""

_HEADER = struct.Struct("<II")
"""Length and checksum of what follows."""

_LASTING = frozenset({"counter", "histogram", "summary"})
"""Types whose values a successor goes on from; a gauge tells of the present."""

Families = dict[str, Metric]


class Shares:
    """Places in shared memory, two halves each: one is read while the other is written.

    Parameters:
        count: of processes; all of them have this object, made before they were started.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._memory = mmap.mmap(-1, count * (1 + 2 * HALF_BYTES))

    def write(self, number: int, families: Iterable[Metric]) -> None:
        """Leave a share, in place of the one before.

        Raises:
            ValueError: it is too large; the one before stays.
        """
        data = json.dumps([_plain(family) for family in families]).encode()
        if len(data) > HALF_BYTES - _HEADER.size:
            raise ValueError(f"{len(data)} bytes of metrics are too many to share")
        half = 1 - self._memory[number]
        at = self._at(number, half)
        self._memory[at : at + _HEADER.size] = _HEADER.pack(len(data), zlib.crc32(data))
        self._memory[at + _HEADER.size : at + _HEADER.size + len(data)] = data
        self._memory[number] = half

    def read(self, number: int) -> list[Metric]:
        """A share as it was left last; nothing when there is none yet, or it is being written again and again."""
        for _ in range(3):
            at = self._at(number, self._memory[number])
            length, checksum = _HEADER.unpack_from(self._memory, at)
            data = self._memory[at + _HEADER.size : at + _HEADER.size + min(length, HALF_BYTES)]
            if data and zlib.crc32(data) == checksum:
                return [_metric(plain) for plain in json.loads(data)]
        return []

    def _at(self, number: int, half: int) -> int:
        return self.count + (2 * number + half) * HALF_BYTES


class SharedRegistry:
    """The metrics of one process, and with them those of the others.

    Parameters:
        number: the place of this process.
        shares: all places.
        registry: what this process counts.
        server_wide: names of gauges that each process tells of the whole server; they are not added up.
    """

    def __init__(self, number: int, shares: Shares, registry: CollectorRegistry, server_wide: frozenset[str]) -> None:
        self._number = number
        self._shares = shares
        self._registry = registry
        self._server_wide = server_wide
        self._inherited = [family for family in shares.read(number) if family.type in _LASTING]
        self._writing = Lock()

    def share(self) -> list[Metric]:
        """Leave what this process has counted for the others, and give it."""
        with self._writing:
            families = summed(self._registry.collect(), self._inherited)
            try:
                self._shares.write(self._number, [one for one in families if one.name not in self._server_wide])
            except ValueError as error:
                logger.warning("The metrics of this process are out of date for the others: %s", error)
        return families

    def collect(self) -> Iterator[Metric]:
        """The sum over all processes, as they left it last."""
        others = [self._shares.read(other) for other in range(self._shares.count) if other != self._number]
        return iter(summed(self.share(), *others))

    def page(self) -> bytes:
        """The sum in the text format of Prometheus."""
        return generate_latest(self)


def summed(*sources: Iterable[Metric]) -> list[Metric]:
    """Families with the sums of their samples by name and labels, in the order in which they appear."""
    families: Families = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for source in sources:
        for family in source:
            families.setdefault(family.name, family)
            mine = values.setdefault(family.name, {})
            for sample in family.samples:
                key = (sample.name, tuple(sample.labels.items()))
                mine[key] = mine.get(key, 0.0) + sample.value
    return [_with(family, values[name]) for name, family in families.items()]


def _with(family: Metric, values: dict[tuple[str, tuple[tuple[str, str], ...]], float]) -> Metric:
    result = Metric(family.name, family.documentation, family.type)
    for (name, labels), value in values.items():
        result.add_sample(name, dict(labels), value)
    return result


def _plain(family: Metric) -> list[object]:
    samples = [[sample.name, sample.labels, sample.value] for sample in family.samples]
    return [family.name, family.documentation, family.type, samples]


def _metric(plain: list[object]) -> Metric:
    name, documentation, type, samples = plain
    family = Metric(str(name), str(documentation), str(type))
    for sample, labels, value in samples:  # type: ignore[attr-defined]
        family.add_sample(sample, labels, value)
    return family
