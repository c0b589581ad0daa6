"""The report: one table per workload, who wins what, and all that a reader needs to judge it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.metric import Better, Metric, Sample
from bench.servers import Kind, Server
from bench.workloads import Workload


@dataclass(slots=True)
class Results:
    """Everything that was measured."""

    servers: list[Server]
    workloads: list[Workload]
    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)
    """By workload and server, one sample a round."""
    failures: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def of(self, workload: Workload, server: Server) -> list[Sample]:
        return self.samples.get((workload.key, server.name), [])

    def middle(self, workload: Workload, server: Server, metric: Metric) -> float | None:
        values = [sample[metric.key] for sample in self.of(workload, server)]
        return median(values) if values else None


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the numbers were taken on, and how."""

    date: str
    command: str
    machine: dict[str, str]
    rounds: int
    missing: dict[str, str]
    """Peers that could not be had, with the reason."""


def render(results: Results, circumstances: Circumstances, baseline: Server | None) -> str:
    """The text of RESULTS.md."""
    parts = [_top(results, circumstances, baseline)]
    parts += [_section(results, workload, baseline) for workload in results.workloads]
    return "\n\n".join(parts) + "\n"


def _top(results: Results, circumstances: Circumstances, baseline: Server | None) -> str:
    lines = [
        "# Results of the benchmark",
        "",
        f"Written by `{circumstances.command}` on {circumstances.date}; README.md beside this file tells the method.",
        f"Medians of {circumstances.rounds} rounds in which the servers took turns, with the lowest and the highest"
        " value in brackets.",
    ]
    if baseline is not None:
        lines.append(f"**x** is the ratio to {baseline.name} in this run. Numbers of different runs do not compare.")
    lines += ["", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in circumstances.machine.items()]
    for server in results.servers:
        note = f"; {server.note}" if server.note else ""
        lines.append(f"| {server.name} | {server.version}{note} |")
    lines += [f"| not measured: {name} | {_one_line(reason)} |" for name, reason in circumstances.missing.items()]
    return "\n".join(lines)


def _section(results: Results, workload: Workload, baseline: Server | None) -> str:
    lines = [f"## {workload.key}: {workload.title}", ""]
    lines.append("| | " + " | ".join(metric.heading for metric in workload.metrics) + " |")
    lines.append("|---|" + "---|" * len(workload.metrics))
    for server in results.servers:
        if results.of(workload, server):
            cells = [_cell(results, workload, server, metric, baseline) for metric in workload.metrics]
            lines.append(f"| {server.name} | " + " | ".join(cells) + " |")
    lines += ["", *_verdicts(results, workload), *_failures(results, workload)]
    return "\n".join(lines)


def _cell(results: Results, workload: Workload, server: Server, metric: Metric, baseline: Server | None) -> str:
    values = [sample[metric.key] for sample in results.of(workload, server)]
    text = f"{_number(median(values), metric)}"
    if len(values) > 1:
        text += f" ({_number(min(values), metric)}..{_number(max(values), metric)})"
    base = results.middle(workload, baseline, metric) if baseline is not None else None
    if base and metric.better is not Better.NEITHER:
        text += f" {median(values) / base:.2f}x"
    return text


def _number(value: float, metric: Metric) -> str:
    return f"{value:,.{metric.digits}f}"


def _verdicts(results: Results, workload: Workload) -> list[str]:
    """For every number that has a good direction: who is best, and where we stand."""
    lines = []
    for metric in workload.metrics:
        if metric.better is Better.NEITHER:
            continue
        ranked = _ranked(results, workload, metric)
        if ranked:
            lines.append(f"- {metric.heading}: {_standing(ranked, metric)}")
    return lines


def _ranked(results: Results, workload: Workload, metric: Metric) -> list[tuple[float, Server]]:
    found = [
        (value, server)
        for server in results.servers
        if server.kind is not Kind.LIMIT and (value := results.middle(workload, server, metric)) is not None
    ]
    return sorted(found, key=lambda pair: pair[0], reverse=metric.better is Better.MORE)


def _standing(ranked: Sequence[tuple[float, Server]], metric: Metric) -> str:
    best, winner = ranked[0]
    peers = [pair for pair in ranked if pair[1].kind is Kind.PEER]
    if not peers:
        return f"{winner.name} {_number(best, metric)}; no peer was measured."
    peer_value, peer = peers[0]
    said = [f"best peer {peer.name} {_number(peer_value, metric)}"]
    for value, server in ranked:
        if server.kind is Kind.OURS:
            said.append(f"{server.name} {_number(value, metric)}, {_against(value, peer_value, metric)}")
    return "; ".join(said) + "."


def _against(value: float, peer: float, metric: Metric) -> str:
    if not peer:
        return "which has none to compare with"
    if value == peer:
        return "the same"
    won = value > peer if metric.better is Better.MORE else value < peer
    return f"{value / peer:.2f} of that: {'ahead' if won else 'behind'}"


def _failures(results: Results, workload: Workload) -> list[str]:
    lines = []
    for server in results.servers:
        reasons = results.failures.get((workload.key, server.name), [])
        if not workload.takes(server) and server.kind is not Kind.LIMIT and not server.several:
            lines.append(f"- {server.name}: cannot do it.")
        elif reasons:
            lines.append(f"- {server.name} failed {len(reasons)} times, first: {_one_line(reasons[0])}")
    return lines


def _one_line(reason: str) -> str:
    """The first line of a reason, and the line of the server's log that names the error."""
    lines = [line.strip() for line in reason.splitlines() if line.strip()]
    named = [line for line in lines[1:] if "Error" in line]
    return " / ".join([lines[0], *named[:1]]).replace("|", "\\|")[:300]
