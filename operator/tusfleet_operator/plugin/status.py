"""`kubectl tus status`: what a TusServer is, in the words of its conditions, and the pods behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tusfleet_operator import names


def overview(servers: Iterable[Mapping[str, Any]], *, namespaced: bool) -> str:
    """One line for each TusServer."""
    head = ("NAMESPACE",) if namespaced else ()
    rows = [(*head, "NAME", "READY", "GATEWAYS", "URL", "WHY")]
    for body in servers:
        status, metadata = body.get("status") or {}, body["metadata"]
        ready = _condition(body, "Ready")
        counts = f"{status.get('readyReplicas', 0)}/{status.get('replicas', 0)}"
        why = "" if ready.get("status") == "True" else str(ready.get("message", "The operator has not looked at it"))
        place = (metadata["namespace"],) if namespaced else ()
        rows.append((*place, metadata["name"], ready.get("status", "Unknown"), counts, status.get("url", ""), why))
    return _table(rows)


def details(body: Mapping[str, Any], pods: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]]) -> str:
    """Everything about one."""
    status, metadata = body.get("status") or {}, body["metadata"]
    paused = (metadata.get("annotations") or {}).get(names.PAUSED) == "true"
    facts = [
        ("Name", f"{metadata['namespace']}/{metadata['name']}" + (" (paused)" if paused else "")),
        ("URL", status.get("url", "")),
        ("Image", status.get("image", "")),
        ("Settings", status.get("configHash", "")),
        ("Gateways", f"{status.get('readyReplicas', 0)} of {status.get('replicas', 0)} ready, "
                     f"{status.get('updatedReplicas', 0)} up to date"),
    ]  # fmt: skip
    if status.get("observedGeneration") != metadata.get("generation"):
        facts.append(("Note", "The operator has not seen the newest version of this TusServer yet"))
    conditions = [("CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE")]
    conditions += [
        (item["type"], item["status"], item["reason"], item["lastTransitionTime"], item["message"])
        for item in status.get("conditions") or []
    ]
    parts = [_table([(f"{name}:", value) for name, value in facts]), _table(conditions), _pods(pods), _events(events)]
    return "\n".join(part for part in parts if part)


def _pods(pods: Sequence[Mapping[str, Any]]) -> str:
    rows = [("POD", "COMPONENT", "PHASE", "READY", "RESTARTS", "NODE")]
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["name"])):
        status = pod.get("status") or {}
        containers = status.get("containerStatuses") or []
        ready = f"{sum(bool(each.get('ready')) for each in containers)}/{len(pod['spec']['containers'])}"
        phase = "Terminating" if pod["metadata"].get("deletionTimestamp") else status.get("phase", "")
        restarts = str(sum(each.get("restartCount", 0) for each in containers))
        component = (pod["metadata"].get("labels") or {}).get(names.COMPONENT, "")
        rows.append((pod["metadata"]["name"], component, phase, ready, restarts, pod["spec"].get("nodeName", "")))
    return _table(rows)


def _events(events: Sequence[Mapping[str, Any]]) -> str:
    if not events:
        return ""
    rows = [("LAST EVENTS", "REASON", "MESSAGE")]
    ordered = sorted(events, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    for event in ordered[-5:]:
        at = str(event.get("lastTimestamp") or event.get("eventTime") or "")
        rows.append((at, str(event.get("reason", "")), str(event.get("message") or event.get("note") or "")))
    return _table(rows)


def _condition(body: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    conditions = (body.get("status") or {}).get("conditions") or []
    return next((item for item in conditions if item.get("type") == kind), {})


def _table(rows: Sequence[Sequence[object]]) -> str:
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in texts) for column in range(len(texts[0]))]
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in texts)
    return "\n".join(lines) + "\n"
