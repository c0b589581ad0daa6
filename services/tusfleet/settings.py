"""Every knob, once: flags, environment variables, keys of the file and the documentation all come from here."""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

ENVIRONMENT_PREFIX = "TUSFLEET_"

_SIZE_UNITS = {
    "": 1, "b": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
_SIZE = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,6})?)\s*([A-Za-z]*)")
_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION_PART = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)")
_BASE_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")


class SettingsError(ValueError):
    """A setting has a value that cannot be; the message is one line that names the setting and its source."""


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


class LogFormat(StrEnum):
    """How log lines are written."""

    PRETTY = "pretty"
    JSON = "json"


class Settings(BaseModel):
    """The settings of `tusfleet serve`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(
        "127.0.0.1",
        description="Address to listen on. Another than loopback should come with `auth_tokens_file`.",
    )
    port: int = Field(8080, ge=0, le=65535, description="TCP port to listen on; 0 takes a free one and logs it.")
    base_path: str = Field("/files", description="Path of the upload collection; uploads live below it.")
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="Processes that serve the port together, on one box. One takes about one core.",
    )
    data_dir: Path = Field(Path("./data"), description="Folder of files and records; made when it is not there.")

    max_size: Size | None = Field(
        None, description="Largest upload in bytes; none means no limit. Told to clients as `Tus-Max-Size`."
    )
    max_store_size: Size | None = Field(
        None,
        description="Bytes that all uploads together may take. A creation that could go beyond it is refused with 507.",
    )
    expire_after: Duration | None = Field(
        None,
        description="Age at which an unfinished upload expires and its bytes are removed; none keeps it for ever.",
    )
    expiration: ExpirationMode = Field(
        ExpirationMode.SLIDING,
        description="Whether `expire_after` counts from creation (`absolute`) or from the last bytes (`sliding`).",
    )
    tombstone_ttl: Duration = Field(
        timedelta(days=7),
        description="How long an upload that expired or failed is answered with 410 before it is forgotten (404).",
    )
    sweep_interval: Duration = Field(
        timedelta(seconds=30),
        ge=timedelta(milliseconds=10),
        description="Pause between two runs of the sweeper that removes what expired.",
    )
    durability: Durability = Field(
        Durability.STRICT,
        description="`strict`: bytes and records are on the disk (fdatasync) before their offset is acknowledged. "
        "`relaxed`: handed to the operating system; a power cut may lose the last seconds, a crash of the server loses nothing.",
    )
    checkpoint_interval: Duration = Field(
        timedelta(seconds=1),
        ge=timedelta(milliseconds=10),
        description="A running upload makes its bytes durable and moves its offset at least this often.",
    )
    key_template: str = Field(
        "{id}",
        description="Name of a finished file below `data_dir/files`: text with `{id}`, `{filename}`, `{yyyy}`, `{mm}`, `{dd}`, `{tenant}` "
        "and `{metadata.KEY}`; values are made safe, and a taken name gets a number.",
    )
    sidecar: bool = Field(
        False, description="Write a JSON file with id, length, times and metadata beside every finished file."
    )

    downloads: Downloads = Field(
        Downloads.FINISHED,
        description="Which uploads GET answers with their bytes: `off` none, `finished`, or `any`, unfinished ones too.",
    )
    inline_types: Listed = Field(
        (
            "image/png",
            "image/jpeg",
            "image/gif",
            "image/webp",
            "image/avif",
            "audio/mpeg",
            "audio/ogg",
            "video/mp4",
            "video/webm",
            "text/plain",
        ),
        description="Media types that a browser may show in place; every other is sent as an attachment. Active types (HTML, SVG, XML, scripts, PDF) are never shown.",
    )
    terminate_finished: bool = Field(
        True, description="Whether DELETE may remove a finished upload; otherwise it gets 403."
    )

    cors_origins: Listed = Field(
        ("*",),
        description="Origins whose pages may use the server: exact (`https://app.example`), with a wildcard (`https://*.example`), "
        "a regular expression (`re:https://.*`), or `*` for all. Empty turns CORS off.",
    )
    cors_credentials: bool = Field(
        False, description="Let pages send cookies and credentials; not together with the origin `*`."
    )
    cors_max_age: Duration = Field(
        timedelta(hours=24), description="How long a browser may keep the answer to a preflight."
    )
    trusted_proxies: Listed = Field(
        (),
        description="Addresses or networks (CIDR) whose `Forwarded` and `X-Forwarded-*` headers are believed.",
    )
    location: str = Field(
        "auto",
        description="The URL a creation answers with: `absolute`, `relative`, a base URL such as `https://up.example/files`, "
        "or `auto`: absolute, but the path alone when forwarding headers come from a peer that is not trusted.",
    )

    auth_tokens_file: Path | None = Field(
        None,
        description="File of bearer tokens, one a line: `TOKEN [name=NAME] [tenant=TENANT] [admin]`. None asks nobody for credentials.",
    )
    lock_timeout: Duration = Field(
        timedelta(seconds=10),
        description="How long a request waits for another one to let go of the same upload, before 423.",
    )
    header_timeout: Duration = Field(
        timedelta(seconds=10), description="Time a client has to send the head of a request."
    )
    body_idle_timeout: Duration = Field(
        timedelta(seconds=30),
        description="Longest pause inside a body; then the connection is closed and what arrived is kept.",
    )
    keep_alive_timeout: Duration = Field(
        timedelta(seconds=65), description="How long an idle connection is kept for the next request."
    )
    max_header_size: Size = Field(128 * 1024, ge=1024, description="Largest head of a request in bytes; beyond it 431.")
    max_header_count: int = Field(100, ge=10, le=10_000, description="Most header lines in a request; beyond it 431.")
    max_connections: int | None = Field(
        None,
        ge=1,
        description="Most connections at a time; beyond it 503. None means no limit. Each worker takes an equal share.",
    )
    drain_grace: Duration = Field(
        timedelta(seconds=30),
        description="Time running requests have after SIGTERM; uploads are flushed and answered 503 at once.",
    )

    log_format: LogFormat = Field(
        LogFormat.PRETTY,
        description="`pretty` for a terminal, `json` with one object a line for a collector.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severity that is logged."
    )

    @field_validator("base_path")
    @classmethod
    def _base_path(cls, value: str) -> str:
        path = value.rstrip("/")
        if _BASE_PATH.fullmatch(path) is None or any(part in {".", ".."} for part in path.split("/")):
            raise ValueError("a path begins with / and has segments of A-Z a-z 0-9 . _ ~ -, such as /files")
        return path

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for item in value:
            ipaddress.ip_network(item, strict=False)
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for item in value:
            if item.startswith("re:"):
                try:
                    re.compile(item[3:])
                except re.error as error:
                    raise ValueError(f"{item!r} is not a regular expression: {error}") from error
            elif item not in {"*", "null"} and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s]+", item):
                raise ValueError(f"{item!r} is not an origin such as https://app.example")
        return value

    @field_validator("location")
    @classmethod
    def _location(cls, value: str) -> str:
        if value in {"auto", "absolute", "relative"}:
            return value
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment:
            raise ValueError("it is auto, absolute, relative or a base URL such as https://up.example/files")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _together(self) -> Settings:
        if self.cors_credentials and "*" in self.cors_origins:
            raise ValueError("cors_credentials cannot go with the origin *; name the origins in cors_origins")
        return self


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings in effect, and for every one where its value comes from."""

    settings: Settings
    sources: Mapping[str, str]


def load(
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Loaded:
    """Put the settings together: a flag wins over the environment, that over the file, that over the default.

    Parameters:
        flags: values by setting name; None means the flag was not given.
        environment: by default this process's; `TUSFLEET_CONFIG` names the file when `file` is None.
        file: a TOML file whose top-level keys are setting names.

    Raises:
        SettingsError: an unknown setting or a wrong value; one line that names it and its source.
    """
    environment = os.environ if environment is None else environment
    if file is None and (named := environment.get(ENVIRONMENT_PREFIX + "CONFIG")):
        file = Path(named)
    values: dict[str, Any] = {}
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
    return f"{name}: {message} (from {sources.get(name, 'default')}, given {first['input']!r})"
