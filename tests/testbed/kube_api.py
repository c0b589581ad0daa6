"""A plain client of the Kubernetes API for tests: what is asked is what is sent, nothing is tried again or cached.

    api.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}, "my-namespace")
    api.get("apps/v1", "Deployment", "gateway", "my-namespace")     # None when there is none
    api.patch("apps/v1", "Deployment", "gateway", {"spec": {"replicas": 3}}, "my-namespace")

It is not the client of the operator, so that tests see what a person with kubectl would see.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx

from tests.testbed.kube_access import Access

Object = dict[str, Any]

MANAGER = "tests"
"""Field manager of what the tests write: somebody else than the operator."""

ANSWER_SECONDS = 30.0
"""Longest wait for an answer; it needs milliseconds, and seconds on a machine that builds beside the tests."""

_MERGE = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"

_NOT_FOUND = 404


class ApiError(Exception):
    """The API server refused; `str()` is its message, which is what a person reads."""

    def __init__(self, answer: httpx.Response) -> None:
        self.code = answer.status_code
        try:
            self.status: Object = answer.json()
        except ValueError:
            self.status = {"message": answer.text}
        self.reason = str(self.status.get("reason", ""))
        super().__init__(f"{self.code} {self.reason}: {self.status.get('message', '')}")


class KubeApi:
    """The API as the user of `access` sees it."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self.http = httpx.Client(
            base_url=access.server,
            headers={"Authorization": f"Bearer {access.token}"},
            transport=_Within(access),
            timeout=ANSWER_SECONDS,
            trust_env=False,
        )
        self._resources: dict[str, list[Object]] = {}

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def get(self, api: str, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """One object; None when there is none. Raises ApiError."""
        answer = self.http.get(self.path(api, kind, namespace, name))
        return None if answer.status_code == _NOT_FOUND else _object(answer)

    def objects(self, api: str, kind: str, namespace: str | None = None, selector: str = "") -> list[Object]:
        """All objects of a kind, of one namespace or of all, with labels as in `selector`. Raises ApiError."""
        query = {"labelSelector": selector} if selector else {}
        items: list[Object] = _object(self.http.get(self.path(api, kind, namespace), params=query))["items"]
        # Items of a list do not say what they are.
        return [{"apiVersion": api, "kind": kind, **item} for item in items]

    def create(self, manifest: Object, namespace: str | None = None) -> Object:
        """Make an object, as it is after the server's defaults. Raises ApiError."""
        path = self.path(manifest["apiVersion"], manifest["kind"], _namespace(manifest, namespace))
        return _object(self.http.post(path, json=manifest, params={"fieldManager": MANAGER, **_STRICT}))

    def apply(self, manifest: Object, namespace: str | None = None, *, manager: str = MANAGER) -> Object:
        """Server-side apply, which takes fields over from other managers. Raises ApiError."""
        found = self.path(
            manifest["apiVersion"], manifest["kind"], _namespace(manifest, namespace), manifest["metadata"]["name"]
        )
        query = {"fieldManager": manager, "force": "true", **_STRICT}
        return _object(self._patch(found, manifest, _APPLY, query))

    def patch(
        self,
        api: str,
        kind: str,
        name: str,
        change: Object | list[Object],
        namespace: str | None = None,
        *,
        subresource: str = "",
    ) -> Object:
        """Merge `change` into an object, or do it as JSON Patch when it is a list. Raises ApiError."""
        form = _MERGE if isinstance(change, dict) else "application/json-patch+json"
        path = self.path(api, kind, namespace, name, subresource)
        return _object(self._patch(path, change, form, {"fieldManager": MANAGER}))

    def set_status(self, api: str, kind: str, name: str, status: Object, namespace: str | None = None) -> Object:
        """Merge into the status, as the controller of that object would. Raises ApiError."""
        return self.patch(api, kind, name, {"status": status}, namespace, subresource="status")

    def delete(
        self, api: str, kind: str, name: str, namespace: str | None = None, *, propagation: str = "Background"
    ) -> None:
        """Delete an object, if there is one. Raises ApiError."""
        answer = self.http.delete(self.path(api, kind, namespace, name), params={"propagationPolicy": propagation})
        if answer.status_code != _NOT_FOUND:
            _object(answer)

    @contextlib.contextmanager
    def watching(self, api: str, kind: str, namespace: str | None = None) -> Iterator[Iterator[str]]:
        """The lines of a watch, each an event as JSON."""
        path = self.path(api, kind, namespace)
        with self.http.stream("GET", path, params={"watch": "true"}) as answer:
            yield answer.iter_lines()

    def path(self, api: str, kind: str, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        """The path of an object, or of all of its kind. Raises ApiError, and KeyError for a kind that is not known."""
        resource = self._resource(api, kind)
        parts = ["/api" if "/" not in api else "/apis", api]
        if namespace is not None and resource["namespaced"]:
            parts += ["namespaces", namespace]
        return "/".join([*parts, resource["name"], *filter(None, (name, subresource))])

    def knows(self, api: str, kind: str) -> bool:
        """Whether the API server has this kind now."""
        return bool(self._find(api, kind, fresh=True))

    def _resource(self, api: str, kind: str) -> Object:
        found = self._find(api, kind) or self._find(api, kind, fresh=True)
        if not found:
            raise KeyError(f"the API server has no {kind} of {api}")
        return found[0]

    def _find(self, api: str, kind: str, *, fresh: bool = False) -> list[Object]:
        if fresh or api not in self._resources:
            answer = self.http.get(("/api/" if "/" not in api else "/apis/") + api)
            self._resources[api] = [] if answer.status_code == _NOT_FOUND else _object(answer)["resources"]
        return [one for one in self._resources[api] if one["kind"] == kind and "/" not in one["name"]]

    def _patch(self, path: str, change: object, form: str, query: dict[str, str]) -> httpx.Response:
        return self.http.patch(path, json=change, params=query, headers={"Content-Type": form})


class _Within(httpx.HTTPTransport):
    """Connections are made in the network of the server, wherever the caller is."""

    def __init__(self, access: Access) -> None:
        super().__init__(verify=access.tls(), trust_env=False)
        self._access = access

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        with self._access.within():
            return super().handle_request(request)


_STRICT = {"fieldValidation": "Strict"}
"""A field that is not known is an error, as with `kubectl apply --validate=strict`."""


def _namespace(manifest: Object, namespace: str | None) -> str | None:
    named: str | None = manifest["metadata"].get("namespace")
    return named or namespace


def _object(answer: httpx.Response) -> Object:
    if answer.is_error:
        raise ApiError(answer)
    found: Object = answer.json()
    return found
