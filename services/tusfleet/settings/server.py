"""The server itself: addresses, limits, expiry, downloads, browsers, logs."""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, field_validator

from tusfleet.settings.values import (
    DataStoreKind,
    Downloads,
    Durability,
    Duration,
    ExpirationMode,
    InfoStoreKind,
    Listed,
    LogFormat,
    Size,
)

_BASE_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")


class ServerSettings(BaseModel):
    """What concerns every server, wherever its records and bytes are."""

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
    lane_min_size: Size | None = Field(
        256 * 1024,
        ge=1,
        description="From this size on a body that is plain HTTP and tells its length is moved into its file by a thread, past the event loop; "
        "`none` switches that off. `tusfleet_body_bytes_total` tells how many bytes took which way.",
    )
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="TCP port of its own for `/metrics`, `/healthz` and `/readyz`, so that nothing in front shows `/metrics` to the world; "
        "none answers them on `port`.",
    )
    infostore: InfoStoreKind = Field(
        InfoStoreKind.SQLITE,
        description="Where records and leases live: `sqlite` in `data_dir` for one box, `redis` for any number of gateways.",
    )
    datastore: DataStoreKind = Field(
        DataStoreKind.FILESYSTEM, description="Where bytes go: `filesystem`, below `data_dir`, or `s3`, a bucket."
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
    forget_finished_after: Duration | None = Field(
        None,
        ge=timedelta(seconds=1),
        description="Age at which the record of a finished upload is forgotten (404), its object never; none keeps records for ever. "
        "Partial uploads are kept. Longer than clients come back and than downloads through the server are wanted: a month, say.",
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
        description="Which uploads GET answers with their bytes: `off` none, `finished`, or `any`, unfinished ones too. "
        "`redirect` (S3 only) sends clients to the finished object by a URL that is good for `s3_presigned_ttl`.",
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
    drain_delay: Duration = Field(
        timedelta(0),
        description="Time between SIGTERM and the end of accepting, in which `/readyz` is red and everything is served: "
        "what is in front of a fleet needs it to learn that this gateway is leaving.",
    )
    drain_grace: Duration = Field(
        timedelta(seconds=30),
        description="Time running requests have after `drain_delay`; uploads are flushed and answered 503 at once.",
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
        fine = parts.scheme in {"http", "https"} and parts.netloc and "@" not in parts.netloc
        if not fine or parts.query or parts.fragment:
            raise ValueError("it is auto, absolute, relative or a base URL such as https://up.example/files")
        return value.rstrip("/")
