"""The tables of FLEET.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement.

    Parameters:
        rate: uploads or MB a second.
        cpu: seconds of CPU for one upload, or one GiB, by who used them.
        cores: how many cores all of them kept busy.
    """

    rate: float
    cpu: Mapping[str, float]
    cores: float


@dataclass(frozen=True, slots=True)
class Table:
    """One work, by the number of gateways.

    Parameters:
        unit: of the CPU columns, in which a second is `scale`.
    """

    name: str
    unit: str
    scale: float
    samples: Mapping[int, Sample]
    one_core: bool = True
    """Whether the work of a gateway is done by one thread."""

    @property
    def things(self) -> str:
        """What the CPU columns are of."""
        return "uploads" if self.unit == "ms" else "GiB"

    @property
    def ratio(self) -> float:
        """Of the rates."""
        return self.samples[2].rate / self.samples[1].rate

    @property
    def dearer(self) -> float:
        """CPU that the gateways use for the same work, two against one."""
        return self.samples[2].cpu["gateways"] / self.samples[1].cpu["gateways"]

    def reachable(self, cores: int) -> float:
        """The ratio when neither fleet leaves any of so many cores idle that it could use."""
        one, two = self.samples[1].cpu, self.samples[2].cpu
        alone = min(1 / one["gateways"], cores / sum(one.values()))
        return min(2 / two["gateways"], 1 / two["Redis"], cores / sum(two.values())) / alone

    @property
    def on_cores_of_their_own(self) -> float:
        """The ratio when every process has a core, at the cost that was measured."""
        one, two = self.samples[1].cpu, self.samples[2].cpu
        return min(2 / two["gateways"], 1 / two["Redis"]) * one["gateways"]


def render(found: Mapping[str, list[Table]], machine: Mapping[str, str], *, cores: int, rounds: int) -> str:
    """The text of FLEET.md."""
    lines = [
        "# Two gateways against one",
        "",
        f"Written by `python -m bench.fleet`; medians of {rounds} rounds in which one and two gateways took turns on a"
        " fresh Redis without AOF. Half of the connections go to each gateway. The load generator, Redis and the"
        f" storage share {cores} cores with the gateways, so the ratio of the rates is bounded by the machine.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in machine.items()),
    ]
    for storage, tables in found.items():
        lines += ["", f"## {_STORAGE[storage]}"]
        for table in tables:
            lines += ["", *_section(table, cores)]
    return "\n".join(lines) + "\n"


_STORAGE = {
    "filesystem": "Files in one folder, `durability=relaxed`",
    "s3": "S3 that throws the bytes away",
}


def _section(table: Table, cores: int) -> list[str]:
    names = list(table.samples[1].cpu)
    heads = ["gateways", "rate", *(f"CPU of {name}, {table.unit}" for name in names), "cores busy"]
    lines = [f"### {table.name}", "", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for count, sample in table.samples.items():
        cells = [str(count), f"{sample.rate:,.0f}", *(f"{sample.cpu[name] * table.scale:.2f}" for name in names)]
        lines.append(f"| {' | '.join(cells)} | {sample.cores:.2f} |")
    lines += ["", _verdict(table, cores)]
    return lines


def _verdict(table: Table, cores: int) -> str:
    """The ratio, and what keeps it from being larger."""
    two = table.samples[2].cpu
    text = (
        f"Ratio **{table.ratio:.2f}**. With two gateways the same work takes {table.dearer:.2f} of the gateways' CPU."
    )
    if not table.one_core:
        return f"{text} Threads move these bytes: one gateway uses several cores already, and a second one adds none."
    return (
        f"{text} With {cores} cores for all of it {table.reachable(cores):.2f} is within reach; with a core for"
        f" every process it would be **{table.on_cores_of_their_own:.2f}**. The one thread of Redis ends at"
        f" {1 / two['Redis']:,.0f} {table.things} a second: as many as {two['gateways'] / two['Redis']:.1f} busy"
        " gateways make."
    )
