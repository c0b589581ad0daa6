"""Writes what the charts have from elsewhere: the CRD, the operator's rights, alerts, settings, a schema, the READMEs.

`python -m scripts.charts` writes it; with `--check` it fails when a file is not what it would write.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scripts import chart_readme, chart_schema, crd, dashboards, rbac
from scripts.crd import dumped
from tusfleet_operator.alerts import ALERTS, OF_OPERATOR, Alert
from tusfleet_operator.resource.fields import RULES
from tusfleet_operator.resource.settings import properties, variable

CHARTS = Path(__file__).resolve().parent.parent / "charts"
OPERATOR = CHARTS / "tusfleet-operator"
PLAIN = CHARTS / "tusfleet"

WRITTEN = "# Written by `make fmt` from {}; edit it there.\n"


def definition() -> str:
    """The CRD as a template, which stays when the release goes: TusServers would go with it."""
    text = crd.FILE.read_text(encoding="utf-8")
    if "{{" in text:
        raise SystemExit(f"{crd.FILE.name} has braces that Helm would take for its own")
    name = "metadata:\n"
    if text.count(f"\n{name}") != 1:
        raise SystemExit(f"{crd.FILE.name} does not begin as expected")
    kept = f"{name}  annotations:\n    helm.sh/resource-policy: keep\n"
    return f"{{{{- if .Values.crds.enabled }}}}\n{text.replace(name, kept, 1)}{{{{- end }}}}\n"


def rights() -> str:
    """The list of rights."""
    return rbac.FILE.read_text(encoding="utf-8")


def alerts(found: Sequence[Alert]) -> str:
    """Alerts as data; `SELECTOR` in them is replaced by templates."""
    plain = [{**dataclasses.asdict(alert), "runbook": alert.runbook} for alert in found]
    for alert in plain:
        del alert["page"]
    return WRITTEN.format("operator/tusfleet_operator/alerts.py") + dumped({"alerts": plain})


def settings() -> str:
    """Names of the environment variables of settings, and what kind of value each has."""
    found: dict[str, dict[str, Any]] = {
        section: {
            name: {"variable": variable(described["x-setting"]), "kind": described["x-kind"], **_bounds(described)}
            for name, described in properties(section).items()
        }
        for section in ("gateway", "s3", "redis")
    }
    return WRITTEN.format("services/tusfleet/settings/") + dumped(found)


def _bounds(described: dict[str, Any]) -> dict[str, str]:
    """The bounds of a size or duration, as the messages of the CRD's rules tell them."""
    told = [re.search(r" is at (least|most) (\S+)$", rule["message"]) for rule in described.get(RULES, [])]
    return {match[1]: match[2] for match in told if match is not None}


def board(found: dict[str, Any]) -> str:
    """A dashboard as Grafana keeps it."""
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def schema() -> str:
    """What values of the chart without an operator are taken: those of a TusServer's spec."""
    return json.dumps(chart_schema.schema(), indent=1, ensure_ascii=False) + "\n"


def upload_check() -> str:
    """Both charts upload and compare in the same way."""
    return (OPERATOR / "files" / "check_upload.py").read_text(encoding="utf-8")


FILES: dict[Path, Callable[[], str]] = {
    OPERATOR / "templates" / "crd.yaml": definition,
    OPERATOR / "files" / "rbac.yaml": rights,
    OPERATOR / "files" / "alerts.yaml": lambda: alerts(OF_OPERATOR),
    OPERATOR / "files" / "dashboards" / "tusfleet.json": lambda: board(dashboards.gateways()),
    OPERATOR / "files" / "dashboards" / "tusfleet-operator.json": lambda: board(dashboards.operator()),
    OPERATOR / "README.md": lambda: chart_readme.page(OPERATOR),
    PLAIN / "files" / "alerts.yaml": lambda: alerts(ALERTS),
    PLAIN / "files" / "dashboards" / "tusfleet.json": lambda: board(dashboards.gateways()),
    PLAIN / "files" / "settings.yaml": settings,
    PLAIN / "files" / "check_upload.py": upload_check,
    PLAIN / "values.schema.json": schema,
    PLAIN / "README.md": lambda: chart_readme.page(PLAIN),
}


def main(arguments: list[str]) -> int:
    stale = False
    for path, wanted in FILES.items():
        text = wanted()
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            print(f"{path.relative_to(CHARTS.parent)} is not what it would be; `make fmt` writes it", file=sys.stderr)
            stale = True
    return int(stale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
