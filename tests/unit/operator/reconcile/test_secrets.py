"""Digests of Secrets: of the data alone, read once for each version, never the values."""

from __future__ import annotations

import base64
from typing import Any, cast

import pytest

from tusfleet_operator.cluster.client import Client
from tusfleet_operator.cluster.kinds import CONFIG_MAP, SECRET, Kind
from tusfleet_operator.cluster.store import DELETED, Store
from tusfleet_operator.reconcile.readers import Readers
from tusfleet_operator.reconcile.secrets import Secrets
from tusfleet_operator.references import Reference

pytestmark = pytest.mark.anyio

ID = Reference("s3-access-key-id", "Secret", "minio", "id", "spec.storage.s3.credentialsSecretRef")
KEY = Reference("s3-secret-access-key", "Secret", "minio", "key", "spec.storage.s3.credentialsSecretRef")
CA = Reference("s3-ca", "ConfigMap", "trust", "ca.crt", "spec.storage.s3.certificateAuthority.configMapRef")


class Cluster:
    """Objects that can be read, and a store that has seen them."""

    def __init__(self) -> None:
        self.objects: dict[tuple[Kind, str, str], dict[str, Any]] = {}
        self.store = Store()
        self.reads = 0
        self.version = 0
        self.secrets = Secrets(cast(Client, self), self.store)

    def put(self, kind: Kind, name: str, data: dict[str, str], **metadata: Any) -> None:
        self.version += 1
        values = (
            {key: base64.b64encode(value.encode()).decode() for key, value in data.items()} if kind == SECRET else data
        )
        known = {"name": name, "namespace": "apps", "resourceVersion": str(self.version), **metadata}
        self.objects[kind, "apps", name] = {"metadata": known, "data": values}
        self.store.seen(kind, None, self.objects[kind, "apps", name])

    def remove(self, kind: Kind, name: str) -> None:
        self.store.seen(kind, DELETED, self.objects.pop((kind, "apps", name)))

    async def get(self, kind: Kind, namespace: str, name: str) -> dict[str, Any] | None:
        self.reads += 1
        return self.objects.get((kind, namespace, name))


async def test_the_digest_follows_the_data_and_nothing_else() -> None:
    cluster = Cluster()
    cluster.put(SECRET, "minio", {"id": "a", "key": "b"})
    first = await cluster.secrets.look("apps", [ID, KEY])
    cluster.put(SECRET, "minio", {"id": "a", "key": "b"}, labels={"new": "label"}, uid="made anew")
    relabelled = await cluster.secrets.look("apps", [ID, KEY])
    cluster.put(SECRET, "minio", {"id": "a", "key": "b", "other": "unused"})
    unused = await cluster.secrets.look("apps", [ID, KEY])
    cluster.put(SECRET, "minio", {"id": "a", "key": "c"})
    rotated = await cluster.secrets.look("apps", [ID, KEY])
    assert first == relabelled == unused
    assert first.digest != rotated.digest
    assert len(first.digest) == 16
    assert first.missing == ()


async def test_each_version_is_read_once_whoever_asks() -> None:
    cluster = Cluster()
    cluster.put(SECRET, "minio", {"id": "a", "key": "b"})
    for _ in range(5):
        await cluster.secrets.look("apps", [ID, KEY])
    assert cluster.reads == 1
    cluster.put(SECRET, "minio", {"id": "a", "key": "b"})
    await cluster.secrets.look("apps", [ID])
    await cluster.secrets.look("apps", [KEY])
    assert cluster.reads == 2


async def test_values_are_not_kept() -> None:
    cluster = Cluster()
    cluster.put(SECRET, "minio", {"id": "a", "key": "very secret value"})
    await cluster.secrets.look("apps", [KEY])
    cluster.objects.clear()
    kept = repr(cluster.secrets._known) + repr(vars(cluster.store))
    assert "very secret" not in kept
    assert base64.b64encode(b"very secret value").decode() not in kept


async def test_what_is_missing_is_told_with_the_field_that_names_it() -> None:
    cluster = Cluster()
    assert (await cluster.secrets.look("apps", [ID, CA])).missing == (
        "Secret apps/minio is not there; spec.storage.s3.credentialsSecretRef names it",
        "ConfigMap apps/trust is not there; spec.storage.s3.certificateAuthority.configMapRef names it",
    )
    cluster.put(SECRET, "minio", {"key": "b"})
    cluster.put(CONFIG_MAP, "trust", {"ca.crt": "certificate"})
    assert (await cluster.secrets.look("apps", [ID, CA])).missing == (
        "Secret apps/minio has no key id, which spec.storage.s3.credentialsSecretRef names",
    )


async def test_what_comes_back_as_it_was_changes_nothing() -> None:
    cluster = Cluster()
    cluster.put(SECRET, "minio", {"id": "a", "key": "b"})
    before = await cluster.secrets.look("apps", [ID])
    cluster.remove(SECRET, "minio")
    assert (await cluster.secrets.look("apps", [ID])).missing
    cluster.put(SECRET, "minio", {"id": "a", "key": "b"})
    assert await cluster.secrets.look("apps", [ID]) == before


async def test_nothing_that_is_referred_to_has_no_digest() -> None:
    assert (await Cluster().secrets.look("apps", [])).digest == ""


def test_who_reads_a_secret_is_known() -> None:
    index = Readers()
    index.remember(("apps", "a"), [ID, KEY])
    index.remember(("apps", "b"), [ID, CA])
    index.remember(("elsewhere", "c"), [ID])
    assert index.of(SECRET, "apps", "minio") == {("apps", "a"), ("apps", "b")}
    assert index.of(CONFIG_MAP, "apps", "trust") == {("apps", "b")}
    index.remember(("apps", "b"), [CA])
    index.forget(("apps", "a"))
    assert index.of(SECRET, "apps", "minio") == frozenset()
    assert index.of(SECRET, "apps", "unknown") == frozenset()


async def test_an_object_that_is_not_there_is_told_once_for_all_keys_of_a_field() -> None:
    (told,) = (await Cluster().secrets.look("apps", [ID, KEY])).missing
    assert told == "Secret apps/minio is not there; spec.storage.s3.credentialsSecretRef names it"
