"""Every alert has a page, every page an alert, and both speak of metrics that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tusfleet.observability.metrics import Metrics
from tusfleet_operator.alerts import ALERTS, OF_OPERATOR, Alert
from tusfleet_operator.metrics import Metrics as OperatorMetrics

ROOT = Path(__file__).resolve().parents[3]
PAGES = ROOT / "docs" / "runbooks"

EVERY = (*ALERTS, *OF_OPERATOR)

_METRIC = re.compile(r"\btusfleet_[a-z_]+")


@pytest.fixture(scope="module")
def known() -> set[str]:
    """Every metric of gateways, janitors and operators, as it is written in queries."""
    names = set()
    for family in [*Metrics().registry.collect(), *OperatorMetrics("0").registry.collect()]:
        endings = {"counter": ("_total",), "histogram": ("", "_count", "_sum", "_bucket")}.get(family.type, ("",))
        names |= {family.name + ending for ending in endings}
    return names


@pytest.mark.parametrize("alert", EVERY, ids=lambda alert: alert.name)
def test_an_alert_has_a_page_that_says_what_to_do(alert: Alert) -> None:
    page = (ROOT / alert.runbook).read_text(encoding="utf-8")
    assert page.startswith(f"# {alert.name}\n")
    for part in ("**Means**", "**Clients see**", "**Look**", "**Do**"):
        assert part in page
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    assert re.search(
        rf"^\| `{alert.name}` \| {alert.severity} \| \[[^]]+]\({alert.page}\.md\) \|$", index, re.MULTILINE
    )


@pytest.mark.parametrize("alert", EVERY, ids=lambda alert: alert.name)
def test_an_alert_is_about_metrics_that_there_are(alert: Alert, known: set[str]) -> None:
    assert set(_METRIC.findall(alert.expression)) <= known


def test_pages_are_about_alerts_and_metrics_that_there_are(known: set[str]) -> None:
    alerts = {alert.page for alert in EVERY}
    for page in PAGES.glob("*.md"):
        assert page.stem in alerts | {"README"}
        told = set(_METRIC.findall(page.read_text(encoding="utf-8")))
        assert told <= known, page
