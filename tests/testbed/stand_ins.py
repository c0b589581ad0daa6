"""What a cluster has elsewhere and not here: images under the names by which people pull them, and a disk to claim.

With them, what README and examples/kubernetes/minio.yaml say works in a cluster that reaches no registry.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.testbed.images import image
from tests.testbed.node import Cluster
from tests.testbed.our_images import IMAGES, our_image
from tusfleet_operator.resource.redis import DevRedis

ROOT = Path(__file__).parents[2]

EXAMPLE = ROOT / "examples" / "kubernetes" / "minio.yaml"


def stand_in(cluster: Cluster) -> None:
    """Have them."""
    for name in IMAGES:
        # The chart of an image has its name.
        cluster.load(our_image(name))
        described = yaml.safe_load((ROOT / "charts" / name / "Chart.yaml").read_text(encoding="utf-8"))
        cluster.name(f"localhost/{name}:dev", f"ghcr.io/tusfleet/{name}:{described['appVersion']}")
    cluster.load(image("redis"), image("minio-server"))
    cluster.name("localhost/redis:1", str(DevRedis.model_fields["image"].default))
    (minio,) = _images("minio")
    cluster.name("localhost/minio-server:1", minio)
    _offer_disk(cluster)


def _images(word: str) -> set[str]:
    """Those with a word in their names that the example pulls."""
    pods = [
        found["spec"]["template"]["spec"]
        for found in yaml.safe_load_all(EXAMPLE.read_text(encoding="utf-8"))
        if found["kind"] == "Deployment"
    ]
    containers = [each for pod in pods for each in (*pod.get("initContainers", ()), *pod["containers"])]
    return {each["image"] for each in containers if word in each["image"]}


def _offer_disk(cluster: Cluster) -> None:
    """A persistent volume for the first that claims one; clusters elsewhere make them by themselves."""
    folder = cluster.folder / "disk"
    folder.mkdir()
    folder.chmod(0o777)
    spec = {
        "capacity": {"storage": "20Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": str(folder), "type": "Directory"},
    }
    cluster.plane.api.apply(
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "disk"}, "spec": spec}
    )
