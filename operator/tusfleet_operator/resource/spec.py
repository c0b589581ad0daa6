"""What is wanted of a TusServer."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tusfleet_operator.resource.exposure import Exposure, Monitoring, NetworkPolicy, Service
from tusfleet_operator.resource.fields import (
    DurationText,
    ObjectName,
    Part,
    Quantity,
    Rule,
    SecretKey,
    at_most_one,
    text,
)
from tusfleet_operator.resource.pods import Resources, Template
from tusfleet_operator.resource.redis import Redis
from tusfleet_operator.resource.settings import WithSettings
from tusfleet_operator.resource.storage import Storage

DEFAULT_REPLICAS = 2
"""Gateways, when nothing is said about their number: the death of one is nobody's trouble."""


class Gateway(WithSettings):
    """Settings of the gateways and janitors; what is left out has the default of the version that runs."""

    section: ClassVar[str] = "gateway"

    rules = (
        Rule(
            "!has(self.corsCredentials) || !self.corsCredentials || (has(self.corsOrigins) && !('*' in self.corsOrigins))",
            "corsCredentials cannot go with the origin *; name the origins in corsOrigins",
        ),
        Rule(
            "!has(self.forgetFinishedAfter) || !has(self.maxStoreSize)",
            "forgetFinishedAfter and maxStoreSize cannot go together: what is forgotten is still there, and would not count",
        ),
    )


class Janitor(Part):
    """What expires, drives on and cleans up."""

    replicas: int = Field(
        1,
        ge=0,
        le=5,
        description="Janitors; one of them works. More take over sooner when it dies. None only when those of another "
        "TusServer with the same stores do the work.",
    )
    resources: Resources | None = Field(
        None, description="CPU and memory of a janitor. Without it: 50m CPU and 128Mi asked for, 512Mi allowed."
    )


class Autoscaling(Part):
    """How many gateways there are, by what they have to do."""

    rules = (Rule("self.minReplicas <= self.maxReplicas", "maxReplicas is at least minReplicas"),)

    min_replicas: int = Field(2, ge=1, le=1000, description="Fewest gateways.")
    max_replicas: int = Field(ge=1, le=1000, description="Most gateways.")
    target_cpu_utilization: int = Field(
        70, ge=1, le=1000, description="CPU in use, in percent of what the gateways ask for, that is aimed at."
    )
    target_connections: Quantity | None = Field(
        None,
        description="Connections of one gateway that are aimed at besides. It needs an adapter that serves the pods' "
        "metric `tusfleet_connections_open` by the API custom.metrics.k8s.io.",
    )
    scale_down_stabilization_seconds: int = Field(
        300,
        ge=0,
        le=3600,
        description="For how long fewer gateways must have been enough before one goes; one a minute, from 60 on.",
    )


ImagePart = r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$"


class Image(Part):
    """The image of gateways and janitors."""

    repository: Annotated[str, text(ImagePart, "is the name of an image without tag and digest", 255)] | None = Field(
        None, description="Name of the image, without tag and digest; without it that of the operator's own version."
    )
    tag: Annotated[str, text(r"^[A-Za-z0-9_][A-Za-z0-9._-]*$", "is a tag", 128)] | None = Field(
        None, description="Tag of the image."
    )
    digest: Annotated[str, text(r"^sha256:[0-9a-f]{64}$", "is sha256: and 64 digits", 71)] | None = Field(
        None, description="Digest of the image; it wins over the tag."
    )
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = Field("IfNotPresent", description="When it is pulled.")
    pull_secrets: list[ObjectName] = Field(
        default=[], max_length=8, description="Secrets of type kubernetes.io/dockerconfigjson that let it be pulled."
    )


class Spec(Part):
    """What is wanted of a TusServer."""

    rules = (
        at_most_one(
            "replicas", "autoscaling",
            message="replicas and autoscaling both say how many gateways there are; leave one of them out",
        ),
        Rule(
            "!has(self.redis.cluster) || !has(self.gateway.maxStoreSize) || "
            "(has(self.redis.shards) && self.redis.shards == 1)",
            "gateway.maxStoreSize needs all totals on one server: on a Redis Cluster set redis.shards to 1",
        ),
        Rule(
            "!has(self.storage.s3.partSize) || !isQuantity(string(self.storage.s3.partSize)) || "
            "(has(self.gateway.bufferMemory) && !isQuantity(string(self.gateway.bufferMemory))) || "
            "quantity(has(self.gateway.bufferMemory) ? string(self.gateway.bufferMemory) : '256Mi').compareTo("
            "quantity(string(self.storage.s3.partSize)).add(quantity(string(self.storage.s3.partSize)))) >= 0",
            "gateway.bufferMemory (256Mi without it) holds at least two parts of storage.s3.partSize; raise it too",
        ),
        Rule(
            "!has(self.drainTimeout) || !self.drainTimeout.matches(r'^([0-9]{1,6}(ms|s|m|h)){1,4}$') || "
            "(duration(self.drainTimeout) >= duration('15s') && duration(self.drainTimeout) <= duration('6h'))",
            "drainTimeout is 15s to 6h",
        ),
    )  # fmt: skip

    storage: Storage = Field(description="Where bytes go.")
    redis: Redis = Field(description="Where records and leases live.")
    gateway: Gateway = Field(
        default=Gateway(),
        description="Settings of the gateways and janitors; what is left out has the default of the version that runs.",
    )
    replicas: int | None = Field(
        None,
        ge=0,
        le=1000,
        description=f"Number of gateways; without it and without autoscaling {DEFAULT_REPLICAS}.",
    )
    autoscaling: Autoscaling | None = Field(None, description="Number of gateways by what they have to do.")
    janitor: Janitor = Field(default=Janitor(), description="What expires, drives on and cleans up.")
    auth_tokens_secret_ref: SecretKey | None = Field(
        None,
        description="Secret with bearer tokens, one a line: `TOKEN [name=NAME] [tenant=TENANT] [admin]`. Without it nobody "
        "is asked for credentials.",
    )
    exposure: Exposure | None = Field(
        None,
        description="How clients outside of the cluster reach the gateways; without it they do by nothing of ours.",
    )
    service: Service = Field(default=Service(), description="The Service of the uploads.")
    monitoring: Monitoring = Field(default=Monitoring(), description="Objects of the Prometheus operator.")
    network_policy: NetworkPolicy | None = Field(
        None, description="Makes NetworkPolicies, even as `{}`: who may connect to the pods, and with whom they may."
    )
    drain_timeout: DurationText = Field(
        "60s",
        description="Time that a gateway has to leave: 5 s in which it still takes requests while everybody learns that it "
        "goes, then downloads may end; uploads are made durable and answered 503 at once, and go on elsewhere.",
    )
    deletion_policy: Literal["Drain", "Orphan"] = Field(
        "Drain",
        description="What happens when the TusServer is deleted. `Drain`: gateways make durable what they have, and end; "
        "unfinished uploads stay in Redis and in the bucket, and go on when there is a TusServer with the same stores again. "
        "`Orphan`: everything goes on running without the TusServer, and one of the same name takes it over. "
        "Neither removes an upload: those nobody goes on with are left to a janitor and to the bucket's lifecycle rule.",
    )
    image: Image = Field(default=Image(), description="The image of gateways and janitors.")
    update_policy: Literal["Manual", "WithOperator"] = Field(
        "Manual",
        description="What happens when a new version of the operator brings a new image. `Manual`: gateways keep the one "
        "they run until `image` names another. `WithOperator`: they are replaced, one after the other.",
    )
    template: Template = Field(default=Template(), description="What pods have beside what the operator gives them.")
