"""The kinds of values that a TusServer is made of, each with bounds and with words for who wrote something else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

RULES = "x-kubernetes-validations"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule (CEL) that the API server keeps, and what it tells somebody who broke it.

    Parameters:
        text: the expression; it may only read, and its cost is bounded by the bounds of what it reads.
        message: what to do instead.
    """

    text: str
    message: str

    def plain(self) -> dict[str, str]:
        return {"rule": self.text, "message": self.message}


class Part(BaseModel):
    """A part of a TusServer; its names are those of Kubernetes (camelCase), unknown fields are passed over.

    An operator older than the CRD must go on with what it knows.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")

    rules: ClassVar[tuple[Rule, ...]] = ()

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core_schema))
        if cls.rules:
            schema[RULES] = [rule.plain() for rule in cls.rules]
        return schema


def exactly_one(*names: str, message: str) -> Rule:
    """A rule: one of these fields is given, and no other."""
    given = ", ".join(f"has(self.{name})" for name in names)
    return Rule(f"[{given}].filter(given, given).size() == 1", message)


def at_most_one(*names: str, message: str) -> Rule:
    """A rule: of these fields one is given, or none."""
    given = ", ".join(f"has(self.{name})" for name in names)
    return Rule(f"[{given}].filter(given, given).size() <= 1", message)


def never_changes(name: str, message: str) -> Rule:
    """A rule: an optional field has the value for ever that it had when the resource was made."""
    return Rule(
        f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || self.{name} == oldSelf.{name})", message
    )


def text(pattern: str, message: str, most: int) -> Any:
    """Metadata of a text that matches an expression; the message says what it is instead of showing the expression."""
    return Field(pattern=pattern, min_length=1, max_length=most, json_schema_extra={"x-message": message})


OBJECT_NAME = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
ObjectName = Annotated[str, text(OBJECT_NAME, "is the name of an object: a-z, 0-9, - and .", 253)]
DataKey = Annotated[
    str, text(r"^[-._a-zA-Z0-9]+$", "is a key of the Secret or ConfigMap: letters, 0-9, -, _ and .", 253)
]
LabelKey = Annotated[str, Field(max_length=317)]
LabelValue = Annotated[str, Field(max_length=63)]
Labels = Annotated[dict[LabelKey, LabelValue], Field(max_length=32)]
Annotations = Annotated[dict[LabelKey, Annotated[str, Field(max_length=16384)]], Field(max_length=64)]
HostName = Annotated[
    str, text(r"^(\*\.)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "is a host name such as uploads.example.org", 253)
]
HostPort = Annotated[str, text(r"^[A-Za-z0-9\[\]:._-]+:[0-9]{1,5}$", "is written host:port", 270)]
Port = Annotated[int, Field(ge=1, le=65535)]

_DURATION = r"^([0-9]{1,6}(ms|s|m|h)){1,4}$"
DURATION_MESSAGE = "is a duration such as 30s, 90m or 24h"
DurationText = Annotated[str, text(_DURATION, DURATION_MESSAGE, 32)]

_QUANTITY = r"^([0-9]{1,15})(\.[0-9]{1,3})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"
Quantity = Annotated[
    int | str,
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "pattern": _QUANTITY,
            "x-message": "is a quantity such as 500m, 512Mi or 2",
            "maxLength": 24,
        }
    ),
]

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_FACTORS = {
    "": 1, "m": 0.001, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}  # fmt: skip


def seconds(duration: str) -> float:
    """The seconds of a duration such as `1m30s`.

    Raises:
        ValueError: it is none.
    """
    if re.fullmatch(_DURATION, duration) is None:
        raise ValueError(f"{duration!r} {DURATION_MESSAGE}")
    return sum(float(number) * _SECONDS[unit] for number, unit in re.findall(r"([0-9]+)(ms|s|m|h)", duration))


def amount(quantity: int | str) -> int:
    """The whole units (bytes, replicas) of a quantity such as `512Mi`.

    Raises:
        ValueError: it is none.
    """
    match = re.fullmatch(_QUANTITY, str(quantity))
    if match is None:
        raise ValueError(f"{quantity!r} is not a quantity such as 512Mi or 20Gi")
    number = float(match[1] + match[2]) if match[2] else int(match[1])
    return int(number * _FACTORS[match[3] or ""])


class SecretName(Part):
    """A Secret in the namespace of the TusServer."""

    name: ObjectName = Field(description="Name of the Secret.")


class SecretKey(Part):
    """A key of a Secret in the namespace of the TusServer."""

    name: ObjectName = Field(description="Name of the Secret.")
    key: DataKey = Field(description="Key in its data.")


class CertificateSource(Part):
    """A file of certificates (PEM) in a Secret or ConfigMap."""

    name: ObjectName = Field(description="Name of the Secret or ConfigMap.")
    key: DataKey = Field("ca.crt", description="Key in its data.")


class CertificateAuthority(Part):
    """Certificates that sign those of a server; where they are."""

    rules = (exactly_one("secretRef", "configMapRef", message="name the certificates by secretRef or by configMapRef"),)

    secret_ref: CertificateSource | None = Field(None, description="A Secret that has them.")
    config_map_ref: CertificateSource | None = Field(None, description="A ConfigMap that has them.")
