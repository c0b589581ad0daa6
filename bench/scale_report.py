"""The tables of SCALE.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from bench.tap import Traffic

SLACK = 0.15
"""Share by which the bytes of a step may differ: totals of a million uploads have more digits."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a step asked of Redis: its traffic, and how often each command was carried out, those of scripts too."""

    traffic: Traffic
    calls: Mapping[str, int]

    @property
    def commands(self) -> int:
        """All of them."""
        return sum(self.calls.values())

    def same_as(self, other: Cost) -> bool:
        """Whether both carried out the same commands, with as many bytes but for `SLACK`."""
        bytes_here, bytes_there = (one.traffic.sent + one.traffic.received for one in (self, other))
        return self.calls == other.calls and abs(bytes_here - bytes_there) <= SLACK * bytes_here


Growth = Mapping[int, Mapping[str, Cost]]
"""What steps cost by the size of something."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What steps cost by the number of records; bytes of memory that the largest number takes."""

    costs: Growth
    memory: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of Redis for one record of a kind: with the settings it comes with, and in the compact form."""

    kind: str
    records: int
    default: float
    compact: float


def grew(costs: Growth) -> set[str]:
    """The steps that do not cost the same at every size."""
    first, *others = (costs[size] for size in sorted(costs))
    return {step for step, cost in first.items() if not all(cost.same_as(other[step]) for other in others)}


def render(
    scale: Scale, parts: Growth, memory: Sequence[Memory], *, bounded: Set[str], redis: str, parts_of_many: int
) -> str:
    """The text of SCALE.md."""
    many = max(scale.costs)
    lines = [
        "# Cost by the number of records",
        "",
        f"Written by `python -m bench.scale` against Redis {redis}, one server. Each cell: round trips / commands that"
        " Redis carried out, those inside scripts too / bytes to Redis / bytes from it. No times: these numbers are the"
        " same on every machine. A round trip is one pipeline with its answers; up to four are under way together.",
        "",
        *_table("step", "records", scale.costs, bounded),
        "",
        "A pass of the janitor is counted from its first connection to its last; how many pipelines its work falls into"
        " is a matter of time. When every upload is due, a page is taken from the index of states instead, of which it"
        " looks at a bounded number.",
        "",
        f"{many:,} records of open uploads with {parts_of_many} parts take {scale.memory / 2**20:,.0f} MiB of Redis"
        f" (`used_memory`): {scale.memory / many:,.0f} bytes each.",
        "",
        "## One upload by the number of its parts",
        "",
        *_table("step", "parts", parts, frozenset()),
        "",
        "Commands and round trips do not grow, nor do bytes, but for one answer: the parts, about 40 bytes each, are"
        " read once in the life of an upload, with the commit that says all of its bytes are there, by whoever makes"
        " its object. Who takes over an upload in that state gets them with the lease.",
        "",
        "## Memory of one record",
        "",
        "Growth of `used_memory` for each record with all of its index entries, upload of 1 GiB with name and type.",
        "",
        "| record | measured with | bytes each | with `hash-max-listpack-value 1024` |",
        "|---|---|---|---|",
        *(f"| {one.kind} | {one.records:,} | {one.default:,.0f} | {one.compact:,.0f} |" for one in memory),
    ]
    return "\n".join(lines) + "\n"


def _table(first: str, unit: str, costs: Growth, bounded: Set[str]) -> list[str]:
    sizes = sorted(costs)
    heads = [first, *(f"{size:,} {unit.rstrip('s') if size == 1 else unit}" for size in sizes), "same cost"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    grown = grew(costs)
    for step in costs[sizes[0]]:
        cells = [_cell(costs[size][step]) for size in sizes]
        verdict = "yes" if step not in grown else "bounded" if step in bounded else _what_grew(costs, step)
        lines.append(f"| {' | '.join([step, *cells, verdict])} |")
    return lines


def _what_grew(costs: Growth, step: str) -> str:
    calls = [costs[size][step].calls for size in costs]
    return "commands yes, bytes no" if all(one == calls[0] for one in calls) else "no"


def _cell(cost: Cost) -> str:
    used = cost.traffic
    return f"{used.round_trips:,} / {cost.commands:,} / {used.sent:,} / {used.received:,}"
