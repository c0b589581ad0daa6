"""Sizes, durations, lists and choices: how values are written, and what they become."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field

_SIZE_UNITS = {
    "": 1, "b": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
_SIZE = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,6})?)\s*([A-Za-z]*)")
_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION_PART = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)")


def _size(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip())
    unit = _SIZE_UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ValueError("a size is a number with a unit, such as 512MiB or 20GB")
    return int(float(match[1]) * unit) if "." in match[1] else int(match[1]) * unit


def _duration(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return timedelta(seconds=value)
    if not isinstance(value, str):
        return value
    text = value.strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text):
        return timedelta(seconds=float(text))
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("a duration is a number with a unit, such as 30s, 90m or 24h")
    return timedelta(seconds=sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts))


def _listed(value: object) -> object:
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(",") if item.strip())
    return value


Size = Annotated[int, BeforeValidator(_size), Field(ge=0, le=2**63 - 1)]
"""A number of bytes; text may carry a unit (kB, MB, GB, TB, KiB, MiB, GiB, TiB)."""

Duration = Annotated[timedelta, BeforeValidator(_duration), Field(ge=timedelta(0), le=timedelta(days=36500))]
"""A span of time; text carries a unit (ms, s, m, h, d), a bare number is seconds."""

Listed = Annotated[tuple[str, ...], BeforeValidator(_listed)]
"""Several texts; as a flag or in the environment they are separated by commas."""


class Durability(StrEnum):
    """When bytes count as stored."""

    STRICT = "strict"
    RELAXED = "relaxed"


class ExpirationMode(StrEnum):
    """What the expiry of an unfinished upload counts from."""

    ABSOLUTE = "absolute"
    SLIDING = "sliding"


class Downloads(StrEnum):
    """Which uploads can be downloaded."""

    OFF = "off"
    FINISHED = "finished"
    ANY = "any"
    REDIRECT = "redirect"


class LogFormat(StrEnum):
    """How log lines are written."""

    PRETTY = "pretty"
    JSON = "json"


class InfoStoreKind(StrEnum):
    """Where records and leases live."""

    SQLITE = "sqlite"
    REDIS = "redis"


class DataStoreKind(StrEnum):
    """Where bytes go."""

    FILESYSTEM = "filesystem"
    S3 = "s3"
