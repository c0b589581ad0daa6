"""Whatever somebody does to a child, it is as it was within seconds: every child, every field that builders write.

What is edited is generated from the builders' output, so that a new child or field is edited too.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cluster.operator.operators import IMAGE, OperatorProcess
from tests.cluster.operator.sites import Site, essence, named
from tests.servers import eventually
from tests.testbed.kube_api import ApiError, Object
from tests.unit.operator.builders.cases import SPECS, case, server
from tusfleet_operator.builders import Observed, build
from tusfleet_operator.cluster.kinds import kind_of

# Of a node's ports each can be had once in a cluster.
DEV = {**SPECS["dev"], "service": {"type": "NodePort"}}
CASES: dict[str, dict[str, Any]] = {"dev": DEV, **{name: SPECS[name] for name in ("production", "aws", "template")}}
"""Together they have every child, and every part of one."""

SECONDS = 10.0
"""Within which drift is repaired."""

Path = tuple[str | int, ...]

KEYS = frozenset({"name", "mountPath", "containerPort", "port", "protocol", "topologyKey", "whenUnsatisfiable"})
"""Names by which members of lists are known to the API server."""


@dataclass(frozen=True)
class Edit:
    """One edit of one field, as JSON Patch."""

    op: str
    path: Path
    value: Any = None

    def patch(self) -> list[Object]:
        pointer = "/" + "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in self.path)
        return [{"op": self.op, "path": pointer, **({} if self.op == "remove" else {"value": self.value})}]

    @property
    def names_a_member(self) -> bool:
        """Whether it changes the name by which a member of a list is known, and so makes another member of it."""
        return self.path[-1] in KEYS and any(isinstance(part, int) for part in self.path)

    def __str__(self) -> str:
        return f"{self.op} {'.'.join(map(str, self.path))}"


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every field of a manifest, and its value."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if members is None or not value:
        yield path, value
        return
    for key, member in members:
        yield from leaves(member, (*path, key))


def edits(manifest: Object) -> Iterator[Edit]:
    """What somebody could do to each field that we write: remove it, or write something else."""
    for path, value in leaves(manifest):
        if path[0] in {"apiVersion", "kind"} or path[:2] in {("metadata", "name"), ("metadata", "namespace")}:
            continue
        if path[1:2] == ("ownerReferences",) and path[-1] == "uid":
            # It belongs to an owner that does not exist then: the cluster collects it, and it is made anew.
            continue
        yield Edit("remove", path)
        yield Edit("replace", path, other(value))


def other(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return {"TCP": "UDP"}.get(value, f"{value}x" if not value.endswith("%") else "50%")
    return value


def where(body: Any, path: Path, manifest: Object) -> Path | None:
    """The path of a field in the object as it is: members of its lists may stand elsewhere than in the manifest."""
    found: list[str | int] = []
    wanted: Any = manifest
    for part in path:
        wanted = wanted[part]
        if isinstance(part, int):
            if not isinstance(body, list):
                return None
            part = next((number for number, one in enumerate(body) if _same(one, wanted)), part)
        try:
            body = body[part]
        except (KeyError, IndexError, TypeError):
            return None
        found.append(part)
    return tuple(found)


def _same(one: Any, wanted: Any) -> bool:
    if not isinstance(one, dict) or not isinstance(wanted, dict):
        return bool(one == wanted)
    keys = [key for key in ("name", "uid", "mountPath", "containerPort") if key in wanted]
    return bool(keys) and one.get(keys[0]) == wanted[keys[0]]


@pytest.fixture(scope="module")
def wanted() -> dict[str, list[Object]]:
    return {name: build(server(spec), Observed(IMAGE)) for name, spec in CASES.items()}


def test_every_kind_of_child_is_edited(wanted: dict[str, list[Object]]) -> None:
    kinds = {child["kind"] for children in wanted.values() for child in children}
    assert kinds == {child["kind"] for name in SPECS for child in build(case(name), Observed(IMAGE))}


@pytest.mark.parametrize("name", CASES)
def test_every_field_that_is_edited_is_as_it_was(site: Site, operator: OperatorProcess, name: str) -> None:
    made = site.make(CASES[name])
    manifests = {named(child): child for child in build(made, Observed(IMAGE))}
    site.has_children(len(manifests))
    operator.idle()
    tried, refused = 0, 0
    for child in site.children():
        before = essence(child)
        for edit in edits(_with_digest(manifests[named(child)], child)):
            place = where(child, edit.path, _with_digest(manifests[named(child)], child))
            if place is None:
                continue
            moved = Edit(edit.op, place, edit.value)
            if not _try(site, child, moved):
                refused += 1
                continue
            tried += 1
            if moved.names_a_member:
                _is_there_again(site, child, before, moved)
                before = _made_anew(site, child)
            else:
                _is_as_it_was(site, child, before, moved)
    print(f"{name}: {tried} edits were undone, {refused} the API server refused")
    assert tried > 100
    # What it refuses are values that it knows to be wrong, and fields that nobody may change.
    assert refused < tried


def _with_digest(manifest: Object, child: Object) -> Object:
    """The manifest with what the operator adds to it: the digest of Secrets."""
    found = copy.deepcopy(manifest)
    template = found.get("spec", {}).get("template")
    if template is not None and "annotations" in child["spec"]["template"]["metadata"]:
        template["metadata"]["annotations"] = child["spec"]["template"]["metadata"]["annotations"]
    return found


def _try(site: Site, child: Object, edit: Edit) -> bool:
    kind = kind_of(child)
    try:
        site.api.patch(kind.api_version, kind.kind, child["metadata"]["name"], edit.patch(), site.home)
    except ApiError as error:
        if error.code not in {400, 403, 422}:
            raise AssertionError(f"{named(child)}: {edit}: {error}") from error
        return False
    return True


def _is_as_it_was(site: Site, child: Object, before: Object, edit: Edit | str) -> None:
    kind = kind_of(child)
    found: Object | None = None

    def same() -> bool:
        nonlocal found
        found = site.get(kind, child["metadata"]["name"])
        return found is not None and _chosen(essence(found)) == _chosen(before)

    try:
        eventually(same, SECONDS)
    except AssertionError:
        raise AssertionError(f"{named(child)} is not as it was after: {edit}\n{before}\n{found}") from None


def _is_there_again(site: Site, child: Object, before: Object, edit: Edit) -> None:
    """What somebody made of a member by giving it another name stays, as what anybody adds; ours is there again."""

    found: Object | None = None

    def again() -> bool:
        nonlocal found
        found = site.get(kind_of(child), child["metadata"]["name"])
        return found is not None and _is_part_of(_chosen(before), found)

    try:
        eventually(again, SECONDS)
    except AssertionError:
        raise AssertionError(f"{named(child)} has not again what it had, after: {edit}\n{before}\n{found}") from None


def _is_part_of(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(_is_part_of(value, found.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(found, list) and all(any(_is_part_of(one, other) for other in found) for one in wanted)
    return bool(wanted == found)


def _made_anew(site: Site, child: Object) -> Object:
    kind, name = kind_of(child), child["metadata"]["name"]
    before = site.get(kind, name)
    assert before is not None
    site.api.delete(kind.api_version, kind.kind, name, site.home)
    eventually(lambda: (site.get(kind, name) or before)["metadata"]["uid"] != before["metadata"]["uid"], SECONDS)
    site.eventually(lambda: kind.kind != "Deployment" or _has_replicas(site, name))
    found = site.get(kind, name)
    assert found is not None
    return essence(found)


def _has_replicas(site: Site, name: str) -> bool:
    """The number of gateways is applied by itself, a moment after the rest."""
    managers = {entry["manager"] for entry in site.deployment(name)["metadata"]["managedFields"]}
    return not name.endswith("-gateway") or "tusfleet-operator-replicas" in managers


@pytest.mark.parametrize("name", CASES)
def test_every_child_comes_back(site: Site, operator: OperatorProcess, name: str) -> None:
    made = site.make(CASES[name])
    children = site.has_children(len(build(made, Observed(IMAGE))))
    operator.idle()
    for child in children:
        kind = kind_of(child)
        site.api.delete(kind.api_version, kind.kind, child["metadata"]["name"], site.home)
    for child in children:
        _comes_back(site, child)


def _comes_back(site: Site, child: Object) -> None:
    """It is another object, with everything that the one before had but for what the API server chooses."""
    kind = kind_of(child)

    def again() -> bool:
        found = site.get(kind, child["metadata"]["name"])
        is_another = found is not None and found["metadata"]["uid"] != child["metadata"]["uid"]
        return is_another and found is not None and _chosen(essence(found)) == _chosen(essence(child))

    eventually(again, SECONDS)


def _chosen(body: Object) -> Object:
    found = copy.deepcopy(body)
    if body["kind"] == "Service":
        for key in ("clusterIP", "clusterIPs", "healthCheckNodePort"):
            found["spec"].pop(key, None)
        for port in found["spec"]["ports"]:
            port.pop("nodePort", None)
    return found


STRUCTURAL: dict[str, dict[str, Any]] = {
    "every label": {"labels": None},
    "the label by which it is watched": {"labels": {"app.kubernetes.io/managed-by": None}},
    "the label of its owner": {"labels": {"tusfleet.dev/tusserver": None}},
    "its owner": {"ownerReferences": None},
    "its owner and every label": {"ownerReferences": None, "labels": None},
    "who owns which field": {"managedFields": [{}]},
}


@pytest.mark.parametrize("taken", STRUCTURAL)
def test_what_ties_children_to_their_tusserver_is_put_back(site: Site, operator: OperatorProcess, taken: str) -> None:
    made = site.make("production")
    children = site.has_children(len(build(made, Observed(IMAGE))))
    operator.idle()
    for child in children:
        kind = kind_of(child)
        change = {"metadata": STRUCTURAL[taken]}
        site.api.patch(kind.api_version, kind.kind, child["metadata"]["name"], change, site.home)
    for child in children:
        _is_as_it_was(site, child, essence(child), f"taking {taken} away")


def test_what_others_add_stays_and_nothing_is_written_for_it(site: Site, operator: OperatorProcess) -> None:
    site.make()
    site.has_children(7)
    operator.idle()
    added = {
        "metadata": {"annotations": {"example.org/seen": "yes"}, "labels": {"example.org/team": "red"}},
        "spec": {
            "template": {
                "metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}},
                "spec": {"nodeSelector": {"disk": "ssd"}},
            }
        },
    }
    site.api.patch("apps/v1", "Deployment", "uploads-gateway", added, site.home)
    sidecar = {"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "proxy", "image": "proxy:1"}}
    variable = {"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": {"name": "TZ", "value": "UTC"}}
    site.api.patch("apps/v1", "Deployment", "uploads-gateway", [sidecar, variable], site.home)
    site.api.patch("v1", "Service", "uploads", {"metadata": {"annotations": {"cloud/address": "1"}}}, site.home)
    before = site.deployment()
    operator.idle()
    after = site.deployment()
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    template = after["spec"]["template"]
    assert [container["name"] for container in template["spec"]["containers"]] == ["gateway", "proxy"]
    assert template["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"]
    # Also when something of ours changes beside it.
    site.change({"spec": {"gateway": {"maxSize": "1Gi"}}})
    eventually(lambda: site.deployment()["metadata"]["generation"] > after["metadata"]["generation"], SECONDS)
    template = site.deployment()["spec"]["template"]
    assert [container["name"] for container in template["spec"]["containers"]] == ["gateway", "proxy"]
    assert "TZ" in {variable["name"] for variable in template["spec"]["containers"][0]["env"]}
    assert template["spec"]["nodeSelector"] == {"disk": "ssd"}


def test_the_number_of_gateways_is_repaired_too(site: Site, operator: OperatorProcess) -> None:
    site.make()
    eventually(lambda: site.deployment()["spec"]["replicas"] == 2, SECONDS)
    for replicas in (7, 0):
        path = site.api.path("apps/v1", "Deployment", site.home, "uploads-gateway", "scale")
        answer = site.api.http.patch(
            path, json={"spec": {"replicas": replicas}}, headers={"Content-Type": "application/merge-patch+json"}
        )
        answer.raise_for_status()
        eventually(lambda: site.deployment()["spec"]["replicas"] == 2, SECONDS)


def test_repairs_are_counted(site: Site, operator: OperatorProcess) -> None:
    site.make()
    site.has_children(7)
    operator.idle()
    before = operator.metric("tusfleet_operator_repairs_total", kind="Service")
    site.api.delete("v1", "Service", "uploads", site.home)
    eventually(lambda: operator.metric("tusfleet_operator_repairs_total", kind="Service") == before + 1, SECONDS)
