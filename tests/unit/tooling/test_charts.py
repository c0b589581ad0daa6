"""What is written for the charts: dashboards ask for metrics that there are, READMEs have every value and default."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import chart_schema, charts, dashboards
from scripts.chart_readme import undescribed, values
from tusfleet.observability.metrics import Metrics
from tusfleet_operator.alerts import OF_OPERATOR, SELECTOR
from tusfleet_operator.metrics import Metrics as OperatorMetrics

_METRIC = re.compile(r"\btusfleet_[a-z0-9_]+")

ENDINGS = {"counter": ("_total",), "histogram": ("_count", "_sum", "_bucket")}


def known(registry: Any) -> set[str]:
    """Every metric of a registry, as it is written in queries."""
    families = registry.collect()
    return {family.name + ending for family in families for ending in ENDINGS.get(family.type, ("",))}


BOARDS = {
    "gateways": (dashboards.gateways(), Metrics().registry),
    "operator": (dashboards.operator(), OperatorMetrics("0").registry),
}


@pytest.mark.parametrize("name", BOARDS)
def test_a_dashboard_asks_for_metrics_that_there_are(name: str) -> None:
    board, registry = BOARDS[name]
    asked = set(_METRIC.findall(json.dumps(board)))
    assert asked
    assert asked <= known(registry)


@pytest.mark.parametrize("name", BOARDS)
def test_panels_of_a_dashboard_do_not_lie_on_each_other(name: str) -> None:
    board, _ = BOARDS[name]
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in board["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
    assert all(target["expr"].count("SELECTOR") == 0 for panel in board["panels"] for target in panel["targets"])


def test_prometheus_takes_the_queries_and_the_alerts_about_the_operator(promtool: Path, tmp_path: Path) -> None:
    queries = [
        {"record": f"{name}:{panel['id']}:{target['refId']}", "expr": target["expr"]}
        for name, (board, _) in BOARDS.items()
        for panel in board["panels"]
        for target in panel["targets"]
    ]
    alerts = [
        {"alert": alert.name, "expr": alert.expression.replace(SELECTOR, 'service="a"'), "for": alert.lasts}
        for alert in OF_OPERATOR
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": [*queries, *alerts]}]}), encoding="utf-8")
    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_value_has_its_description_and_default() -> None:
    text = """\
# Several of them.
image:
  # -- Its tag,
  # on two lines.
  tag: ""
  # -- Its digest.
  # digest: sha256:...
# -- How many.
replicas: 2
# -- Where.
# storage: {s3: {}}
silent: 1
"""
    found = [(one.path, one.default, one.described) for one in values(text)]
    assert found == [
        ("image.tag", '""', "Its tag, on two lines."),
        ("image.digest", None, "Its digest."),
        ("replicas", "2", "How many."),
        ("storage", None, "Where."),
    ]
    assert undescribed(text) == ["silent"]


def test_values_of_the_plain_chart_are_a_spec_without_what_only_an_operator_does() -> None:
    found = chart_schema.schema()
    assert found["required"] == ["storage", "redis"]
    assert found["additionalProperties"] is False
    assert set(chart_schema.OF_OPERATOR_ALONE).isdisjoint(found["properties"])
    assert found["properties"]["drainTimeout"]["pattern"].startswith("^([0-9]{1,6}")
    described = {one.path.partition(".")[0] for one in values((charts.PLAIN / "values.yaml").read_text("utf-8"))}
    assert described == set(found["properties"]) - {"global"}


def test_what_is_written_is_what_would_be_written() -> None:
    assert charts.main(["--check"]) == 0
