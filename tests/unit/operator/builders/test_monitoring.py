"""ServiceMonitor and PrometheusRule."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.unit.operator.builders.cases import OBSERVED, case
from tests.unit.operator.builders.golden import CASES, assert_golden
from tusfleet.observability.metrics import Metrics
from tusfleet_operator.alerts import ALERTS
from tusfleet_operator.builders import metrics_service, prometheus_rule, service_monitor


@pytest.mark.parametrize("name", CASES["service_monitor"])
def test_golden_monitor(name: str) -> None:
    assert_golden("service_monitor", name)


@pytest.mark.parametrize("name", CASES["prometheus_rule"])
def test_golden_rule(name: str) -> None:
    assert_golden("prometheus_rule", name)


def test_there_is_neither_unless_it_is_asked_for() -> None:
    assert service_monitor.build(case("smallest"), OBSERVED) + prometheus_rule.build(case("smallest"), OBSERVED) == []


def test_the_monitor_selects_the_service_of_metrics_and_no_other() -> None:
    (monitor,), (service,) = (build.build(case("production"), OBSERVED) for build in (service_monitor, metrics_service))
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]


def test_alerts_ask_for_metrics_that_there_are() -> None:
    known = {sample.name for metric in Metrics().registry.collect() for sample in metric.samples}
    known |= {metric.name for metric in Metrics().registry.collect()}
    known |= {f"{name}_total" for name in known}
    for alert in ALERTS:
        asked = set(re.findall(r"tusfleet_[a-z_]+", alert.expression))
        assert asked
        assert asked <= known, alert.name


def test_alerts_tell_what_to_do() -> None:
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)
    assert {alert.severity for alert in ALERTS} == {"critical", "warning"}


def test_prometheus_takes_the_rules(promtool: Path, tmp_path: Path) -> None:
    (found,) = prometheus_rule.build(case("production"), OBSERVED)
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(found["spec"]), encoding="utf-8")
    done = subprocess.run(
        [promtool, "check", "rules", tmp_path / "rules.yaml"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
