"""The list of rights: what is asked about at the start is what there is, and nothing is there for nothing."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tusfleet_operator.cluster.client import Client
from tusfleet_operator.cluster.kinds import CHILDREN, Kind
from tusfleet_operator.cluster.rights import RIGHTS, missing

pytestmark = pytest.mark.anyio


class Reviewer:
    """Answers access reviews; refuses what is in `refused`."""

    def __init__(self, *refused: tuple[str, str, str | None]) -> None:
        self.refused = refused
        self.asked: list[tuple[str, str, str | None]] = []

    async def create(self, kind: Kind, namespace: str | None, body: dict[str, Any]) -> dict[str, Any]:
        about = body["spec"]["resourceAttributes"]
        resource = "/".join(filter(None, (about["resource"], about.get("subresource"))))
        review = (about["verb"], resource, about.get("namespace"))
        self.asked.append(review)
        return {"status": {"allowed": review not in self.refused}}


async def test_every_right_is_asked_about_where_it_is_needed() -> None:
    reviewer = Reviewer()
    assert await missing(cast(Client, reviewer), None, "ops") == []
    assert len(reviewer.asked) == sum(len(right.verbs) for right in RIGHTS)
    assert ("patch", "tusservers/status", None) in reviewer.asked
    assert ("update", "leases", "ops") in reviewer.asked


async def test_only_in_the_namespaces_that_are_watched() -> None:
    reviewer = Reviewer()
    assert await missing(cast(Client, reviewer), ["red", "blue"], "ops") == []
    assert {namespace for _, resource, namespace in reviewer.asked if resource != "leases"} == {"red", "blue"}


async def test_what_is_missing_is_told_in_one_sentence_for_each_resource() -> None:
    reviewer = Reviewer(("list", "secrets", None), ("watch", "secrets", None), ("create", "leases", "ops"))
    assert await missing(cast(Client, reviewer), None, "ops") == [
        "it may not list, watch secrets in all namespaces",
        "it may not create leases (coordination.k8s.io) in the namespace ops",
    ]


def test_there_is_a_right_for_every_child_and_none_for_everything() -> None:
    rights = {(right.kind, right.subresource): right for right in RIGHTS}
    assert all({"create", "patch", "delete", "watch"} <= set(rights[kind, None].verbs) for kind in CHILDREN)
    assert len(rights) == len(RIGHTS)
    for right in RIGHTS:
        rule = right.plain()
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert right.why
