"""What gateways say of their stores, and how it is understood."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from tests.unit.operator.builders.cases import SMALLEST, server
from tusfleet_operator.cluster.client import Client
from tusfleet_operator.cluster.kinds import Kind
from tusfleet_operator.cluster.pods import Pods
from tusfleet_operator.reconcile.gateways import NOT_ASKED, REACHABLE, Answers, look

pytestmark = pytest.mark.anyio

SERVER = server(SMALLEST)
NONE_READY = {"status": {"replicas": 2, "readyReplicas": 0}}


class Listing:
    """A client that lists these pods."""

    def __init__(self, *pods: dict[str, Any]) -> None:
        self.pods = list(pods)
        self.asked = 0

    async def list(self, kind: Kind, namespace: str, labels: str) -> list[dict[str, Any]]:
        self.asked += 1
        return self.pods


class Saying:
    """Pods that all answer this."""

    def __init__(self, answer: str | None) -> None:
        self.answer = answer

    async def ask(self, pod: Any, path: str) -> str | None:
        assert path == "/readyz"
        return self.answer


def pod(**container: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "status": {"podIP": "127.0.0.1", "containerStatuses": [container]}}


async def answers(listing: Listing, said: str | None = None, gateways: Any = NONE_READY) -> Answers:
    return await look(cast(Client, listing), cast(Pods, Saying(said)), SERVER, gateways)


def not_ready(reason: str) -> str:
    return json.dumps({"status": "not ready", "reason": reason})


@pytest.mark.parametrize(
    ("gateways", "expected"),
    [
        (None, Answers()),
        ({"status": {}}, Answers()),
        ({"status": {"replicas": 0}}, Answers()),
        ({"status": {"replicas": 2, "readyReplicas": 1}}, Answers(REACHABLE, REACHABLE)),
    ],
)
async def test_nobody_is_asked_when_the_deployment_tells_it(gateways: Any, expected: Answers) -> None:
    listing = Listing(pod())
    assert await answers(listing, gateways=gateways) == expected
    assert listing.asked == 0


@pytest.mark.parametrize(
    ("reason", "storage", "redis"),
    [
        ("Redis at redis:6379 does not answer in time", None, "False"),
        ("Redis at a:26379: no Sentinel that can be reached names a master", None, "False"),
        ("The S3 service does not answer: refused", "False", "True"),
        ("The bucket uploads does not exist; create it, or name another in s3.bucket", "False", "True"),
        ("There are no AWS credentials; give them by environment, file or role", "False", "True"),
        ("shutting down", None, None),
    ],
)
async def test_which_store_it_is_about(reason: str, storage: str | None, redis: str | None) -> None:
    found = await answers(Listing(pod()), not_ready(reason))
    assert found.trouble == reason
    assert (found.storage[0], found.redis[0]) == (storage or "Unknown", redis or "Unknown")
    assert found.asked_again


@pytest.mark.parametrize("said", [None, "", "<html>", "[]", "{}", '{"status": "ready"}'])
async def test_what_says_nothing_is_starting(said: str | None) -> None:
    found = await answers(Listing(pod()), said)
    assert (found.storage, found.redis, found.trouble) == (NOT_ASKED, NOT_ASKED, "Gateways are starting")


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        (
            {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}},
            "ImagePullBackOff: Back-off pulling image",
        ),
        (
            {
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 1, "message": "line\nError: Redis refuses the credentials\n"}},
            },
            "Redis refuses the credentials",
        ),
        (
            {
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 1, "message": '{"message": "The bucket x does not exist"}'}},
            },
            "The bucket x does not exist",
        ),
        (
            {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 137}}},
            "the process ended with status 137",
        ),
    ],
)
async def test_why_a_pod_does_not_run(container: dict[str, Any], expected: str) -> None:
    found = await answers(Listing(pod(**container)), not_ready("never asked"))
    assert (found.failed, found.trouble) == (expected, None)


async def test_a_process_that_gave_up_tells_about_its_store_too() -> None:
    ended = {"exitCode": 1, "message": "Error: The bucket x does not exist"}
    found = await answers(
        Listing(pod(state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState={"terminated": ended}))
    )
    assert found.storage[0] == "False"


async def test_a_pod_that_was_restarted_once_and_runs_has_not_failed() -> None:
    running = pod(state={"running": {}}, lastState={"terminated": {"exitCode": 1, "message": "once"}})
    assert (await answers(Listing(running))).failed is None
