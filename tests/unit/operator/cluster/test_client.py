"""The client, against a server that answers as it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import kopf
import pytest
from aiohttp import web

from tusfleet_operator.cluster.client import Client
from tusfleet_operator.cluster.failures import ApiFailure, Conflict, Forbidden, Invalid, NotFound
from tusfleet_operator.cluster.kinds import DEPLOYMENT, LEASE, SECRET

pytestmark = pytest.mark.anyio

MANIFEST = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "uploads", "namespace": "apps"}}


@dataclass
class Server:
    """Answers requests one after the other with what is in `answers`; the last one is repeated."""

    answers: list[Callable[[web.Request], web.Response]]
    requests: list[dict[str, Any]] = field(default_factory=list)
    logins: int = 0
    url: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append(
            {
                "method": request.method,
                "path": request.path,
                "query": dict(request.query),
                "headers": dict(request.headers),
                "body": await request.text(),
            }
        )
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer(request)

    def login(self) -> kopf.ConnectionInfo:
        self.logins += 1
        return kopf.ConnectionInfo(server=self.url, token=f"token-{self.logins}")


def answer(
    status: int = 200, body: Mapping[str, Any] | str = "{}", **headers: str
) -> Callable[[web.Request], web.Response]:
    text = body if isinstance(body, str) else json.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: web.Response(status=status, text=text, headers=named)


@asynccontextmanager
async def serving(*answers: Callable[[web.Request], web.Response]) -> AsyncIterator[tuple[Server, Client]]:
    server = Server(list(answers))
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", server.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        async with Client(server.login) as client:
            yield server, client
    finally:
        await runner.cleanup()


async def test_server_side_apply_is_what_the_api_server_expects() -> None:
    async with serving(answer(body=MANIFEST)) as (server, client):
        assert await client.apply(DEPLOYMENT, MANIFEST, "me", force=True) == MANIFEST
        await client.apply(DEPLOYMENT, MANIFEST, "me", force=False, subresource="status")
    first, second = server.requests
    assert (first["method"], first["path"]) == ("PATCH", "/apis/apps/v1/namespaces/apps/deployments/uploads")
    assert first["query"] == {"fieldManager": "me", "force": "true"}
    assert first["headers"]["Content-Type"] == "application/apply-patch+yaml"
    assert first["headers"]["Authorization"] == "Bearer token-1"
    assert json.loads(first["body"]) == MANIFEST
    assert (second["path"].rpartition("/")[2], second["query"]["force"]) == ("status", "false")


async def test_credentials_that_are_refused_are_read_anew_once() -> None:
    async with serving(answer(401), answer(body=MANIFEST)) as (server, client):
        assert await client.get(DEPLOYMENT, "apps", "uploads") == MANIFEST
    assert [request["headers"]["Authorization"] for request in server.requests] == ["Bearer token-1", "Bearer token-2"]


async def test_credentials_that_stay_refused_are_told_as_something_that_passes() -> None:
    async with serving(answer(401, {"reason": "Unauthorized", "message": "who are you"})) as (server, client):
        with pytest.raises(ApiFailure) as caught:
            await client.get(DEPLOYMENT, "apps", "uploads")
    assert (caught.value.status, caught.value.passing, server.logins) == (401, True, 2)


async def test_many_calls_whose_credentials_ran_out_log_in_once_together() -> None:
    expired = "Bearer token-1"

    def by_token(request: web.Request) -> web.Response:
        return web.Response(status=401 if request.headers["Authorization"] == expired else 200, text="{}")

    async with serving(by_token) as (server, client):
        done = await asyncio.gather(*(client.get(DEPLOYMENT, "apps", str(number)) for number in range(10)))
    assert done == [{}] * 10
    assert server.logins == 2


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"Retry_After": "7"}, {}, 7.0),
        ({}, {"details": {"retryAfterSeconds": 3}}, 3.0),
        ({}, {}, None),
        ({"Retry_After": "Wed, 21 Oct 2026 07:28:00 GMT"}, {}, None),
    ],
)
async def test_too_many_requests_are_told_with_the_time_to_wait(
    headers: dict[str, str], body: dict[str, Any], expected: float | None
) -> None:
    async with serving(answer(429, {"reason": "TooManyRequests", **body}, **headers)) as (server, client):
        with pytest.raises(ApiFailure) as caught:
            await client.list(DEPLOYMENT, None)
    assert (caught.value.retry_after, caught.value.passing) == (expected, True)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "kind", "passing"),
    [
        (409, Conflict, True),
        (403, Forbidden, False),
        (422, ApiFailure, False),
        (422, Invalid, False),
        (500, ApiFailure, True),
        (503, ApiFailure, True),
    ],
)
async def test_failures_are_told_apart(status: int, kind: type[ApiFailure], passing: bool) -> None:
    async with serving(answer(status, {"reason": "Because", "message": "it is so"})) as (_, client):
        with pytest.raises(kind, match="it is so") as caught:
            await client.create(DEPLOYMENT, "apps", MANIFEST)
    assert (caught.value.reason, caught.value.passing) == ("Because", passing)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_what_fails_for_a_moment_is_tried_again_at_once(status: int) -> None:
    async with serving(answer(status), answer(status), answer(body=MANIFEST)) as (server, client):
        assert await client.apply(DEPLOYMENT, MANIFEST, "me", force=True) == MANIFEST
    assert len(server.requests) == 3


async def test_a_server_that_asks_for_time_gets_it_from_all_calls_but_those_for_the_lease() -> None:
    async with serving(answer(503, Retry_After="1"), answer(body=MANIFEST)) as (server, client):
        with pytest.raises(ApiFailure):
            await client.get(DEPLOYMENT, "apps", "uploads")
        loop = asyncio.get_running_loop()
        began = loop.time()
        await client.get(LEASE, "ops", "lease")
        assert loop.time() - began < 0.5
        await asyncio.gather(*(client.get(DEPLOYMENT, "apps", "uploads") for _ in range(3)))
        assert loop.time() - began > 0.9
    assert len(server.requests) == 5


async def test_a_proxy_that_answers_with_a_page_is_quoted_shortly() -> None:
    async with serving(answer(502, "<html>" + "x" * 10_000)) as (_, client):
        with pytest.raises(ApiFailure) as caught:
            await client.get(DEPLOYMENT, "apps", "uploads")
    assert caught.value.message.startswith("<html>")
    assert len(caught.value.message) <= 256


async def test_no_answer_is_told_as_something_that_passes() -> None:
    async with Client(lambda: kopf.ConnectionInfo(server="http://127.0.0.1:1")) as client:
        with pytest.raises(ApiFailure, match="The API server does not answer") as caught:
            await client.get(DEPLOYMENT, "apps", "uploads")
    assert (caught.value.status, caught.value.passing) == (0, True)


async def test_no_credentials_at_all_are_told_in_a_sentence() -> None:
    def login() -> kopf.ConnectionInfo:
        raise kopf.LoginError("set KUBECONFIG")

    async with Client(login) as client:
        with pytest.raises(ApiFailure, match="set KUBECONFIG"):
            await client.get(DEPLOYMENT, "apps", "uploads")


async def test_long_lists_come_in_pages() -> None:
    first = answer(body={"metadata": {"continue": "next"}, "items": [{"metadata": {"name": "a"}}]})
    second = answer(body={"metadata": {}, "items": [{"metadata": {"name": "b"}}]})
    async with serving(first, second) as (server, client):
        found = await client.list(SECRET, "apps", "a=b", metadata_only=True)
    assert [body["metadata"]["name"] for body in found] == ["a", "b"]
    assert [request["query"].get("continue") for request in server.requests] == [None, "next"]
    assert all(request["query"]["labelSelector"] == "a=b" for request in server.requests)
    assert all("PartialObjectMetadataList" in request["headers"]["Accept"] for request in server.requests)


async def test_only_this_very_object_is_deleted_and_one_that_is_gone_is_fine() -> None:
    async with serving(answer(), answer(404)) as (server, client):
        await client.delete(DEPLOYMENT, "apps", "uploads", "uid-1")
        await client.delete(DEPLOYMENT, "apps", "uploads", "uid-1")
    body = json.loads(server.requests[0]["body"])
    assert body == {"propagationPolicy": "Background", "preconditions": {"uid": "uid-1"}}


async def test_what_is_not_there_is_none() -> None:
    async with serving(answer(404, {"reason": "NotFound"})) as (_, client):
        assert await client.get(LEASE, "ops", "lease") is None
        with pytest.raises(NotFound):
            await client.call("GET", "/apis/unknown/v1")


async def test_calls_are_counted() -> None:
    seen: list[tuple[str, int]] = []
    async with (
        serving(answer(), answer(409)) as (server, _),
        Client(server.login, lambda verb, status: seen.append((verb, status))) as client,
    ):
        await client.get(DEPLOYMENT, "apps", "uploads")
        with pytest.raises(Conflict):
            await client.create(DEPLOYMENT, "apps", MANIFEST)
    assert seen == [("GET", 200), ("POST", 409)]


async def test_what_does_not_fit_its_kind_is_not_tried_again_and_told_in_few_words() -> None:
    told = "failed to create typed patch object (a/b; apps/v1, Kind=Deployment): .spec: expected map, got &{"
    async with serving(answer(500, {"message": told + "x" * 10_000, "reason": "InternalError"})) as (server, client):
        with pytest.raises(ApiFailure) as caught:
            await client.apply(DEPLOYMENT, MANIFEST, "me", force=True)
    assert (caught.value.status, caught.value.passing, len(server.requests)) == (400, False, 1)
    assert caught.value.message.startswith(told)
    assert len(caught.value.message) == 2048
