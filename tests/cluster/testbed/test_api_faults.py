"""Every fault of the proxy in front of an API server happens for real: to the client, and to what is stored."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.servers import eventually
from tests.testbed.api_faults import ApiProxy
from tests.testbed.api_rules import (
    ANY,
    CONFLICT,
    FORBIDDEN,
    GONE,
    INTERNAL_ERROR,
    TOO_MANY_REQUESTS,
    CutWatch,
    Delay,
    Hold,
    LoseReply,
    Refuse,
    Reset,
    WatchError,
)
from tests.testbed.controlplane import ControlPlane
from tests.testbed.kube_api import ApiError, KubeApi, Object
from tests.testbed.kube_tools import kubectl

BROKEN = (httpx.ReadError, httpx.RemoteProtocolError)
"""What a client sees of a connection that is reset."""


@pytest.fixture
def api(api_proxy: ApiProxy, control_plane: ControlPlane) -> Iterator[KubeApi]:
    """The administrator's way through the proxy."""
    client = KubeApi(api_proxy.access(control_plane.admin))
    client.path("v1", "ConfigMap")  # discovered before any rule counts
    api_proxy.clear()
    yield client
    client.close()


def config_map(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def names(plane: ControlPlane, namespace: str) -> set[str]:
    """What is stored, seen past the proxy."""
    return {one["metadata"]["name"] for one in plane.api.objects("v1", "ConfigMap", namespace)}


@pytest.mark.parametrize("refusal", [CONFLICT, TOO_MANY_REQUESTS, GONE, INTERNAL_ERROR, FORBIDDEN])
def test_refusal_keeps_the_request_from_the_server(
    api_proxy: ApiProxy, control_plane: ControlPlane, api: KubeApi, home: str, refusal: Refuse
) -> None:
    rule = api_proxy.rule("create", refusal, path="/configmaps$")
    with pytest.raises(ApiError) as refused:
        api.create(config_map("refused"), home)
    assert (refused.value.code, refused.value.reason) == (refusal.code, refusal.reason)
    assert names(control_plane, home) == set()
    api.create(config_map("accepted"), home)
    assert names(control_plane, home) == {"accepted"}
    assert [str(one) for one in rule.struck] == [f"create /api/v1/namespaces/{home}/configmaps"]


def test_too_many_requests_says_when_to_come_back(api_proxy: ApiProxy, api: KubeApi, home: str) -> None:
    api_proxy.rule("list", TOO_MANY_REQUESTS)
    answer = api.http.get(api.path("v1", "ConfigMap", home))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert answer.json()["details"]["retryAfterSeconds"] == 1


def test_refusal_after_success(api_proxy: ApiProxy, control_plane: ControlPlane, api: KubeApi, home: str) -> None:
    api_proxy.rule("create", Refuse(500, "InternalError", after_success=True))
    with pytest.raises(ApiError, match="InternalError"):
        api.create(config_map("done"), home)
    assert names(control_plane, home) == {"done"}


def test_lost_reply(api_proxy: ApiProxy, control_plane: ControlPlane, api: KubeApi, home: str) -> None:
    api_proxy.rule("create", LoseReply())
    with pytest.raises(BROKEN):
        api.create(config_map("done"), home)
    assert names(control_plane, home) == {"done"}


def test_reset(api_proxy: ApiProxy, control_plane: ControlPlane, api: KubeApi, home: str) -> None:
    api_proxy.rule(ANY, Reset())
    with pytest.raises(BROKEN):
        api.create(config_map("undone"), home)
    assert names(control_plane, home) == set()


def test_delay(api_proxy: ApiProxy, api: KubeApi, home: str) -> None:
    api_proxy.rule("get", Delay(0.5))
    started = time.monotonic()
    assert api.get("v1", "ConfigMap", "none", home) is None
    assert time.monotonic() - started >= 0.5


@pytest.mark.parametrize("when", ["before", "after"])
def test_write_of_a_client_that_died_goes_on(
    api_proxy: ApiProxy, control_plane: ControlPlane, api: KubeApi, home: str, when: str
) -> None:
    held = api_proxy.rule("create", Hold("before" if when == "before" else "after"))
    with pytest.raises(httpx.ReadTimeout):
        api.http.post(api.path("v1", "ConfigMap", home), json=config_map("late"), timeout=0.5)
    held.wait()
    assert names(control_plane, home) == ({"late"} if when == "after" else set())
    held.release()
    eventually(lambda: names(control_plane, home) == {"late"})


def test_nth_request_and_those_that_follow(api_proxy: ApiProxy, api: KubeApi, home: str) -> None:
    api_proxy.rule("create", CONFLICT, path="configmaps", at=2, times=2)
    assert [attempt(api, home, number) for number in range(5)] == [201, 409, 409, 201, 201]


def test_chance_is_the_same_with_the_same_seed(api_proxy: ApiProxy, api: KubeApi, home: str) -> None:
    seen = []
    for turn in range(2):
        rule = api_proxy.rule("create", INTERNAL_ERROR, times=None, probability=0.5, seed=7)
        seen.append([attempt(api, home, 100 * turn + number) for number in range(20)])
        rule.remove()
    assert seen[0] == seen[1]
    assert set(seen[0]) == {201, 500}


def attempt(api: KubeApi, namespace: str, number: int) -> int:
    """The status of creating one more object."""
    answer = api.http.post(api.path("v1", "ConfigMap", namespace), json=config_map(f"number-{number}"))
    return answer.status_code


def test_watch_passes_events_as_they_happen(
    api_proxy: ApiProxy, control_plane: ControlPlane, api: KubeApi, home: str
) -> None:
    with api.watching("v1", "ConfigMap", home) as lines:
        for number in range(3):
            name = f"seen-{number}"
            # Longer than any buffer on the way.
            control_plane.api.create(config_map(name, data="x" * 300_000), home)
            event = json.loads(next(lines))
            assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", name)
    (watch,) = api_proxy.requests("watch")
    eventually(lambda: watch.ended is not None)
    assert (watch.resource, watch.namespace, watch.events) == ("configmaps", home, 3)


def test_gone_as_the_answer_to_a_watch(api_proxy: ApiProxy, api: KubeApi, home: str) -> None:
    api_proxy.rule("watch", GONE)
    with api.watching("v1", "ConfigMap", home) as lines:
        assert json.loads("".join(lines))["code"] == 410


def test_gone_as_an_event_of_a_watch(api_proxy: ApiProxy, control_plane: ControlPlane, api: KubeApi, home: str) -> None:
    control_plane.api.create(config_map("first"), home)
    api_proxy.rule("watch", WatchError(after=1))
    with api.watching("v1", "ConfigMap", home) as lines:
        events = [json.loads(line) for line in lines]
    assert [event["type"] for event in events] == ["ADDED", "ERROR"]
    assert (events[1]["object"]["code"], events[1]["object"]["reason"]) == (410, "Expired")


def test_watch_that_ends_as_servers_end_them(
    api_proxy: ApiProxy, control_plane: ControlPlane, api: KubeApi, home: str
) -> None:
    control_plane.api.create(config_map("first"), home)
    api_proxy.rule("watch", CutWatch(after=1))
    with api.watching("v1", "ConfigMap", home) as lines:
        assert len(list(lines)) == 1


def test_watch_that_is_cut_in_an_event(
    api_proxy: ApiProxy, control_plane: ControlPlane, api: KubeApi, home: str
) -> None:
    control_plane.api.create(config_map("first"), home)
    api_proxy.rule("watch", CutWatch(after=1, cleanly=False))
    with api.watching("v1", "ConfigMap", home) as lines:
        assert json.loads(next(lines))["type"] == "ADDED"
        with pytest.raises(BROKEN):
            next(lines)


def test_all_watches_are_cut_at_once(api_proxy: ApiProxy, api: KubeApi, home: str) -> None:
    with api.watching("v1", "ConfigMap", home) as lines:
        eventually(lambda: api_proxy.requests("watch"))
        assert api_proxy.cut_watches() == 1
        with pytest.raises(BROKEN):
            next(lines)


def test_down_resets_what_is_open_and_refuses_what_is_new(api_proxy: ApiProxy, api: KubeApi, home: str) -> None:
    with api.watching("v1", "ConfigMap", home) as lines:
        with api_proxy.down():
            with pytest.raises(BROKEN):
                next(lines)
            with pytest.raises(httpx.ConnectError), httpx.Client(trust_env=False) as stranger:
                stranger.get(f"{api_proxy.url}/version")
        assert api.http.get("/version").is_success


def test_silence_lets_nothing_pass_and_then_everything(
    api_proxy: ApiProxy, control_plane: ControlPlane, api: KubeApi, home: str
) -> None:
    answers: list[Object] = []
    writer = threading.Thread(target=lambda: answers.append(api.create(config_map("late"), home)))
    with api_proxy.silence():
        writer.start()
        eventually(lambda: api_proxy.requests("create"))
        writer.join(0.5)
        assert writer.is_alive()
        assert names(control_plane, home) == set()
    writer.join(10)
    assert [one["metadata"]["name"] for one in answers] == ["late"]


def test_requests_are_told_in_the_words_of_rbac(
    api_proxy: ApiProxy, control_plane: ControlPlane, api: KubeApi, home: str
) -> None:
    api.apply(config_map("one"), home)
    api.get("v1", "ConfigMap", "one", home)
    api.objects("v1", "ConfigMap", home)
    api.delete("v1", "ConfigMap", "one", home)
    (applied, removed) = api_proxy.writes()
    assert (applied.verb, applied.resource, applied.namespace, applied.name) == ("patch", "configmaps", home, "one")
    assert applied.applies
    assert applied.object["data"] == {}
    assert (removed.verb, removed.status) == ("delete", 200)
    assert api_proxy.writes(besides=["configmaps"]) == []
    assert api_proxy.counts() == {
        "patch configmaps": 1,
        "get configmaps": 1,
        "list configmaps": 1,
        "delete configmaps": 1,
    }
    assert all("python-httpx" in one.user_agent for one in api_proxy.requests())
    # A question is no write, though it is a POST.
    kubectl(api.access, "auth", "can-i", "create", "pods")
    assert [one.resource for one in api_proxy.requests("create")] == ["selfsubjectaccessreviews"]
    assert len(api_proxy.writes()) == 2


def test_user_stays_who_it_is(api_proxy: ApiProxy, control_plane: ControlPlane, home: str) -> None:
    user = api_proxy.access(control_plane.service_account(home, "operator"))
    said = json.loads(kubectl(user, "auth", "whoami", "--output=json"))
    assert said["status"]["userInfo"]["username"] == f"system:serviceaccount:{home}:operator"
