from __future__ import annotations

from typing import Any

import pytest

from tests.unit.operator.builders.cases import IMAGE, OBSERVED, REDIS, S3, SMALLEST, SPECS, case, server
from tests.unit.operator.builders.golden import CASES, assert_golden
from tusfleet_operator import names
from tusfleet_operator.builders import Observed, gateway
from tusfleet_operator.builders.settings import DRAIN_DELAY, DRAIN_MARGIN, environment
from tusfleet_operator.resource import TusServer


def deployment(of: TusServer, observed: Observed = OBSERVED) -> dict[str, Any]:
    (found,) = gateway.build(of, observed)
    spec: dict[str, Any] = found["spec"]
    return spec


def pod(of: TusServer, observed: Observed = OBSERVED) -> dict[str, Any]:
    found: dict[str, Any] = deployment(of, observed)["template"]["spec"]
    return found


def container(of: TusServer, observed: Observed = OBSERVED) -> dict[str, Any]:
    (found,) = pod(of, observed)["containers"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", CASES["gateway"])
def test_golden(name: str) -> None:
    assert_golden("gateway", name)


def test_no_gateway_leaves_before_another_one_has_come() -> None:
    assert deployment(case("smallest"))["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


@pytest.mark.parametrize(("timeout", "grace"), [("15s", 5), ("60s", 50), ("2m", 110), ("1h", 3590)])
def test_the_drain_fits_into_the_time_that_the_pod_has(timeout: str, grace: int) -> None:
    of = server({**SMALLEST, "drainTimeout": timeout})
    given = pod(of)["terminationGracePeriodSeconds"]
    assert environment(of)["TUSFLEET_DRAIN_GRACE"] == f"{grace}s"
    assert DRAIN_DELAY + grace + DRAIN_MARGIN == given


def test_three_probes_that_differ_and_only_readiness_depends_on_stores() -> None:
    found = container(case("smallest"))
    startup, liveness, readiness = (found[f"{name}Probe"] for name in ("startup", "liveness", "readiness"))
    assert [probe["httpGet"]["path"] for probe in (startup, liveness, readiness)] == ["/healthz", "/healthz", "/readyz"]
    assert startup != liveness
    # A store has 5 s to answer; a probe that gave up sooner would call a slow one dead.
    assert readiness["timeoutSeconds"] > 5


@pytest.mark.parametrize("name", SPECS)
def test_pods_are_restricted(name: str) -> None:
    """What the Pod Security Standard `restricted` asks for, and a root file system that cannot be written."""
    found, inner = pod(case(name)), container(case(name))
    assert found["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert inner["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(found)
    assert not any("hostPath" in volume for volume in found["volumes"])


@pytest.mark.parametrize("name", SPECS)
def test_no_token_of_the_api_server(name: str) -> None:
    """Workload identity brings a token of its own, by a webhook or an agent of the cluster."""
    assert pod(case(name))["automountServiceAccountToken"] is False


@pytest.mark.parametrize("name", SPECS)
def test_selectors_never_change(name: str) -> None:
    found = deployment(case(name))
    labels = {
        "app.kubernetes.io/name": "tusfleet",
        "app.kubernetes.io/instance": "uploads",
        "app.kubernetes.io/component": "gateway",
    }
    assert found["selector"]["matchLabels"] == labels
    assert labels.items() <= found["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize("name", SPECS)
def test_the_number_of_gateways_is_owned_apart(name: str) -> None:
    """Or turning an autoscaler on would remove it, and one gateway would be left."""
    assert "replicas" not in deployment(case(name))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [({}, 2), ({"replicas": 5}, 5), ({"replicas": 0}, 0), ({"autoscaling": {"maxReplicas": 4}}, None)],
)
def test_how_many_gateways(spec: dict[str, Any], expected: int | None) -> None:
    assert gateway.replicas(server({**SMALLEST, **spec}).spec) == expected


def test_gateways_are_spread_without_counting_those_that_leave() -> None:
    zone, host = pod(case("smallest"))["topologySpreadConstraints"]
    assert (zone["topologyKey"], host["topologyKey"]) == ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    assert zone["whenUnsatisfiable"] == host["whenUnsatisfiable"] == "ScheduleAnyway"
    assert host["labelSelector"]["matchLabels"] == names.selector("uploads", names.GATEWAY)
    assert host["matchLabelKeys"] == ["pod-template-hash"]


def test_a_spread_of_ones_own_and_none_at_all() -> None:
    (own,) = pod(case("template"))["topologySpreadConstraints"]
    assert (own["topologyKey"], own["maxSkew"]) == ("rack", 2)
    none = server({**SMALLEST, "template": {"topologySpreadConstraints": []}})
    assert pod(none)["topologySpreadConstraints"] == []


@pytest.mark.parametrize(("buffer", "asked", "allowed"), [(None, "384Mi", "512Mi"), ("1Gi", "1152Mi", "1280Mi")])
def test_memory_follows_the_buffers(buffer: str | None, asked: str, allowed: str) -> None:
    gateway_settings = {} if buffer is None else {"bufferMemory": buffer}
    found = container(server({**SMALLEST, "gateway": gateway_settings}))["resources"]
    assert (found["requests"]["memory"], found["limits"]) == (asked, {"memory": allowed})


def test_resources_of_ones_own_are_not_mixed_with_the_usual_ones() -> None:
    assert container(case("template"))["resources"] == {
        "requests": {"cpu": "1", "memory": "2Gi"},
        "limits": {"memory": "4Gi"},
    }


def test_secrets_are_referenced_and_never_written() -> None:
    env = {found["name"]: found for found in container(case("production"))["env"]}
    assert env["AWS_SECRET_ACCESS_KEY"]["valueFrom"]["secretKeyRef"] == {"name": "s3", "key": "AWS_SECRET_ACCESS_KEY"}
    assert env["TUSFLEET_REDIS_URL"]["valueFrom"]["secretKeyRef"] == {"name": "redis", "key": "url"}
    assert all("value" not in found for found in env.values())


def test_pods_are_replaced_when_secrets_settings_or_the_wish_for_it_change() -> None:
    of = case("smallest")
    other_secrets = Observed(default_image=IMAGE, secrets="another")
    other_settings = server({**SMALLEST, "gateway": {"maxSize": "1Gi"}})
    restarted = server(SMALLEST, annotations={names.RESTARTED_AT: "2026-01-01T00:00:00Z"})
    templates = [
        deployment(of)["template"],
        deployment(of, other_secrets)["template"],
        deployment(other_settings)["template"],
        deployment(restarted)["template"],
    ]
    assert all(templates.count(found) == 1 for found in templates)


def test_what_does_not_concern_pods_replaces_none() -> None:
    others: list[dict[str, Any]] = [
        {"replicas": 7},
        {"autoscaling": {"maxReplicas": 4}},
        {"service": {"type": "NodePort"}},
        {"networkPolicy": {}},
        {"monitoring": {"serviceMonitor": {}}},
        {"janitor": {"replicas": 2}},
        {"deletionPolicy": "Orphan"},
        {"updatePolicy": "WithOperator"},
    ]
    usual = deployment(case("smallest"))["template"]
    assert [deployment(server({**SMALLEST, **other}))["template"] for other in others] == [usual] * len(others)


@pytest.mark.parametrize(
    ("image", "running", "policy", "expected"),
    [
        ({}, None, "Manual", IMAGE),
        ({}, "registry.example/tusfleet:1.0.0", "Manual", "registry.example/tusfleet:1.0.0"),
        ({}, "registry.example/tusfleet:1.0.0", "WithOperator", IMAGE),
        ({"tag": "2"}, "registry.example/tusfleet:1.0.0", "Manual", "registry.example/tusfleet:2"),
        ({"repository": "localhost:5000/t"}, None, "Manual", "localhost:5000/t:1.2.3"),
        ({"repository": "localhost:5000/t"}, "localhost:5000/t:1.0.0", "Manual", "localhost:5000/t:1.0.0"),
        ({"digest": f"sha256:{'0' * 64}"}, None, "Manual", f"registry.example/tusfleet@sha256:{'0' * 64}"),
        ({}, f"localhost:5000/t@sha256:{'0' * 64}", "Manual", f"localhost:5000/t@sha256:{'0' * 64}"),
        ({"tag": "3"}, "localhost:5000/t", "Manual", "localhost:5000/t:3"),
    ],
)
def test_an_operator_that_is_upgraded_keeps_the_image(
    image: dict[str, str], running: str | None, policy: str, expected: str
) -> None:
    of = server({**SMALLEST, "image": image, "updatePolicy": policy})
    assert container(of, Observed(default_image=IMAGE, running_image=running))["image"] == expected


def test_labels_of_the_user_never_win_over_those_of_the_selector() -> None:
    labels = deployment(case("template"))["template"]["metadata"]["labels"]
    assert (labels["team"], labels["app.kubernetes.io/name"]) == ("red", "tusfleet")


def test_files_of_secrets_can_be_read_by_whichever_user_the_cluster_chooses() -> None:
    found = pod(case("sentinel"))
    assert "runAsUser" not in found["securityContext"]
    modes = [volume.get("secret", volume.get("configMap", {})).get("defaultMode") for volume in found["volumes"][1:]]
    assert modes == [0o444] * len(modes)
    assert len({mount["mountPath"] for mount in container(case("sentinel"))["volumeMounts"]}) == len(modes) + 1


def test_the_same_secret_for_two_purposes_is_mounted_twice() -> None:
    redis = {**REDIS, "passwordSecretRef": {"name": "all", "key": "password"}}
    of = server({"storage": {"s3": S3}, "redis": redis, "authTokensSecretRef": {"name": "all", "key": "tokens"}})
    volumes = [volume["name"] for volume in pod(of)["volumes"]]
    assert volumes == ["tmp", "tusfleet-redis-password", "tusfleet-auth-tokens"]
