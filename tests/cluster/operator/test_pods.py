"""What the operator asks of pods themselves: why they are not ready, and which of them have the least to do.

How there are pods to be asked is in `pods.py`.
"""

from __future__ import annotations

import json
import sys

import pytest

from tests.cluster.operator.operators import OperatorProcess
from tests.cluster.operator.pods import COST_SECONDS, a_pod, answering, deletion_cost
from tests.cluster.operator.sites import Site
from tests.unit.operator.builders.cases import SMALLEST

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux answers on every address of 127.0.0.0/8 without being set up for it"
)


@pytest.mark.parametrize(
    ("reason", "condition"),
    [
        ("Redis at redis:6379 does not answer in time", "RedisReachable"),
        ("The bucket uploads does not exist; create it, or name another in s3.bucket", "StorageReachable"),
    ],
)
def test_why_gateways_are_not_ready_is_told_in_their_words(
    site: Site, operator: OperatorProcess, reason: str, condition: str
) -> None:
    site.make()
    site.eventually(lambda: site.deployment()["spec"]["replicas"] == 2)
    told = {"status": "not ready", "reason": reason}
    with answering(1, {"/readyz": (503, json.dumps(told))}):
        a_pod(site, 1)
        site.set_ready(ready=0)
        site.until(condition, "Unreachable")
        assert site.condition(condition) == ("False", "Unreachable", reason)
        assert site.condition("Ready") == ("False", "GatewaysNotReady", reason)
        # And it is well again without anybody's help.
        site.set_ready()
        site.until(condition, "GatewaysReady")


def test_the_gateway_with_the_least_to_do_goes_first(site: Site, operator: OperatorProcess) -> None:
    site.make({**SMALLEST, "autoscaling": {"minReplicas": 2, "maxReplicas": 4}})
    site.eventually(lambda: site.deployment()["spec"]["replicas"] == 2)
    busy, idle = (f"# HELP x\ntusfleet_connections_open {count}\n" for count in ("1300.0", "0.0"))
    with answering(2, {"/metrics": (200, busy)}), answering(3, {"/metrics": (200, idle)}):
        a_pod(site, 2)
        a_pod(site, 3)
        site.eventually(lambda: [deletion_cost(site, number) for number in (2, 3)] == ["1024", "0"], COST_SECONDS)
