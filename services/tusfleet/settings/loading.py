"""Flags, environment, file and defaults, put together with the source of every value."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from tusfleet.settings.model import Settings

ENVIRONMENT_PREFIX = "TUSFLEET_"

_PASSWORD = re.compile(r"(//[^/:]*:).*@")


class SettingsError(ValueError):
    """A setting has a value that cannot be; the message is one line that names the setting and its source."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings in effect, and for every one where its value comes from."""

    settings: Settings
    sources: Mapping[str, str]


def load(
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    file: Path | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Loaded:
    """Put the settings together: a flag wins over the environment, that over the file, that over the default.

    Parameters:
        flags: values by setting name; None means the flag was not given.
        environment: by default this process's; `TUSFLEET_CONFIG` names the file when `file` is None.
        file: a TOML file whose top-level keys are setting names.
        defaults: of the command, where they are others than those of the settings.

    Raises:
        SettingsError: an unknown setting or a wrong value; one line that names it and its source.
    """
    environment = os.environ if environment is None else environment
    if file is None and (named := environment.get(ENVIRONMENT_PREFIX + "CONFIG")):
        file = Path(named)
    values: dict[str, Any] = dict(defaults or {})
    sources = dict.fromkeys(Settings.model_fields, "default")
    for source, layer in (
        (f"file {file}", _from_file(file) if file else {}),
        ("environment", _from_environment(environment)),
        ("flag", {name: value for name, value in (flags or {}).items() if value is not None}),
    ):
        for name, value in layer.items():
            if name not in Settings.model_fields:
                raise SettingsError(f"{name}: there is no such setting ({source})")
            values[name] = _absent_to_none(name, value)
            sources[name] = _spelling(source, name)
    try:
        return Loaded(Settings(**values), sources)
    except ValidationError as error:
        raise SettingsError(_one_line(error, sources)) from None


def _absent_to_none(name: str, value: object) -> object:
    optional = type(None) in get_args(Settings.model_fields[name].annotation)
    return None if optional and value in ("", "none") else value


def _from_file(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise SettingsError(f"config: {file} cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"config: {file} is not TOML: {error}") from error


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    names = {ENVIRONMENT_PREFIX + name.upper(): name for name in Settings.model_fields}
    return {names[key]: value for key, value in environment.items() if key in names}


def _spelling(source: str, name: str) -> str:
    if source == "flag":
        return "flag --" + name.replace("_", "-")
    return "environment " + ENVIRONMENT_PREFIX + name.upper() if source == "environment" else source


def _one_line(error: ValidationError, sources: Mapping[str, str]) -> str:
    first = error.errors(include_url=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return message
    name = str(first["loc"][0])
    return f"{name}: {message} (from {sources.get(name, 'default')}, given {without_password(name, first['input'])!r})"


def without_password(name: str, value: object) -> object:
    """The value of a setting as it may be shown: a password not at all, a URL without the one that it may carry."""
    extra = Settings.model_fields[name].json_schema_extra if name in Settings.model_fields else None
    if not isinstance(extra, dict) or not extra.get("secret") or not isinstance(value, str):
        return value
    if extra["secret"] == "all":
        return "***"
    return _PASSWORD.sub(r"\1***@", value)
