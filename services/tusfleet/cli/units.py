"""Types of command-line values: sizes, rates, durations and addresses, as the settings understand them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
else:
    # Not generic at run time in every version that we take.
    ParamType = click.ParamType


class _Size(ParamType):
    name = "size"

    def __init__(self, least: int = 0) -> None:
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        # Reading settings takes longer than the rest of a start; most runs give no size.
        from pydantic import TypeAdapter, ValidationError

        from tusfleet.settings import Size

        try:
            size: int = TypeAdapter(Size).validate_python(value)
        except ValidationError:
            self.fail(f"{value!r} is not a size; write a number with a unit, such as 16MiB", param, ctx)
        if size < self._least:
            self.fail(f"{value!r} is too small; the least is {self._least} bytes", param, ctx)
        return size


class _Rate(_Size):
    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        return super().convert(value.removesuffix("/s") if isinstance(value, str) else value, param, ctx)


class _Duration(ParamType):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        from datetime import timedelta

        from pydantic import TypeAdapter, ValidationError

        from tusfleet.settings import Duration

        try:
            span: timedelta = TypeAdapter(Duration).validate_python(value)
        except ValidationError:
            self.fail(f"{value!r} is not a duration; write a number with a unit, such as 90s or 5m", param, ctx)
        return span.total_seconds()


class _Address(ParamType):
    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value).strip()
        try:
            parts = urlsplit(text)
            fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            parts, fine = urlsplit(""), False
        if fine and "@" in parts.netloc:
            # Not repeated: it has a secret in it.
            self.fail("an address here has no credentials in it; see --token-file and --header", param, ctx)
        if not fine or any(letter.isspace() or not letter.isprintable() for letter in text):
            self.fail(f"{value!r} is not an address such as http://host/files/", param, ctx)
        return text


SIZE = _Size(least=1)
"""A positive number of bytes: `16MiB`, `1GB`, `4096`."""

RATE = _Rate(least=1)
"""Bytes per second: `10MiB`, `10MiB/s`."""

DURATION = _Duration()
"""Seconds: `90s`, `5m`, `1h30m`, `10`."""

ADDRESS = _Address()
"""An http or https URL with a host."""
