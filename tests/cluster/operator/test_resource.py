"""What the API server makes of a TusServer: defaults, refusals that say what to do, what never changes, scaling."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tests.cluster.operator.sites import Site
from tests.testbed.controlplane import ControlPlane
from tests.testbed.kube_api import ApiError, Object
from tests.unit.operator.builders.cases import S3, SMALLEST, SPECS
from tusfleet_operator.cluster.kinds import TUSSERVER

LONG = "x" * 10_000


def manifest(spec: Any, name: str = "uploads") -> Object:
    return {
        "apiVersion": TUSSERVER.api_version,
        "kind": TUSSERVER.kind,
        "metadata": {"name": name},
        "spec": copy.deepcopy(spec),
    }


def changed(**parts: Any) -> dict[str, Any]:
    """The smallest spec with other members; with dots in their names, further inside."""
    found: dict[str, Any] = copy.deepcopy(SMALLEST)
    for path, value in parts.items():
        *folders, last = path.split("__")
        place = found
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = value
    return found


@pytest.mark.parametrize("case", SPECS)
def test_what_people_write_is_taken_strictly(site: Site, case: str) -> None:
    site.api.create(manifest(SPECS[case], case), site.home)


MISTAKES: list[tuple[dict[str, Any], str]] = [
    (changed(replicas=2, autoscaling={"maxReplicas": 4}), "leave one of them out"),
    ({"redis": SMALLEST["redis"]}, "spec.storage: Required value"),
    (changed(storage__s3={"endpoint": "http://minio:9000"}), "spec.storage.s3.bucket: Required value"),
    (changed(storage__s3__bucket="no spaces please"), "bucket is the name of a bucket"),
    (changed(storage__s3__endpoint="minio:9000"), "endpoint is a URL without credentials"),
    (changed(storage__s3__endpoint="http://key:secret@minio:9000"), "endpoint is a URL without credentials"),
    (changed(storage__s3__partSize="1Mi"), "partSize is at least 5Mi"),
    (changed(storage__s3__partSize="256Mi"), "bufferMemory (256Mi without it) holds at least two parts"),
    (changed(storage__s3__sseKmsKey="key"), "sseKmsKey needs sse"),
    (changed(storage__s3__tags=["no value"]), "tags are written name=value"),
    (changed(storage__s3__credentialsSecretRef={"name": "Not A Name"}), "name is the name of an object"),
    (changed(storage__s3__certificateAuthority={}), "name the certificates by secretRef or by configMapRef"),
    (changed(redis={}), "name Redis in exactly one way"),
    (changed(redis={"dev": {}, "url": "redis://redis:6379"}), "name Redis in exactly one way"),
    (changed(redis__url="http://redis:6379"), "url is a URL such as redis://redis:6379/0"),
    (changed(redis__url="redis://:password@redis:6379/0"), "put a URL with a password into a Secret"),
    (changed(redis__url="redis://redis:6379/0?password=secret"), "url is a URL such as redis://redis:6379/0"),
    (changed(redis__tls={}), "tls goes with a url that begins with rediss://"),
    (changed(redis={"sentinel": {"hosts": ["no-port"], "master": "m"}}), "hosts is written host:port"),
    (changed(redis={"sentinel": {"hosts": [], "master": "m"}}), "should have at least 1 items"),
    (
        changed(redis={"cluster": {"hosts": ["a:1"]}}, gateway={"maxStoreSize": "1Ti"}),
        "on a Redis Cluster set redis.shards to 1",
    ),
    (changed(gateway__maxSize="12 apples"), "maxSize is a quantity of bytes such as 512Mi or 20Gi"),
    (changed(gateway__maxSize=-1), "maxSize is a quantity of bytes"),
    (changed(gateway__maxHeaderSize="1"), "maxHeaderSize is at least 1Ki"),
    (changed(gateway__expireAfter="1 day"), "expireAfter is a duration such as 30s, 90m or 24h"),
    (changed(gateway__forgetFinishedAfter="10ms"), "forgetFinishedAfter is at least 1s"),
    (changed(gateway__downloads=False), "spec.gateway.downloads"),
    (changed(gateway__downloads="sometimes"), 'supported values: "off", "finished", "any", "redirect"'),
    (changed(gateway__basePath="files"), "basePath begins with /"),
    (changed(gateway__location="ftp://x"), "location is auto, absolute, relative or a base URL"),
    (changed(gateway__location="https://key:secret@up.example"), "location is auto, absolute, relative or a base URL"),
    (changed(gateway__corsOrigins=["app.example"]), "corsOrigins are origins such as https://app.example"),
    (changed(gateway__corsCredentials=True), "name the origins in corsOrigins"),
    (changed(gateway__trustedProxies=["everybody"]), "trustedProxies are addresses or networks"),
    (changed(gateway={"forgetFinishedAfter": "24h", "maxStoreSize": "1Ti"}), "cannot go together"),
    (changed(autoscaling={"minReplicas": 5, "maxReplicas": 4}), "maxReplicas is at least minReplicas"),
    (changed(replicas=-1), "spec.replicas"),
    (changed(drainTimeout="1s"), "drainTimeout is 15s to 6h"),
    (changed(drainTimeout="soon"), "drainTimeout is a duration"),
    (changed(exposure={}), "expose uploads by httpRoute or by ingress"),
    (changed(exposure={"ingress": {"hosts": ["UP.example"]}}), "hosts is a host name"),
    (changed(exposure={"httpRoute": {"parentRefs": []}}), "should have at least 1 items"),
    (changed(service={"nodePort": 30000}), "nodePort needs type: NodePort or LoadBalancer"),
    (changed(service={"loadBalancerClass": "x"}), "need type: LoadBalancer"),
    (changed(networkPolicy={"ingressFrom": [{}]}), "name an ipBlock or a selector"),
    (changed(networkPolicy={"egressTo": [{"ipBlock": {"cidr": "all"}}]}), "cidr is a network such as 10.0.0.0/8"),
    (changed(image={"digest": "sha256:short"}), "digest is sha256: and 64 digits"),
    (changed(image={"repository": "a b"}), "repository is the name of an image"),
    (changed(deletionPolicy="Shred"), 'supported values: "Drain", "Orphan"'),
    (changed(template={"env": [{"name": "TUSFLEET_PORT", "value": "1"}]}), "settings of the gateways are fields"),
    (changed(template={"env": [{"name": "AWS_SECRET_ACCESS_KEY", "value": "1"}]}), "fields of spec.storage.s3"),
    (changed(template={"env": [{"name": "A", "value": "1"}, {"name": "A"}]}), "Duplicate value"),
    (changed(template={"env": [{"name": "A", "value": "1", "valueFrom": {}}]}), "give value or valueFrom"),
    (changed(template={"volumes": [{"name": "tmp", "emptyDir": {}}]}), "are the operator's"),
    (changed(template={"volumes": [{"name": "x"}]}), "a volume is exactly one of"),
    (changed(template={"volumeMounts": [{"name": "x", "mountPath": "etc"}]}), "mountPath is an absolute path"),
    (changed(template={"tolerations": [{"effect": "NoSchedule"}]}), "needs operator: Exists"),
    (changed(template={"resources": {"limits": {"memory": "much"}}}), "is a quantity such as 500m, 512Mi or 2"),
    (changed(template={"serviceAccount": {"name": "mine", "annotations": {"a": "b"}}}), "is yours"),
    (changed(storage__s3__bucket=LONG), "may not be more than 255"),
    (changed(redis__url=f"redis://{LONG}"), "may not be more than 1024"),
    (changed(gateway__corsOrigins=["https://a.example"] * 1000), "must have at most 64 items"),
    (changed(template={"labels": {str(number): "x" for number in range(100)}}), "must have at most 32 items"),
    (changed(unknown=True), 'unknown field "spec.unknown"'),
]


@pytest.mark.parametrize(("spec", "told"), MISTAKES, ids=[told for _, told in MISTAKES])
def test_a_mistake_is_refused_with_a_sentence_that_says_what_to_do(site: Site, spec: dict[str, Any], told: str) -> None:
    with pytest.raises(ApiError) as caught:
        site.api.create(manifest(spec), site.home)
    assert caught.value.code in {400, 422}
    assert told in str(caught.value).replace("Too long: may not be more than", "may not be more than")


@pytest.mark.parametrize("name", ["x" * 39, "1st", "with.dot", "Upper"])
def test_names_that_no_service_can_have_are_refused(site: Site, name: str) -> None:
    with pytest.raises(ApiError, match="name"):
        site.api.create(manifest(SMALLEST, name), site.home)


def test_the_longest_name_is_taken(site: Site) -> None:
    site.api.create(manifest(SMALLEST, "x" * 38), site.home)


NEVER = [
    ({"storage": {"s3": {"bucket": "another"}}}, "the bucket cannot change"),
    ({"storage": {"s3": {"keyPrefix": "another/"}}}, "keyPrefix cannot change"),
    ({"storage": {"s3": {"keyTemplate": None}}}, "keyTemplate cannot change"),
    ({"redis": {"prefix": "another"}}, "prefix cannot change"),
    ({"redis": {"shards": 32}}, "shards stays as it is"),
    ({"redis": {"shards": None}}, "shards stays as it is"),
]


@pytest.mark.parametrize(("change", "told"), NEVER, ids=[told for _, told in NEVER])
def test_what_uploads_depend_on_never_changes(site: Site, change: dict[str, Any], told: str) -> None:
    spec = changed(storage__s3__keyTemplate="{tenant}/{id}", redis__shards=16)
    site.api.create(manifest(spec), site.home)
    with pytest.raises(ApiError, match=told):
        site.change({"spec": change})
    site.change(
        {"spec": {"storage": {"s3": {"endpoint": "http://moved:9000"}}, "redis": {"url": "redis://moved:6379/0"}}}
    )


def test_shards_may_be_told_later(site: Site) -> None:
    site.api.create(manifest(SMALLEST), site.home)
    site.change({"spec": {"redis": {"shards": 64}}})


def test_defaults_are_the_servers(site: Site) -> None:
    spec = site.api.create(manifest(SMALLEST), site.home)["spec"]
    assert spec["janitor"] == {"replicas": 1}
    assert (spec["drainTimeout"], spec["deletionPolicy"], spec["updatePolicy"]) == ("60s", "Drain", "Manual")
    assert spec["service"]["type"] == "ClusterIP"
    assert spec["storage"]["s3"]["credentialsSecretRef"]["secretAccessKeyKey"] == "AWS_SECRET_ACCESS_KEY"
    # Or it could never be left to an autoscaler.
    assert "replicas" not in spec
    # Or a version that runs would have the defaults of another one.
    assert spec["gateway"] == {}


def test_fields_that_are_not_known_are_dropped_without_strictness(site: Site) -> None:
    path = site.api.path(TUSSERVER.api_version, TUSSERVER.kind, site.home)
    answer = site.api.http.post(path, json=manifest(changed(unknown=True)))
    assert "unknown" not in answer.raise_for_status().json()["spec"]


def test_it_can_be_scaled(site: Site) -> None:
    site.api.create(manifest(changed(replicas=2)), site.home)
    status = {"replicas": 2, "selector": "app.kubernetes.io/instance=uploads"}
    site.api.set_status(TUSSERVER.api_version, TUSSERVER.kind, "uploads", status, site.home)
    path = site.api.path(TUSSERVER.api_version, TUSSERVER.kind, site.home, "uploads", "scale")
    scale = site.api.http.get(path).raise_for_status().json()
    assert (scale["spec"]["replicas"], scale["status"]["selector"]) == (2, "app.kubernetes.io/instance=uploads")
    site.api.patch(
        TUSSERVER.api_version, TUSSERVER.kind, "uploads", {"spec": {"replicas": 5}}, site.home, subresource="scale"
    )
    assert site.server()["spec"]["replicas"] == 5


def test_kubectl_shows_and_explains_it(plane: ControlPlane, site: Site) -> None:
    site.api.create(manifest(SMALLEST), site.home)
    assert plane.kubectl("get", "tus", "-n", site.home).split()[:6] == [
        "NAME",
        "READY",
        "REPLICAS",
        "STORAGE",
        "URL",
        "AGE",
    ]
    assert "Bucket of finished uploads" in plane.kubectl("explain", "tusserver.spec.storage.s3.bucket")


def test_a_status_that_is_too_long_is_refused_not_stored(site: Site) -> None:
    site.api.create(manifest(SMALLEST), site.home)
    with pytest.raises(ApiError, match="url"):
        site.api.set_status(TUSSERVER.api_version, TUSSERVER.kind, "uploads", {"url": LONG}, site.home)


def test_the_smallest_one_is_as_small_as_it_says(site: Site) -> None:
    text = json.dumps({"storage": {"s3": {"bucket": S3["bucket"]}}, "redis": {"dev": {}}})
    site.api.create(manifest(json.loads(text)), site.home)
