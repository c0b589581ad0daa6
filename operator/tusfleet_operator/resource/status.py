"""What is known of a TusServer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tusfleet_operator.resource.fields import Part

Truth = Literal["True", "False", "Unknown"]

READY = "Ready"
PROGRESSING = "Progressing"
DEGRADED = "Degraded"
STORAGE_REACHABLE = "StorageReachable"
REDIS_REACHABLE = "RedisReachable"
ROUTE_ACCEPTED = "RouteAccepted"
PAUSED = "Paused"
CONDITIONS = (READY, PROGRESSING, DEGRADED, STORAGE_REACHABLE, REDIS_REACHABLE, ROUTE_ACCEPTED, PAUSED)


class Condition(Part):
    """One thing that is so, is not so, or is not known."""

    type: Annotated[str, Field(max_length=64)] = Field(
        description="Ready, Progressing, Degraded, StorageReachable, RedisReachable, RouteAccepted or Paused."
    )
    status: Truth = Field(description="Whether it is so.")
    observed_generation: int | None = Field(None, ge=0, description="Generation of the TusServer that it is about.")
    last_transition_time: str = Field(
        description="Since when it is so.", json_schema_extra={"format": "date-time"}, max_length=64
    )
    reason: Annotated[str, Field(min_length=1, max_length=128)] = Field(description="Why, in one word for programs.")
    message: Annotated[str, Field(max_length=4096)] = Field(description="Why, in a sentence for people.")


class Status(Part):
    """What is known of a TusServer."""

    observed_generation: int | None = Field(None, description="Generation of the TusServer that was looked at last.")
    conditions: list[Condition] = Field(
        default=[],
        max_length=16,
        description="Ready: gateways take uploads. Progressing: pods are being replaced. Degraded: something needs a "
        "person. StorageReachable, RedisReachable: what gateways say. RouteAccepted: what the Gateway says. Paused: the "
        "operator changes nothing.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    replicas: int | None = Field(None, description="Gateways.")
    ready_replicas: int | None = Field(None, description="Gateways that take uploads.")
    updated_replicas: int | None = Field(None, description="Gateways that have the newest settings and image.")
    selector: Annotated[str, Field(max_length=512)] | None = Field(
        None, description="Labels of the gateways' pods, for whoever scales this resource."
    )
    url: Annotated[str, Field(max_length=2048)] | None = Field(None, description="Where uploads are created.")
    config_hash: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="Hash of the settings that the pods are to have; it ends the name of their ConfigMap."
    )
    image: Annotated[str, Field(max_length=512)] | None = Field(None, description="Image of the gateways.")
