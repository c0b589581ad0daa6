"""Flags made from the settings model, and its values written as somebody would type them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import Enum
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import click

from tusfleet.cli.failures import WrongSetting
from tusfleet.settings import (
    ENVIRONMENT_PREFIX,
    Duration,
    Listed,
    Loaded,
    Settings,
    SettingsError,
    Size,
    load,
)

Command = TypeVar("Command", bound=Callable[..., Any])

_HINTS = get_type_hints(Settings, include_extras=True)
_SIZE_UNITS = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


def settings_flags(defaults: Mapping[str, Any] = MappingProxyType({})) -> Callable[[Command], Command]:
    """Give a command one flag for every setting, and `--config`; it gets them as keyword arguments.

    Parameters:
        defaults: of the command, where they are others than those of the settings.
    """

    def given(command: Command) -> Command:
        for name in reversed(Settings.model_fields):
            command = _flag(name, defaults.get(name, Settings.model_fields[name].default))(command)
        return click.option(
            "--config",
            "config_file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help=f"TOML file whose keys are settings. [env: {ENVIRONMENT_PREFIX}CONFIG]",
        )(command)

    return given


def loaded(flags: Mapping[str, Any], file: Path | None, defaults: Mapping[str, Any] | None = None) -> Loaded:
    """Put flags, environment, file and the command's own defaults together.

    Raises:
        WrongSetting: one line that names the setting, its source and what is wrong.
    """
    try:
        return load(flags, None, file, defaults)
    except SettingsError as error:
        raise WrongSetting(str(error)) from None


def value_text(name: str, value: object) -> str:
    """A value as one would give it to the flag: `1GiB`, `24h`, `a,b`, `none`."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, int) and _plain_type(name) == Size:
        return _size_text(value)
    return str(value)


def duration_text(span: timedelta) -> str:
    """A duration in the largest unit that leaves no rest, such as `24h`; exact to the microsecond."""
    microseconds = span // timedelta(microseconds=1)
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        if microseconds and microseconds % (length * 1_000_000) == 0:
            return f"{microseconds // (length * 1_000_000)}{unit}"
    return f"{microseconds / 1_000_000:.6f}".rstrip("0").rstrip(".") + "s"


def _size_text(size: int) -> str:
    for unit, length in _SIZE_UNITS:
        if size and size % length == 0:
            return f"{size // length}{unit}"
    return str(size)


def _flag(name: str, value: object) -> Callable[[Command], Command]:
    field = Settings.model_fields[name]
    default = value_text(name, value) or "empty"
    notes = f"[env: {ENVIRONMENT_PREFIX}{name.upper()}; default: {default}]"
    spelling = "--" + name.replace("_", "-")
    help_text = f"{field.description} {notes}"
    if _plain_type(name) is bool:
        return click.option(f"{spelling}/--no-{spelling[2:]}", name, default=None, help=help_text)
    return click.option(spelling, name, default=None, metavar=_metavar(name), help=help_text)


def _metavar(name: str) -> str:
    kind = _plain_type(name)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "[" + "|".join(str(item.value) for item in kind) + "]"
    if get_origin(kind) is Literal:
        return "[" + "|".join(map(str, get_args(kind))) + "]"
    names = ((Size, "SIZE"), (Duration, "DURATION"), (Listed, "A,B,..."), (Path, "PATH"), (int, "NUMBER"))
    return next((text for known, text in names if kind == known), "TEXT")


def _plain_type(name: str) -> Any:
    """The type of a setting without the None that says it is off."""
    kind = _HINTS[name]
    if get_origin(kind) in {Union, UnionType}:
        return next(item for item in get_args(kind) if item is not type(None))
    return kind
