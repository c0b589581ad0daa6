"""Requests to an API server are told in the words of RBAC."""

from __future__ import annotations

import pytest

from tests.testbed.api_requests import ApiRequest


def request(method: str, path: str, **query: str) -> ApiRequest:
    return ApiRequest(method, path, query, {}, b"", 0.0)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/api/v1/namespaces/a/pods", ("list", "", "pods", "a", "", "")),
        ("GET", "/api/v1/namespaces/a/pods/b", ("get", "", "pods", "a", "b", "")),
        ("GET", "/api/v1/namespaces/a/pods/b/log", ("get", "", "pods", "a", "b", "log")),
        ("GET", "/api/v1/pods", ("list", "", "pods", "", "", "")),
        ("GET", "/api/v1/namespaces", ("list", "", "namespaces", "", "", "")),
        ("GET", "/api/v1/namespaces/a", ("get", "", "namespaces", "", "a", "")),
        ("PUT", "/api/v1/namespaces/a/finalize", ("update", "", "namespaces", "", "a", "finalize")),
        ("POST", "/apis/apps/v1/namespaces/a/deployments", ("create", "apps", "deployments", "a", "", "")),
        ("PATCH", "/apis/apps/v1/namespaces/a/deployments/b", ("patch", "apps", "deployments", "a", "b", "")),
        ("PUT", "/apis/t.dev/v1/namespaces/a/things/b/status", ("update", "t.dev", "things", "a", "b", "status")),
        ("DELETE", "/apis/t.dev/v1/namespaces/a/things/b", ("delete", "t.dev", "things", "a", "b", "")),
        ("DELETE", "/apis/t.dev/v1/namespaces/a/things", ("deletecollection", "t.dev", "things", "a", "", "")),
        ("GET", "/apis/apps/v1", ("get", "", "", "", "", "")),
        ("GET", "/version", ("get", "", "", "", "", "")),
    ],
)
def test_paths(method: str, path: str, expected: tuple[str, ...]) -> None:
    one = request(method, path)
    assert (one.verb, one.group, one.resource, one.namespace, one.name, one.subresource) == expected


def test_watches_are_told_from_lists() -> None:
    assert request("GET", "/api/v1/pods", watch="true").verb == "watch"
    assert request("GET", "/api/v1/pods", watch="1").streams
    assert request("GET", "/api/v1/pods", watch="false").verb == "list"


@pytest.mark.parametrize(
    ("one", "writes"),
    [
        (request("PATCH", "/apis/apps/v1/namespaces/a/deployments/b"), True),
        (request("PATCH", "/apis/apps/v1/namespaces/a/deployments/b", dryRun="All"), False),
        (request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"), False),
        (request("GET", "/apis/apps/v1/namespaces/a/deployments/b"), False),
    ],
)
def test_writes(one: ApiRequest, writes: bool) -> None:
    assert one.writes is writes
