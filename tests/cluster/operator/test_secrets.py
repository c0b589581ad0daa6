"""Secrets: one rollout for new data and none for anything else; what is missing is told, and heals."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.operator.operators import OperatorProcess
from tests.cluster.operator.sites import Site
from tests.unit.operator.builders.cases import SMALLEST
from tusfleet_operator.cluster.kinds import DEPLOYMENT
from tusfleet_operator.names import SECRETS


def generation(site: Site, name: str = "uploads-gateway") -> int:
    found: int = site.deployment(name)["metadata"]["generation"]
    return found


def digest(site: Site) -> str:
    found: str = site.deployment()["spec"]["template"]["metadata"]["annotations"][SECRETS]
    return found


def settled(site: Site, operator: OperatorProcess) -> None:
    site.eventually(lambda: site.deployment()["spec"]["replicas"] == 2)
    operator.idle()


def rotate(site: Site, value: str) -> None:
    data = {"AWS_ACCESS_KEY_ID": value, "AWS_SECRET_ACCESS_KEY": value}
    site.api.patch("v1", "Secret", "minio", {"stringData": data}, site.home)


def test_rotation_replaces_the_pods_once(site: Site, operator: OperatorProcess) -> None:
    site.make()
    settled(site, operator)
    before, old = {name: generation(site, name) for name in ("uploads-gateway", "uploads-janitor")}, digest(site)
    rotate(site, "rotated")
    site.eventually(lambda: digest(site) != old)
    operator.idle()
    assert {name: generation(site, name) - was for name, was in before.items()} == {
        "uploads-gateway": 1,
        "uploads-janitor": 1,
    }


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {"labels": {"team": "red"}}},
        {"metadata": {"annotations": {"reflected": "yes"}}},
        {"stringData": {"UNUSED": "value"}},
        {"stringData": {"AWS_ACCESS_KEY_ID": "value"}},
    ],
    ids=["label", "annotation", "another key", "the same value"],
)
def test_what_is_not_data_that_pods_read_replaces_none(
    site: Site, operator: OperatorProcess, change: dict[str, Any]
) -> None:
    site.make()
    settled(site, operator)
    before = generation(site)
    site.api.patch("v1", "Secret", "minio", change, site.home)
    operator.idle()
    assert generation(site) == before


def test_a_secret_that_is_made_anew_with_the_same_data_replaces_none(site: Site, operator: OperatorProcess) -> None:
    """As tools that bring secrets from elsewhere do."""
    server = site.make()
    settled(site, operator)
    before = generation(site)
    site.api.delete("v1", "Secret", "minio", site.home)
    assert "Secret" in site.until("Degraded", "SecretMissing")
    # What runs goes on, and is not touched.
    assert generation(site) == before
    site.make_secrets(server)
    site.until("Degraded", "AsWanted")
    operator.idle()
    assert generation(site) == before


def test_a_missing_secret_is_told_and_heals_when_it_appears(site: Site, operator: OperatorProcess) -> None:
    server = site.make(secrets=False)
    message = site.until("Degraded", "SecretMissing")
    assert message.startswith(f"Secret {site.home}/minio is not there; spec.storage.s3.credentialsSecretRef names it")
    assert site.condition("Ready")[:2] == ("False", "SecretMissing")
    # What needs no secret is there already; pods that could not start are not.
    assert site.get(DEPLOYMENT, "uploads-gateway") is None
    assert site.api.get("v1", "Service", "uploads", site.home) is not None
    site.make_secrets(server)
    site.deployment()
    site.until("Degraded", "AsWanted")


def test_a_missing_key_is_told_and_heals(site: Site, operator: OperatorProcess) -> None:
    site.api.create(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "minio"}, "stringData": {"AWS_ACCESS_KEY_ID": "a"}},
        site.home,
    )
    site.make(secrets=False)
    assert "has no key AWS_SECRET_ACCESS_KEY" in site.until("Degraded", "SecretMissing")
    rotate(site, "complete")
    site.until("Degraded", "AsWanted")


def test_certificates_of_a_config_map_are_read_too(site: Site, operator: OperatorProcess) -> None:
    spec = {
        **SMALLEST,
        "storage": {
            "s3": {
                **SMALLEST["storage"]["s3"],
                "certificateAuthority": {"configMapRef": {"name": "trust", "key": "ca.crt"}},
            }
        },
    }
    site.make(spec)
    settled(site, operator)
    old = digest(site)
    site.api.patch("v1", "ConfigMap", "trust", {"data": {"ca.crt": "another"}}, site.home)
    site.eventually(lambda: digest(site) != old)
    site.api.delete("v1", "ConfigMap", "trust", site.home)
    assert "ConfigMap" in site.until("Degraded", "SecretMissing")


def test_one_secret_of_many_tusservers_replaces_the_pods_of_all(site: Site, operator: OperatorProcess) -> None:
    names = [f"uploads-{number}" for number in range(5)]
    for name in names:
        site.make(name=name)
    site.eventually(lambda: all(site.get(DEPLOYMENT, f"{name}-gateway") for name in names))
    operator.idle()
    before = {name: generation(site, f"{name}-gateway") for name in names}
    rotate(site, "rotated")
    site.eventually(lambda: all(generation(site, f"{name}-gateway") == was + 1 for name, was in before.items()))
