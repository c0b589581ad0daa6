"""The control plane of the test bed is a real one, takes tokens as a cluster does, and leaves nothing."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tests.integration.testbed.leftovers import nothing_left
from tests.servers import eventually
from tests.testbed.controlplane import ControlPlane, control_plane
from tests.testbed.kube_access import Access
from tests.testbed.kube_api import ApiError, KubeApi, Object


def config_map(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def role_for_config_maps(user: Access) -> list[Object]:
    """A role of one namespace, bound to the service account."""
    _, _, namespace, name = user.user.split(":")
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create", "patch"]}]
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "config-maps"}
    api = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    return [
        {**api, "kind": "Role", "metadata": {"name": "config-maps"}, "rules": rules},
        {
            **api,
            "kind": "RoleBinding",
            "metadata": {"name": "config-maps"},
            "roleRef": reference,
            "subjects": [subject],
        },
    ]


def test_version_is_the_pinned_one(control_plane: ControlPlane) -> None:
    assert control_plane.api.http.get("/version").json()["gitVersion"] == "v1.36.3"
    assert json.loads(control_plane.kubectl("version", "--output=json"))["clientVersion"]["gitVersion"] == "v1.36.3"


def test_nothing_runs_when_it_has_ended(tmp_path: Path) -> None:
    with nothing_left() as groups, control_plane(tmp_path / "plane") as plane:
        groups.extend(program.pid for program in plane.programs.values())
        assert set(plane.programs) == {"etcd", "kube-apiserver"}


def test_objects_survive_a_killed_api_server(control_plane_alone: ControlPlane) -> None:
    control_plane_alone.api.create(config_map("kept", key="value"), "default")
    control_plane_alone.programs["kube-apiserver"].restart()
    found = control_plane_alone.api.get("v1", "ConfigMap", "kept", "default")
    assert found is not None
    assert found["data"] == {"key": "value"}


def test_service_account_may_what_rbac_gives_it(control_plane: ControlPlane, home: str) -> None:
    user = control_plane.service_account(home, "worker")
    api = KubeApi(user)
    try:
        with pytest.raises(ApiError, match=f'User "system:serviceaccount:{home}:worker" cannot get') as refused:
            api.get("v1", "ConfigMap", "mine", home)
        assert refused.value.reason == "Forbidden"
        for manifest in role_for_config_maps(user):
            control_plane.api.create(manifest, home)
        eventually(lambda: allowed(api, home))
        api.apply(config_map("mine", key="value"), home)
        with pytest.raises(ApiError, match="Forbidden"):
            api.objects("v1", "Secret", home)
    finally:
        api.close()
    verbs = {event["verb"] for event in control_plane.audit(user.user) if "objectRef" in event}
    assert {"get", "patch", "list"} <= verbs


def allowed(api: KubeApi, namespace: str) -> bool:
    try:
        api.get("v1", "ConfigMap", "mine", namespace)
    except ApiError:
        return False
    return True


def test_kubeconfig_of_a_service_account_works_with_kubectl(control_plane: ControlPlane, home: str) -> None:
    user = control_plane.service_account(home, "somebody")
    assert user.kubeconfig.stat().st_mode & 0o077 == 0
    said = control_plane.kubectl("auth", "whoami", "--kubeconfig", str(user.kubeconfig), "--output=json")
    assert json.loads(said)["status"]["userInfo"]["username"] == f"system:serviceaccount:{home}:somebody"


def test_stranger_is_turned_away(control_plane: ControlPlane) -> None:
    answer = httpx.get(
        f"{control_plane.admin.server}/api/v1/namespaces",
        headers={"Authorization": "Bearer nobody"},
        verify=control_plane.admin.tls(),
        trust_env=False,
    )
    assert answer.status_code == 401


def test_unknown_field_is_told(control_plane: ControlPlane, home: str) -> None:
    with pytest.raises(ApiError, match='unknown field "dta"'):
        control_plane.api.create({**config_map("odd"), "dta": {}}, home)


def test_restricted_namespace_refuses_a_privileged_pod(control_plane: ControlPlane) -> None:
    strict = control_plane.namespace(labels={"pod-security.kubernetes.io/enforce": "restricted"})
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "loose"},
        "spec": {"containers": [{"name": "one", "image": "none"}]},
    }
    with pytest.raises(ApiError, match="violates PodSecurity"):
        control_plane.api.create(pod, strict)
    assert control_plane.api.create(pod, control_plane.namespace())["spec"]["serviceAccountName"] == "default"


def test_definitions_of_others_come_and_go(control_plane_alone: ControlPlane) -> None:
    plane = control_plane_alone
    assert not plane.api.knows("monitoring.coreos.com/v1", "ServiceMonitor")
    plane.install("gateway-api", "prometheus-operator")
    for api, kind in [
        ("gateway.networking.k8s.io/v1", "HTTPRoute"),
        ("gateway.networking.k8s.io/v1", "Gateway"),
        ("monitoring.coreos.com/v1", "ServiceMonitor"),
        ("monitoring.coreos.com/v1", "PrometheusRule"),
    ]:
        assert plane.api.knows(api, kind), kind
    route = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "uploads"},
        "spec": {"rules": [{"backendRefs": [{"name": "uploads", "port": 80}]}]},
    }
    # Its defaults are the API server's.
    assert plane.api.create(route, "default")["spec"]["rules"][0]["matches"][0]["path"]["value"] == "/"
    plane.uninstall("gateway-api")
    eventually(lambda: not plane.api.knows("gateway.networking.k8s.io/v1", "HTTPRoute"))
