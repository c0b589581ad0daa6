"""What pods of gateways and janitors have in common: settings, secrets, rights, room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tusfleet_operator import names
from tusfleet_operator.builders import settings
from tusfleet_operator.builders._common import Manifest, Observed, without_nothing
from tusfleet_operator.builders.image import image
from tusfleet_operator.references import (
    FOLDER,
    REDIS_URL,
    S3_ACCESS_KEY_ID,
    S3_SECRET_ACCESS_KEY,
    S3_SESSION_TOKEN,
    Reference,
    by_purpose,
)
from tusfleet_operator.resource.pods import EnvironmentVariable, Resources, Template, Volume, VolumeMount
from tusfleet_operator.resource.server import TusServer
from tusfleet_operator.resource.settings import variable

METRICS_PORT = 9090

READABLE = 0o444
"""Mode of secret files: readable for whichever user the image or the cluster chooses, in a pod that has no other."""

TEMPORARY = "64Mi"
"""Most bytes in /tmp, the only folder that can be written: libraries leave small files there."""

SECRET_VARIABLES = {
    S3_ACCESS_KEY_ID: "AWS_ACCESS_KEY_ID",
    S3_SECRET_ACCESS_KEY: "AWS_SECRET_ACCESS_KEY",
    S3_SESSION_TOKEN: "AWS_SESSION_TOKEN",
    REDIS_URL: variable("redis_url"),
}
"""Variables that come out of a Secret, by what they are for."""


def template(server: TusServer, observed: Observed, component: str, pod: Mapping[str, Any]) -> Manifest:
    """A pod template of a component; `pod` has what is its own: containers and what stands beside them.

    Labels of the user's never win: the selector depends on ours.
    """
    given = server.spec.template
    annotations = {**given.annotations}
    if observed.secrets:
        annotations[names.SECRETS] = observed.secrets
    if restarted := server.annotations.get(names.RESTARTED_AT):
        annotations[names.RESTARTED_AT] = restarted
    labels = {**given.labels, **names.selector(server.name, component)}
    return {"metadata": without_nothing({"labels": labels, "annotations": annotations}), "spec": {**pod}}


def pod(server: TusServer, container: Manifest) -> Manifest:
    """A pod with one container: no right that is not needed, no token of the API server."""
    given = server.spec.template
    return without_nothing(
        {
            "serviceAccountName": given.service_account.name or server.name,
            # Workload identity brings a token of its own; nobody here talks to the API server.
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "imagePullSecrets": [{"name": secret} for secret in server.spec.image.pull_secrets],
            "priorityClassName": given.priority_class_name,
            "nodeSelector": dict(given.node_selector),
            "tolerations": [_plain(toleration) for toleration in given.tolerations],
            "affinity": given.affinity,
            "volumes": _volumes(server),
            "containers": [container],
        }
    )


def container(server: TusServer, observed: Observed, component: str, own: Mapping[str, Any]) -> Manifest:
    """A container that runs a command of `tusfleet`, named as the component."""
    given = server.spec.template
    return without_nothing(
        {
            "name": component,
            "image": image(server.spec, observed),
            "imagePullPolicy": server.spec.image.pull_policy,
            "args": [component],
            "envFrom": [{"configMapRef": {"name": settings.name(server)}}],
            "env": [*_secret_variables(server), *(_variable(added) for added in given.env)],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            },
            # The sentence with which a process gave up stands in the status of its pod, where the operator reads it.
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "volumeMounts": [*_mounts(server), *(_mount(added) for added in given.volume_mounts)],
            **own,
        }
    )


def health(path: str, **timing: int) -> Manifest:
    """A probe that asks on the port for health and metrics."""
    return {"httpGet": {"path": path, "port": "metrics", "scheme": "HTTP"}, **timing}


def metrics_port() -> Manifest:
    """The port for health and metrics."""
    return {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"}


def resources(given: Resources | None, usual: Manifest) -> Manifest:
    """What the user says, or what is usual; never a mixture of both."""
    if given is None:
        return usual
    return without_nothing({"requests": _texts(given.requests), "limits": _texts(given.limits)})


def _texts(quantities: Mapping[str, int | str]) -> dict[str, str]:
    return {name: str(quantity) for name, quantity in quantities.items()}


def _secret_variables(server: TusServer) -> list[Manifest]:
    found = by_purpose(server.spec)
    return [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": found[purpose].name, "key": found[purpose].key}}}
        for purpose, name in SECRET_VARIABLES.items()
        if purpose in found
    ]


def _variable(given: EnvironmentVariable) -> Manifest:
    if given.value_from is None:
        return {"name": given.name, "value": given.value or ""}
    return {"name": given.name, "valueFrom": _plain(given.value_from)}


def _mounted(server: TusServer) -> list[Reference]:
    return [found for purpose, found in by_purpose(server.spec).items() if purpose in settings.FILES]


def _volumes(server: TusServer) -> list[Manifest]:
    given: Template = server.spec.template
    secret: list[Manifest] = []
    for found in _mounted(server):
        source: Manifest = {"items": [{"key": found.key, "path": found.key}], "defaultMode": READABLE}
        if found.kind == "Secret":
            secret.append({"name": _volume_name(found), "secret": {"secretName": found.name, **source}})
        else:
            secret.append({"name": _volume_name(found), "configMap": {"name": found.name, **source}})
    temporary = {"name": "tmp", "emptyDir": {"sizeLimit": TEMPORARY}}
    return [temporary, *secret, *(_volume(added) for added in given.volumes)]


def _mounts(server: TusServer) -> Sequence[Manifest]:
    files = [
        {"name": _volume_name(found), "mountPath": f"{FOLDER}/{found.purpose}", "readOnly": True}
        for found in _mounted(server)
    ]
    return [{"name": "tmp", "mountPath": "/tmp"}, *files]


def _volume_name(found: Reference) -> str:
    return f"tusfleet-{found.purpose}"


def _volume(given: Volume) -> Manifest:
    found = _plain(given)
    if given.empty_dir is not None and given.empty_dir.size_limit is not None:
        found["emptyDir"] = {"sizeLimit": str(given.empty_dir.size_limit)}
    return found


def _mount(given: VolumeMount) -> Manifest:
    return _plain(given)


def _plain(given: Any) -> Manifest:
    found: Manifest = given.model_dump(by_alias=True, exclude_none=True)
    return found
