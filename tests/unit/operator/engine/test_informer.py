"""kopf as we set it up: in virtual time, on an API server that is cut off, refuses, expires and streams."""

from __future__ import annotations

import asyncio
import getpass
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import aiohttp
import kopf
import pytest

from tests import virtual_time
from tusfleet_operator.cluster.kinds import CONFIG_MAP, DEPLOYMENT, HTTP_ROUTE, SECRET, TUSSERVER, Kind
from tusfleet_operator.engine.informer import LONGEST_PAUSE, Forever, settings, watch

KINDS = (TUSSERVER, DEPLOYMENT)
HOUR = 3600.0


def body(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "apps", "uid": name, "resourceVersion": str(version)}}


@dataclass
class Answer:
    """What aiohttp gives for a response, as far as kopf looks at it."""

    status: int = 200
    told: dict[str, Any] = field(default_factory=dict)
    lines: list[dict[str, Any]] | None = None
    closed: bool = False
    headers: dict[str, str] = field(default_factory=dict)

    async def json(self) -> dict[str, Any]:
        return self.told

    async def text(self) -> str:
        return json.dumps(self.told)

    def raise_for_status(self) -> None:
        if self.status >= 400:
            raise aiohttp.ClientResponseError(cast(Any, None), (), status=self.status)

    @property
    def content(self) -> Answer:
        return self

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        for line in self.lines or []:
            yield json.dumps(line).encode() + b"\n"
        # Silent for as long as it may be.
        await asyncio.sleep(3000)

    def close(self) -> None:
        self.closed = True

    async def __aenter__(self) -> Answer:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


class Api:
    """An API server in memory; `disturb` may answer, or fail, in its place."""

    def __init__(self, disturb: Callable[[str], Answer | None] = lambda path: None) -> None:
        self.headers = {"User-Agent": "test"}
        self.closed = False
        self.disturb = disturb
        self.requests: list[tuple[float, str, dict[str, list[str]]]] = []
        self.events: dict[str, list[list[dict[str, Any]]]] = {}

    async def request(self, *, method: str, url: str, **_: Any) -> Answer:
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        self.requests.append((virtual_time.now(), parts.path, query))
        assert method == "get", "kopf is to write nothing"
        await asyncio.sleep(0.01)
        if (answer := self.disturb(parts.path)) is not None:
            return answer
        return self._discovery(parts.path) or self._objects(parts.path, "watch" in query)

    async def close(self) -> None:
        self.closed = True

    def _discovery(self, path: str) -> Answer | None:
        if path == "/api":
            return Answer(told={"versions": ["v1"]})
        if path == "/apis":
            groups = [
                {
                    "name": kind.group,
                    "versions": [{"version": kind.version}],
                    "preferredVersion": {"version": kind.version},
                }
                for kind in KINDS
            ]
            return Answer(told={"groups": groups})
        if path == "/api/v1":
            return Answer(told={"resources": [resource("Namespace", "namespaces")]})
        for kind in KINDS:
            if path == kind.api_path:
                return Answer(told={"resources": [resource(kind.kind, kind.plural)]})
        return None

    def _objects(self, path: str, watched: bool) -> Answer:
        plural = path.rpartition("/")[2]
        if not watched:
            return Answer(told={"items": [body("one", 1)], "metadata": {"resourceVersion": "1"}})
        streams = self.events.get(plural, [])
        return Answer(lines=streams.pop(0) if streams else [])


def resource(kind: str, plural: str) -> dict[str, Any]:
    return {"kind": kind, "name": plural, "singularName": kind.lower(), "namespaced": True, "verbs": ["list", "watch"]}


async def watching(api: Api, seconds: float) -> list[tuple[float, str, str | None, str]]:
    """What is delivered in so many virtual seconds: when, of which kind, by which event, the object's name."""
    seen: list[tuple[float, str, str | None, str]] = []

    def deliver(kind: Kind, event: str | None, found: Any) -> None:
        seen.append((virtual_time.now(), kind.plural, event, found["metadata"]["name"]))

    async def login(**_: Any) -> kopf.AiohttpSession:
        return kopf.AiohttpSession(aiohttp_session=cast(aiohttp.ClientSession, api), server="http://api")

    task = asyncio.ensure_future(watch(KINDS, None, cast(Any, login), deliver))
    done, _ = await asyncio.wait([task], timeout=seconds)
    task.cancel()
    ended = (await asyncio.gather(task, return_exceptions=True))[0]
    assert not done, f"watching ended: {ended!r}"
    return seen


def test_what_is_listed_and_what_is_streamed_is_delivered() -> None:
    api = Api()
    api.events["deployments"] = [
        [{"type": "MODIFIED", "object": body("one", 2)}, {"type": "DELETED", "object": body("one", 3)}]
    ]
    seen = [entry[1:] for entry in virtual_time.run(watching(api, 30))]
    assert ("tusservers", None, "one") in seen
    assert [event for plural, event, _ in seen if plural == "deployments"] == [None, "MODIFIED", "DELETED"]


