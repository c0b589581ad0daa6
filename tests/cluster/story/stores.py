"""Redis and MinIO in the cluster, whose data outlive their pods, and a client of the bucket that is not ours."""

from __future__ import annotations

import functools
import os
from typing import Any

import httpx

from tests.cluster.testbed.pods import deployment
from tests.servers import eventually
from tests.testbed.images import image
from tests.testbed.kube_api import Object
from tests.testbed.node import Cluster
from tests.testbed.s3 import ACCESS_KEY, SECRET_KEY, Bucket, S3Server

MINIO_PORT = 9000
REDIS_PORT = 6379

READY_SECONDS = 120.0

USER = 10001
"""Of the images of both."""

_image = functools.cache(image)
"""Every test has stores of its own, and buildah needs seconds to find that nothing has changed."""


def make(cluster: Cluster, home: str) -> Bucket:
    """Both, ready, in a namespace of theirs; gives a bucket, which is looked at from outside of the pods."""
    cluster.load(_image("redis"), _image("minio"))
    folders = {name: cluster.folder / "stores" / home / name for name in ("redis", "minio")}
    for folder in folders.values():
        folder.mkdir(parents=True)
        os.chown(folder, USER, USER)
    api = cluster.plane.api
    append_only = ["--appendonly", "yes", "--appendfsync", "always"]
    keys = [{"name": "MINIO_ROOT_USER", "value": ACCESS_KEY}, {"name": "MINIO_ROOT_PASSWORD", "value": SECRET_KEY}]
    quiet = [{"name": "MINIO_BROWSER", "value": "off"}, {"name": "MINIO_UPDATE", "value": "off"}]
    ready = {"httpGet": {"path": "/minio/health/ready", "port": MINIO_PORT}, "periodSeconds": 1}
    for manifest in (
        _kept(_deployment("redis", 256, args=append_only), str(folders["redis"])),
        _kept(_deployment("minio", 1024, env=keys + quiet, readinessProbe=ready), str(folders["minio"])),
        _service("redis", REDIS_PORT),
        _service("minio", MINIO_PORT),
    ):
        api.apply(manifest, home)
    for name in ("redis", "minio"):
        cluster.plane.kubectl("rollout", "status", f"deployment/{name}", "-n", home, f"--timeout={READY_SECONDS:.0f}s")
    found = api.get("v1", "Service", "minio", home)
    assert found is not None
    server = S3Server("minio", f"http://{found['spec']['clusterIP']}:{MINIO_PORT}", folders["minio"])
    eventually(lambda: _answers(server.endpoint), READY_SECONDS)
    return server.bucket()


def _answers(endpoint: str) -> bool:
    """Whether the Service leads to its pods already, which takes a moment after they are ready."""
    try:
        return httpx.get(f"{endpoint}/minio/health/ready", timeout=2, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _deployment(name: str, mib: int, **container: Any) -> Object:
    """No CPU limit: what is slow here is to be slow for other reasons."""
    resources = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": f"{mib}Mi"}}
    return deployment(name, 1, image=f"localhost/{name}:1", resources=resources, **container)


def _kept(manifest: Object, folder: str) -> Object:
    """With its data on the node, and never two pods on them."""
    pod = manifest["spec"]["template"]["spec"]
    pod["volumes"] = [{"name": "data", "hostPath": {"path": folder, "type": "Directory"}}]
    for name in ("certs", "tmp"):
        pod["volumes"].append({"name": name, "emptyDir": {}})
        pod["containers"][0]["volumeMounts"].append({"name": name, "mountPath": f"/{name}"})
    manifest["spec"]["strategy"] = {"type": "Recreate"}
    return manifest


def _service(name: str, port: int) -> Object:
    spec = {"selector": {"app": name}, "ports": [{"port": port, "targetPort": port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}
