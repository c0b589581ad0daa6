"""The settings of gateways and janitors as a TusServer has them, and as their environment takes them.

`settings.json` is written from those of the command line; see scripts/settings_schema.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, ClassVar

from pydantic import ConfigDict, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from tusfleet_operator.resource.fields import Part, amount, seconds

ENVIRONMENT_PREFIX = "TUSFLEET_"


@cache
def schema() -> dict[str, Any]:
    """The file: `sections` with a JSON schema each, `operator` with the settings that a TusServer does not have."""
    found: dict[str, Any] = json.loads(
        resources.files("tusfleet_operator").joinpath("settings.json").read_text("utf-8")
    )
    return found


def properties(section: str) -> dict[str, dict[str, Any]]:
    """The schema of each setting of a section: gateway, s3 or redis."""
    found: dict[str, dict[str, Any]] = schema()["sections"][section]["properties"]
    return found


class WithSettings(Part):
    """A part of a TusServer that has the settings of a section beside fields of its own."""

    model_config = ConfigDict(extra="allow")

    section: ClassVar[str]

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        found = handler.resolve_ref_schema(super().__get_pydantic_json_schema__(core_schema, handler))
        found["properties"] = {**found.get("properties", {}), **properties(cls.section)}
        return found

    def setting(self, name: str) -> Any:
        """The value of a setting as it was written; None when it was not."""
        return (self.model_extra or {}).get(name)

    def environment(self) -> dict[str, str]:
        """The settings that were given, as environment variables.

        Raises:
            ValueError: a value that the CRD would have refused; the message names the field.
        """
        return environment(self.section, self.model_extra or {})


def environment(section: str, values: Mapping[str, Any]) -> dict[str, str]:
    """Values of settings of a section as environment variables; what is no setting is passed over."""
    found: dict[str, str] = {}
    for name, described in properties(section).items():
        if (value := values.get(name)) is None:
            continue
        try:
            found[variable(described["x-setting"])] = _written(described["x-kind"], value)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name}: {error}") from None
    return found


def variable(setting: str) -> str:
    """The environment variable of a setting."""
    return ENVIRONMENT_PREFIX + setting.upper()


def _written(kind: str, value: Any) -> str:
    if kind == "boolean":
        return str(bool(value)).lower()
    if kind == "size":
        # In bytes: the letters mean other factors there (1G is 10^9 here, 2^30 on the command line).
        return str(amount(value))
    if kind == "duration":
        seconds(value)
        return str(value)
    return ",".join(map(str, value)) if kind == "list" else str(value)