def test_it_neither_writes_nor_asks_for_more_than_it_watches() -> None:
    api = Api()
    virtual_time.run(watching(api, 30))
    paths = {path for _, path, _ in api.requests}
    assert paths <= {
        "/api", "/apis", "/api/v1", "/apis/apps/v1", "/apis/tusfleet.dev/v1alpha1",
        "/apis/apps/v1/deployments", "/apis/tusfleet.dev/v1alpha1/tusservers",
    }  # fmt: skip


def test_a_user_without_a_name_can_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container, whose user is a number."""

    def nobody() -> str:
        raise OSError("No username set in the environment")

    monkeypatch.setattr(getpass, "getuser", nobody)
    monkeypatch.delenv("POD_ID", raising=False)
    assert virtual_time.run(watching(Api(), 30))


def cut_until(time: float) -> Callable[[str], Answer | None]:
    def disturb(path: str) -> Answer | None:
        if virtual_time.now() < time:
            raise aiohttp.ClientConnectionError("cut")
        return None

    return disturb


def test_an_hour_without_a_connection_ends_nothing_and_is_over_soon_after() -> None:
    api = Api(cut_until(HOUR))
    seen = virtual_time.run(watching(api, HOUR + 3 * LONGEST_PAUSE))
    assert seen
    assert min(time for time, *_ in seen) <= HOUR + LONGEST_PAUSE + 1
    # Tried as often as it does no harm.
    assert 60 <= len([None for time, *_ in api.requests if time < HOUR]) <= 600


def test_a_connection_that_is_cut_later_is_taken_up_again() -> None:
    def disturb(path: str) -> Answer | None:
        if 100 < virtual_time.now() < 100 + HOUR:
            raise aiohttp.ClientConnectionError("cut")
        return None

    api = Api(disturb)
    api.events["deployments"] = [[], [{"type": "MODIFIED", "object": body("one", 2)}]]
    seen = virtual_time.run(watching(api, 2 * HOUR))
    changed = next(time for time, plural, event, _ in seen if event == "MODIFIED")
    assert changed <= 100 + HOUR + 3 * LONGEST_PAUSE


@pytest.mark.parametrize("status", [403, 429, 500, 503])
def test_an_hour_of_refusals_ends_nothing(status: int) -> None:
    def disturb(path: str) -> Answer | None:
        refused = virtual_time.now() < HOUR and path.endswith("/deployments")
        return Answer(status, {"kind": "Status", "code": status, "message": "no"}) if refused else None

    seen = virtual_time.run(watching(Api(disturb), HOUR + 3 * LONGEST_PAUSE))
    assert any(plural == "tusservers" and time < 10 for time, plural, *_ in seen)
    assert any(plural == "deployments" for _, plural, *_ in seen)


def test_a_watch_that_is_too_old_is_listed_again() -> None:
    api = Api()
    gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}
    api.events["deployments"] = [[gone], [{"type": "ADDED", "object": body("two", 5)}]]
    seen = [entry[1:] for entry in virtual_time.run(watching(api, 60))]
    assert seen.count(("deployments", None, "one")) == 2
    assert ("deployments", "ADDED", "two") in seen


def test_any_other_error_of_a_watch_ends_it_so_that_it_begins_anew() -> None:
    """`Informer` starts it again, and has everything listed."""
    api = Api()
    broken = {"type": "ERROR", "object": {"kind": "Status", "code": 500, "message": "etcd"}}
    api.events["deployments"] = [[broken]]
    with pytest.raises(AssertionError, match=r"watching ended: .*WatchingError"):
        virtual_time.run(watching(api, 60))


def test_selectors_reach_the_kinds_they_are_meant_for() -> None:
    found = settings([TUSSERVER, SECRET, CONFIG_MAP, DEPLOYMENT, HTTP_ROUTE])
    assert set(found.watching.label_selectors.values()) == {"app.kubernetes.io/managed-by=tusfleet-operator"}
    assert len(found.watching.label_selectors) == 2
    assert ["helm.sh/release" in text for text in found.watching.field_selectors.values()] == [True]
    api = Api()
    virtual_time.run(watching(api, 5))
    by_plural = {path.rpartition("/")[2]: query.get("labelSelector") for _, path, query in api.requests}
    assert by_plural["deployments"] == ["app.kubernetes.io/managed-by=tusfleet-operator"]
    assert by_plural["tusservers"] is None


def test_kopf_kills_no_process_and_writes_no_events() -> None:
    found = settings(KINDS)
    assert found.process.ultimate_exiting_timeout is None
    assert found.posting.enabled is False
    assert found.peering.standalone
    assert found.scanning.disabled


def test_pauses_have_no_end_and_a_bound() -> None:
    pauses = [pause for pause, _ in zip(Forever(), range(1000), strict=False)]
    assert (pauses[0], max(pauses), pauses[-1]) == (1.0, LONGEST_PAUSE, LONGEST_PAUSE)
