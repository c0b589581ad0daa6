"""`tusfleet serve` and `gateway` run servers, `tusfleet config` shows the settings they would run with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any

import click

from tusfleet.cli.failures import Failure, WrongSetting
from tusfleet.cli.settings_flags import duration_text, loaded, settings_flags, value_text
from tusfleet.cli.text import printable, table
from tusfleet.settings import Loaded, SettingsError, without_password

FLEET = {
    "host": "0.0.0.0",
    "metrics_port": 9090,
    "infostore": "redis",
    "datastore": "s3",
    "drain_delay": timedelta(seconds=5),
    "log_format": "json",
}
"""Defaults of the processes of a fleet, where they are others than those of one box."""

ALL = ("uploads", "sweeper")
"""Roles of a process that does everything."""


@click.command(short_help="Run the server.")
@settings_flags()
@click.pass_context
def serve(ctx: click.Context, /, config_file: Path | None, **flags: Any) -> None:
    """Run the whole server in one process, until it gets SIGTERM or Ctrl-C.

    A flag wins over the environment, the environment over the file, the file over the default.
    """
    ctx.exit(run_service(loaded(flags, config_file), ALL))


@click.command(short_help="Run one gateway of a fleet.")
@settings_flags(FLEET)
@click.pass_context
def gateway(ctx: click.Context, /, config_file: Path | None, **flags: Any) -> None:
    """Take uploads, as one of many: records and leases in Redis, bytes in a bucket. Run `tusfleet janitor` beside.

    S3 credentials come from where the AWS tools look for them: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the shared
    credentials file, a web identity token, or the metadata service of the machine.
    """
    ctx.exit(run_service(loaded(flags, config_file, FLEET), ("uploads",)))


def run_service(found: Loaded, roles: Sequence[str]) -> int:
    """Run a process with these roles until it is told to end; gives the exit status."""
    # Loads the HTTP server, which no other command needs.
    from tusfleet.gateway.app import Role
    from tusfleet.gateway.server import serve as run
    from tusfleet.uploads.errors import UploadError

    try:
        return run(found.settings, frozenset(map(Role, roles)))
    except SettingsError as error:
        raise WrongSetting(str(error)) from None
    except UploadError as error:
        raise Failure(error.detail) from None


@click.command(short_help="Print the settings in effect and where they come from.")
@click.option(
    "--format",
    "output",
    type=click.Choice(["table", "toml", "json"]),
    default="table",
    show_default=True,
    help="How to print them; `toml` can be used as a file for --config.",
)
@settings_flags()
def config(output: str, config_file: Path | None, **flags: Any) -> None:
    """Print every setting of `tusfleet serve`, its value and where it comes from.

    Takes the flags of `serve`. Files that settings name are not opened; only their paths are printed, and of a URL no
    password.
    """
    writers = {"table": as_table, "toml": as_toml, "json": as_json}
    click.echo(writers[output](loaded(flags, config_file)))


def as_table(found: Loaded) -> str:
    """One line a setting: name, value, source."""
    rows = [
        (name, printable(value_text(name, value)) or '""', printable(found.sources[name]))
        for name, value in _values(found).items()
    ]
    return table(("SETTING", "VALUE", "FROM"), rows)


def as_toml(found: Loaded) -> str:
    """A file for `--config` that gives the same settings; sources stand in comments."""
    return "\n".join(
        f"{name} = {_toml(name, value)}  # {printable(found.sources[name])}" for name, value in _values(found).items()
    )


def as_json(found: Loaded) -> str:
    """An object with `value` and `source` for every setting; sizes in bytes, durations as text."""
    members = {name: {"value": _plain(value), "source": found.sources[name]} for name, value in _values(found).items()}
    return json.dumps(members, indent=2, ensure_ascii=False)


def _values(found: Loaded) -> dict[str, object]:
    values = {name: getattr(found.settings, name) for name in type(found.settings).model_fields}
    return {name: without_password(name, value) for name, value in values.items()}


def _plain(value: object) -> object:
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return list(value)
    return value.value if isinstance(value, Enum) else value


def _toml(name: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml_text(str(item)) for item in value) + "]"
    text = value_text(name, value)
    return text if text.isdecimal() else _toml_text(text)


def _toml_text(text: str) -> str:
    # JSON escapes as TOML does, but for DEL, which TOML does not take as it is.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
