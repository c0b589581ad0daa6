"""What pods have beside what the operator gives them: bounded lists, never a whole PodSpec."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from tusfleet_operator.resource.fields import (
    Annotations,
    DataKey,
    LabelKey,
    Labels,
    LabelValue,
    ObjectName,
    Part,
    Quantity,
    Rule,
    SecretKey,
    at_most_one,
    exactly_one,
    text,
)

VolumeName = Annotated[str, text(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "is a name of a-z, 0-9 and -", 63)]
Path = Annotated[str, text(r"^/[^:]*$", "is an absolute path without a colon", 512)]
Affinity = Annotated[dict[str, Any], WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})]
ResourceList = Annotated[dict[Annotated[str, Field(max_length=128)], Quantity], Field(max_length=8)]


class Resources(Part):
    """CPU and memory of a container."""

    requests: ResourceList = Field(default={}, description="What a node sets aside for it.")
    limits: ResourceList = Field(default={}, description="What it may not exceed.")


class ConfigMapKey(Part):
    """A key of a ConfigMap in the namespace of the TusServer."""

    name: ObjectName = Field(description="Name of the ConfigMap.")
    key: DataKey = Field(description="Key in its data.")


class EnvironmentSource(Part):
    """Where the value of a variable comes from."""

    rules = (exactly_one("secretKeyRef", "configMapKeyRef", message="name secretKeyRef or configMapKeyRef"),)

    secret_key_ref: SecretKey | None = Field(None, description="A key of a Secret.")
    config_map_key_ref: ConfigMapKey | None = Field(None, description="A key of a ConfigMap.")


class EnvironmentVariable(Part):
    """A variable of the containers' environment."""

    rules = (
        at_most_one("value", "valueFrom", message="give value or valueFrom"),
        Rule(
            "!self.name.startsWith('TUSFLEET_')",
            "settings of the gateways are fields of spec.gateway, spec.storage.s3 and spec.redis",
        ),
        Rule(
            "!(self.name in ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'AWS_CA_BUNDLE'])",
            "credentials and certificates of the storage are fields of spec.storage.s3",
        ),
    )

    name: Annotated[str, text(r"^[A-Za-z_][A-Za-z0-9_]*$", "is a name of letters, 0-9 and _", 128)] = Field(
        description="Name of the variable."
    )
    value: str | None = Field(None, max_length=4096, description="Its value; never a secret.")
    value_from: EnvironmentSource | None = Field(None, description="Where its value comes from.")


class EmptyDir(Part):
    """A folder that lives as long as the pod."""

    size_limit: Quantity | None = Field(None, description="Most bytes in it.")


class ConfigMapVolume(Part):
    """Files of a ConfigMap."""

    name: ObjectName = Field(description="Name of the ConfigMap.")


class SecretVolume(Part):
    """Files of a Secret."""

    secret_name: ObjectName = Field(description="Name of the Secret.")


class ClaimVolume(Part):
    """A PersistentVolumeClaim."""

    claim_name: ObjectName = Field(description="Name of the PersistentVolumeClaim.")
    read_only: bool = Field(True, description="Whether it is mounted read-only.")


class CsiVolume(Part):
    """A volume of a CSI driver, such as that of a secrets store."""

    driver: Annotated[str, text(r"^[A-Za-z0-9][A-Za-z0-9.-]*$", "is the name of a CSI driver", 63)] = Field(
        description="Name of the driver."
    )
    read_only: bool = Field(True, description="Whether it is mounted read-only.")
    volume_attributes: Annotated[dict[LabelKey, Annotated[str, Field(max_length=1024)]], Field(max_length=16)] = Field(
        default={}, description="What the driver wants to know."
    )


