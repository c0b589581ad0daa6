"""Leadership: one at a time, given back at once, taken over after its time, never held by one who cannot renew it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

from tests import virtual_time
from tusfleet_operator.cluster.client import Client
from tusfleet_operator.cluster.failures import ApiFailure, Conflict
from tusfleet_operator.cluster.kinds import Kind
from tusfleet_operator.engine.leadership import DEADLINE_SECONDS, LEASE_SECONDS, PAUSE_SECONDS, Leadership

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Leases:
    """An API server with one Lease, which can be cut off."""

    def __init__(self) -> None:
        self.body: dict[str, Any] | None = None
        self.version = 0

    def seen_by(self, cut: set[str], name: str) -> Client:
        return cast(Client, Way(self, cut, name))


class Way:
    """The way of one candidate to the API server."""

    def __init__(self, leases: Leases, cut: set[str], name: str) -> None:
        self.leases, self.cut, self.name = leases, cut, name

    async def _pass(self) -> None:
        await asyncio.sleep(0.01)
        if self.name in self.cut:
            raise ApiFailure(0, "NoAnswer", "cut off")

    async def get(self, kind: Kind, namespace: str, name: str) -> dict[str, Any] | None:
        await self._pass()
        return self.leases.body

    async def create(self, kind: Kind, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        await self._pass()
        if self.leases.body is not None:
            raise Conflict(409, "AlreadyExists", "it is there")
        return self._write(body)

    async def replace(self, kind: Kind, body: dict[str, Any]) -> dict[str, Any]:
        await self._pass()
        if self.leases.body is None or body["metadata"]["resourceVersion"] != str(self.leases.version):
            raise Conflict(409, "Conflict", "it was changed")
        return self._write(body)

    def _write(self, body: dict[str, Any]) -> dict[str, Any]:
        self.leases.version += 1
        metadata = {**body["metadata"], "resourceVersion": str(self.leases.version)}
        self.leases.body = {**body, "metadata": metadata}
        return self.leases.body


class Candidates:
    """Operators that want to lead."""

    def __init__(self) -> None:
        self.leases, self.cut = Leases(), set[str]()
        self.working = dict[str, float]()
        self.turns = list[tuple[str, bool, float]]()
        self.anew = list[tuple[str, bool]]()
        self.tasks = dict[str, asyncio.Task[None]]()

    def start(self, name: str) -> None:
        def turned(leading: bool) -> None:
            self.turns.append((name, leading, virtual_time.now()))

        async def work(anew: bool) -> None:
            self.anew.append((name, anew))
            assert not self.working, f"{name} works beside {self.working}"
            self.working[name] = virtual_time.now()
            try:
                await asyncio.Event().wait()
            finally:
                del self.working[name]

        candidate = Leadership(self.leases.seen_by(self.cut, name), "ops", "lease", name, lambda: NOW, turned)
        self.tasks[name] = asyncio.ensure_future(candidate.lead(work))

    async def stop(self, name: str) -> None:
        self.tasks[name].cancel()
        await asyncio.gather(self.tasks[name], return_exceptions=True)


def test_one_leads_and_the_next_one_follows_at_once_when_it_ends() -> None:
    async def scenario() -> None:
        all_of_them = Candidates()
        all_of_them.start("a")
        await asyncio.sleep(1)
        all_of_them.start("b")
        await asyncio.sleep(60)
        assert set(all_of_them.working) == {"a"}
        await all_of_them.stop("a")
        await asyncio.sleep(PAUSE_SECONDS + 0.1)
        assert set(all_of_them.working) == {"b"}
        await all_of_them.stop("b")
        assert all_of_them.leases.body is not None
        assert all_of_them.leases.body["spec"]["holderIdentity"] == ""

    virtual_time.run(scenario())


def test_who_dies_is_followed_after_the_time_of_the_lease() -> None:
    async def scenario() -> float:
        all_of_them = Candidates()
        all_of_them.start("a")
        await asyncio.sleep(1)
        all_of_them.start("b")
        await asyncio.sleep(10)
        # Dead: it gives nothing back.
        all_of_them.cut.add("a")
        await all_of_them.stop("a")
        died = virtual_time.now()
        while "b" not in all_of_them.working:
            await asyncio.sleep(0.1)
        took = all_of_them.working["b"] - died
        await all_of_them.stop("b")
        return took

    assert LEASE_SECONDS - PAUSE_SECONDS <= virtual_time.run(scenario()) <= LEASE_SECONDS + 2 * PAUSE_SECONDS


def test_who_is_cut_off_stops_before_another_one_begins() -> None:
    async def scenario() -> None:
        all_of_them = Candidates()
        all_of_them.start("a")
        await asyncio.sleep(1)
        all_of_them.start("b")
        await asyncio.sleep(10)
        all_of_them.cut.add("a")
        cut = virtual_time.now()
        await asyncio.sleep(60)
        assert set(all_of_them.working) == {"b"}
        ended = next(time for name, leading, time in all_of_them.turns if (name, leading) == ("a", False))
        assert ended - cut <= DEADLINE_SECONDS + PAUSE_SECONDS
        # It comes back, and waits for its turn.
        all_of_them.cut.clear()
        await asyncio.sleep(60)
        assert set(all_of_them.working) == {"b"}
        for name in ("a", "b"):
            await all_of_them.stop(name)

    virtual_time.run(scenario())


def test_who_leads_again_knows_whether_another_one_has_led_meanwhile() -> None:
    async def scenario() -> None:
        all_of_them = Candidates()
        all_of_them.start("a")
        await asyncio.sleep(1)
        for others in ((), ("b",)):
            for name in others:
                all_of_them.start(name)
            all_of_them.cut.add("a")
            await asyncio.sleep(60)
            all_of_them.cut.clear()
            for name in others:
                await all_of_them.stop(name)
            await asyncio.sleep(60)
            assert set(all_of_them.working) == {"a"}
        await all_of_them.stop("a")
        assert all_of_them.anew == [("a", True), ("a", False), ("b", True), ("a", True)]

    virtual_time.run(scenario())


def test_an_hour_without_the_api_server_ends_nobody() -> None:
    async def scenario() -> None:
        all_of_them = Candidates()
        all_of_them.cut |= {"a", "b"}
        for name in ("a", "b"):
            all_of_them.start(name)
        await asyncio.sleep(3600)
        assert not all_of_them.working
        all_of_them.cut.clear()
        await asyncio.sleep(2 * PAUSE_SECONDS)
        assert len(all_of_them.working) == 1
        for name in ("a", "b"):
            await all_of_them.stop(name)

    virtual_time.run(scenario())


def test_two_that_begin_together_do_not_both_lead() -> None:
    async def scenario() -> None:
        all_of_them = Candidates()
        for name in "abcde":
            all_of_them.start(name)
        await asyncio.sleep(30)
        assert len(all_of_them.working) == 1
        assert sum(leading for _, leading, _ in all_of_them.turns) == 1
        for name in "abcde":
            await all_of_them.stop(name)

    virtual_time.run(scenario())
