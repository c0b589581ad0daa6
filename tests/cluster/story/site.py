"""One TusServer in a cluster, and clients outside of its pods."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.testbed.kube_api import Object
from tests.testbed.node import Cluster
from tests.testbed.s3 import ACCESS_KEY, SECRET_KEY, Bucket
from tusfleet_operator.cluster.kinds import TUSSERVER

ROOT = Path(__file__).resolve().parents[3]

TUSFLEET = Path(sys.executable).with_name("tusfleet")

UPLOAD_SECONDS = 300.0


@dataclass(frozen=True)
class Site:
    """Where it all is.

    Parameters:
        home: namespace of the TusServer.
        stores: namespace of Redis and MinIO.
        folder: for files of clients.
    """

    cluster: Cluster
    home: str
    stores: str
    bucket: Bucket
    folder: Path

    def make(self, *, prefix: str = "", **more: object) -> None:
        """Apply the smallest TusServer, and wait until it is ready, as a person would.

        With a `prefix` it shares the bucket and Redis with others.
        """
        keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "minio"}, "stringData": keys}
        self.cluster.plane.api.apply(secret, self.home)
        s3: Object = {
            "bucket": self.bucket.name,
            "endpoint": f"http://minio.{self.stores}.svc:9000",
            "region": self.bucket.server.region,
            "credentialsSecretRef": {"name": "minio"},
        }
        redis = {"url": f"redis://redis.{self.stores}.svc:6379/0"}
        if prefix:
            s3 |= {"keyPrefix": f"{prefix}/", "abandonedAfter": "1s"}
            redis |= {"prefix": prefix}
        spec = {"storage": {"s3": s3}, "redis": redis, **more}
        manifest: Object = {
            "apiVersion": TUSSERVER.api_version,
            "kind": TUSSERVER.kind,
            "metadata": {"name": "uploads"},
            "spec": spec,
        }
        self.cluster.plane.api.apply(manifest, self.home)
        self.kubectl("wait", "--for=condition=Ready", "tusserver/uploads", "--timeout=180s")

    def kubectl(self, *arguments: str) -> str:
        """kubectl in the namespace of the TusServer."""
        return self.cluster.plane.kubectl("-n", self.home, *arguments)

    @property
    def url(self) -> str:
        """The creation URL, by the address of the Service: names of the cluster are known to its pods only."""
        found = self.cluster.plane.api.get("v1", "Service", "uploads", self.home)
        assert found is not None
        return f"http://{found['spec']['clusterIP']}/files/"

    def file(self, name: str, size: int) -> Path:
        """A file of random bytes."""
        place = self.folder / name
        numbers = Random(f"{name} {size}")
        with place.open("wb") as file:
            for start in range(0, size, 2**20):
                file.write(numbers.randbytes(min(2**20, size - start)))
        return place

    def upload(self, place: Path, *options: str) -> str:
        """Upload a file by `tusfleet upload` with these options; gives the key of its object."""
        done = subprocess.run(
            [str(TUSFLEET), "upload", str(place), "--url", self.url, "--quiet", *options],
            capture_output=True,
            text=True,
            check=False,
            timeout=UPLOAD_SECONDS,
            cwd=self.folder,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip().rpartition("/")[2]


def sha256(place: Path) -> str:
    """Of a file, in hexadecimal."""
    with place.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