class Volume(Part):
    """A volume of the pods."""

    rules = (
        exactly_one(
            "configMap", "secret", "emptyDir", "persistentVolumeClaim", "csi",
            message="a volume is exactly one of configMap, secret, emptyDir, persistentVolumeClaim and csi",
        ),
        Rule("self.name != 'tmp' && !self.name.startsWith('tusfleet-')", "names tmp and tusfleet-... are the operator's"),
    )  # fmt: skip

    name: VolumeName = Field(description="Name of the volume.")
    config_map: ConfigMapVolume | None = Field(None, description="Files of a ConfigMap.")
    secret: SecretVolume | None = Field(None, description="Files of a Secret.")
    empty_dir: EmptyDir | None = Field(None, description="A folder that lives as long as the pod.")
    persistent_volume_claim: ClaimVolume | None = Field(None, description="A PersistentVolumeClaim.")
    csi: CsiVolume | None = Field(None, description="A volume of a CSI driver.")


class VolumeMount(Part):
    """Where a volume is in the containers."""

    name: VolumeName = Field(description="Name of the volume.")
    mount_path: Path = Field(description="Folder, or file with `subPath`.")
    sub_path: Annotated[str, Field(max_length=512)] | None = Field(None, description="Path inside of the volume.")
    read_only: bool = Field(True, description="Whether it is mounted read-only.")


class Toleration(Part):
    """A taint that the pods put up with."""

    rules = (Rule("has(self.key) || self.operator == 'Exists'", "a toleration without a key needs operator: Exists"),)

    key: LabelKey | None = Field(None, description="Key of the taint; without it every key.")
    operator: Literal["Exists", "Equal"] = Field("Equal", description="How the value is compared.")
    value: LabelValue | None = Field(None, description="Value of the taint, for Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="Effect of the taint; without it every one."
    )
    toleration_seconds: int | None = Field(None, ge=0, description="How long, for NoExecute; without it for ever.")


class TopologySpread(Part):
    """How gateways are spread over zones, machines, or whatever a label of nodes tells."""

    topology_key: LabelKey = Field(description="Label of nodes; gateways are counted for each of its values.")
    max_skew: int = Field(1, ge=1, le=100, description="Largest difference between two counts.")
    when_unsatisfiable: Literal["ScheduleAnyway", "DoNotSchedule"] = Field(
        "ScheduleAnyway", description="What happens to a gateway that would break it."
    )


class ServiceAccount(Part):
    """The service account of the pods."""

    rules = (
        Rule(
            "!has(self.name) || !has(self.annotations) || self.annotations.size() == 0",
            "a service account that you name is yours: put the annotations on it yourself",
        ),
    )

    name: ObjectName | None = Field(
        None, description="A service account that is there; without it one is made, named as the TusServer."
    )
    annotations: Annotations = Field(
        default={},
        description="Annotations of the one that is made, such as `eks.amazonaws.com/role-arn`, by which the cluster "
        "gives the pods a role of the storage's provider.",
    )


class Template(Part):
    """What pods have beside what the operator gives them."""

    labels: Labels = Field(default={}, description="Labels of the pods. A change restarts them, one after the other.")
    annotations: Annotations = Field(default={}, description="Annotations of the pods. A change restarts them.")
    resources: Resources | None = Field(
        None,
        description="CPU and memory of a gateway. Without it: 250m CPU, as much memory as `bufferMemory` and 128Mi asked "
        "for, 256Mi above it allowed. There is no limit of CPU: it would slow uploads down when nobody else needs it.",
    )
    service_account: ServiceAccount = Field(default=ServiceAccount(), description="The service account of the pods.")
    node_selector: Annotated[dict[LabelKey, LabelValue], Field(max_length=16)] = Field(
        default={}, description="Labels that nodes must have."
    )
    tolerations: list[Toleration] = Field(default=[], max_length=16, description="Taints that the pods put up with.")
    affinity: Affinity | None = Field(None, description="As in a Pod; the API server checks it with the Deployment.")
    topology_spread_constraints: list[TopologySpread] | None = Field(
        None,
        max_length=8,
        description="How gateways are spread. Without it over zones and nodes, as far as that can be done.",
    )
    priority_class_name: ObjectName | None = Field(None, description="Priority of the pods.")
    env: list[EnvironmentVariable] = Field(
        default=[],
        max_length=32,
        description="Variables of the environment, such as those of the AWS tools.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    volumes: list[Volume] = Field(
        default=[],
        max_length=16,
        description="Volumes of the pods.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    volume_mounts: list[VolumeMount] = Field(default=[], max_length=16, description="Where they are in the containers.")
