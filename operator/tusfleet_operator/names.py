"""Every label, annotation and field manager that the operator writes or reads, once.

Who adds one tells it in docs/tusserver.md (annotations that people set) and knows that selectors never change: a label
of `selector` that changed would make every Deployment of every TusServer impossible to update.
"""

from __future__ import annotations

from tusfleet_operator.resource.server import GROUP

NAME = "app.kubernetes.io/name"
INSTANCE = "app.kubernetes.io/instance"
COMPONENT = "app.kubernetes.io/component"
MANAGED_BY = "app.kubernetes.io/managed-by"

APPLICATION = "tusfleet"
REDIS_APPLICATION = "tusfleet-redis"
"""The Redis of `dev` is another application, so that what selects gateways and janitors together never selects it."""

OPERATOR = "tusfleet-operator"
"""Value of `MANAGED_BY` on every child: what the operator watches."""

OWNER = f"{GROUP}/tusserver"
"""Label of every child: the name of its TusServer, also when it has no owner reference."""

GATEWAY = "gateway"
JANITOR = "janitor"
REDIS = "redis"
METRICS = "metrics"

SECRETS = f"{GROUP}/secrets"
"""Annotation of pods: a digest of the Secrets and ConfigMaps that they read. Pods are replaced when it changes."""

PAUSED = f"{GROUP}/paused"
"""Annotation of a TusServer: with "true", nothing is changed."""

RESTARTED_AT = f"{GROUP}/restarted-at"
"""Annotation of a TusServer that its pods get too: they are replaced when it changes."""

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
"""Annotation of gateways' pods: which of them a smaller Deployment does without first."""

MANAGER = "tusfleet-operator"
"""Field manager of everything that is applied."""

REPLICAS_MANAGER = "tusfleet-operator-replicas"
"""Field manager of the number of gateways alone.

Were it owned together with the rest, leaving it out (for a HorizontalPodAutoscaler) would remove it, and the API server
would put its default there: one gateway.
"""

REPAIR_MANAGER = "tusfleet-operator-repair"
"""Field manager of what could not be applied beside what others had put there; it owns nothing for longer than that."""


def selector(instance: str, component: str) -> dict[str, str]:
    """Labels by which the pods of a component are selected; the same for ever."""
    application = REDIS_APPLICATION if component == REDIS else APPLICATION
    return {NAME: application, INSTANCE: instance, COMPONENT: component}


def pods_of(instance: str) -> str:
    """A label selector of all pods, and ReplicaSets, of a TusServer: they have the labels of their selectors alone."""
    return f"{INSTANCE}={instance},{NAME} in ({APPLICATION},{REDIS_APPLICATION})"


def labels(instance: str, component: str) -> dict[str, str]:
    """Labels of a child."""
    return {**selector(instance, component), MANAGED_BY: OPERATOR, OWNER: instance}
