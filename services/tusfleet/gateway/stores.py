"""Which info store, locker and data store are in use: the part of the composition root that the settings decide."""

from __future__ import annotations

import logging
import re
import secrets
import socket
from contextlib import AsyncExitStack, closing, nullcontext
from dataclasses import dataclass
from functools import partial

from tusfleet.datastores.filesystem import FilesystemDataStore
from tusfleet.gateway.crew import Crew
from tusfleet.gateway.folder import exclusive
from tusfleet.infostores.sqlite import SqliteInfoStore
from tusfleet.lockers.in_process import InProcessLocker
from tusfleet.lockers.one_box import OneBoxLocker
from tusfleet.observability.logs import LOGGER
from tusfleet.observability.metrics import Metrics
from tusfleet.settings import DataStoreKind, Durability, InfoStoreKind, Settings, SettingsError
from tusfleet.uploads.errors import StoreFull, Unavailable
from tusfleet.uploads.ports import DataStore, InfoStore, Locker

logger = logging.getLogger(LOGGER)

FENCE_BITS = 32
"""Fences below one epoch: every start of the server counts from a fresh epoch, above all fences of earlier ones."""

DATABASE = "tusfleet.db"
"""File of the records, in the data folder."""

LEASES = "leases"
"""Folder of the locks that workers share, below the data folder."""

RENEWALS_PER_TTL = 3.2
"""A lease is renewed so often in its time to live: two renewals may fail before it is lost."""

_STRANGE = re.compile(r"[^A-Za-z0-9._-]")


class NotYet(Unavailable):
    """A store is not there now and may be soon: everything may start at once."""


@dataclass(frozen=True, slots=True)
class Stores:
    """The three ports that keep things."""

    info: InfoStore
    locker: Locker
    data: DataStore


async def open_stores(
    settings: Settings,
    metrics: Metrics,
    crew: Crew | None,
    stack: AsyncExitStack,
    *,
    look_only: bool = False,
    patient: bool = False,
) -> Stores:
    """Open what the settings name; `stack` closes it.

    With `look_only`, what is there is opened as it is, also beside a server that uses it: nothing is to be changed.
    A `patient` caller takes a bucket that cannot be used now: every step there fails until it can.

    Raises:
        SettingsError: the data folder cannot be used, or a value of a setting cannot be; one sentence.
        NotYet: Redis cannot be used now; one sentence.
        Unavailable: a store does not let us in, or cannot be reached; one sentence.
    """
    if settings.infostore is InfoStoreKind.REDIS:
        info, locker = await _redis(settings, metrics, stack, look_only=look_only)
    else:
        opened = _sqlite_to_look_at(settings, stack) if look_only else _sqlite(settings, metrics, crew, stack)
        info, locker = await opened
    if settings.datastore is DataStoreKind.S3:
        return Stores(info, locker, await _s3(settings, metrics, stack, patient=patient))
    return Stores(info, locker, await _filesystem(settings, metrics, look_only=look_only))


async def _sqlite(
    settings: Settings, metrics: Metrics, crew: Crew | None, stack: AsyncExitStack
) -> tuple[InfoStore, Locker]:
    folder = settings.data_dir
    stack.enter_context(exclusive(folder) if crew is None else nullcontext())
    durable = settings.durability is Durability.STRICT
    info = await SqliteInfoStore.open(
        folder / DATABASE, durable=durable, capacity=settings.max_store_size, sole=crew is None
    )
    stack.push_async_callback(info.close)
    if crew is None:
        return info, InProcessLocker(1 + (await info.next_epoch() << FENCE_BITS))
    # Of one start of the server, whichever of its workers this is.
    crew.epoch = crew.epoch or await info.next_epoch()
    crew.open(metrics)
    stack.callback(crew.close)
    next_fence = partial(crew.next_fence, 1 + (crew.epoch << FENCE_BITS))
    return info, stack.enter_context(closing(OneBoxLocker.open(folder / LEASES, next_fence, crew.post)))


async def _sqlite_to_look_at(settings: Settings, stack: AsyncExitStack) -> tuple[InfoStore, Locker]:
    # Beside a server that runs, too: nothing tells then which uploads it is writing.
    path = settings.data_dir / DATABASE
    if not path.exists():
        raise SettingsError(f"data_dir: {settings.data_dir} is not the folder of a server")
    durable = settings.durability is Durability.STRICT
    info = await SqliteInfoStore.open(path, durable=durable, capacity=settings.max_store_size)
    stack.push_async_callback(info.close)
    return info, InProcessLocker()


async def _redis(
    settings: Settings, metrics: Metrics, stack: AsyncExitStack, *, look_only: bool
) -> tuple[InfoStore, Locker]:
    try:
        from tusfleet.infostores.redis import RedisInfoStore
        from tusfleet.lockers.redis import RedisLocker
        from tusfleet.redis_shards.access import RedisAccess
        from tusfleet.redis_shards.shards import open_shards
    except ModuleNotFoundError as error:
        raise _missing("infostore=redis", "redis", error) from None
    access = RedisAccess(
        url=settings.redis_url,
        username=settings.redis_username,
        password_file=settings.redis_password_file,
        sentinel_username=settings.redis_sentinel_username,
        sentinel_password=settings.redis_sentinel_password,
        sentinel_password_file=settings.redis_sentinel_password_file,
        ca_file=settings.redis_ca_file,
        certificate_file=settings.redis_certificate_file,
        key_file=settings.redis_key_file,
        prefix=settings.redis_prefix,
        shards=settings.redis_shards,
        connect_timeout=settings.redis_connect_timeout.total_seconds(),
        timeout=settings.redis_timeout.total_seconds(),
        patience=settings.redis_patience.total_seconds(),
        wait_replicas=settings.redis_wait_replicas,
        wait_timeout=settings.redis_wait_timeout.total_seconds(),
    )
    try:
        shards = await open_shards(access, gateway_name(), metrics=metrics, make=not look_only)
        stack.push_async_callback(shards.close)
        info = RedisInfoStore(shards, settings.max_store_size)
    except (Unavailable, StoreFull) as error:
        if error.lasting:
            raise
        raise NotYet(error.detail) from error
    except ValueError as error:
        raise SettingsError(f"redis_url: {error}") from None
    if (warning := await info.warning()) is not None:
        logger.warning("%s", warning)
    ttl = settings.lease_ttl.total_seconds()
    locker = RedisLocker.open(shards, ttl=ttl, renew_every=ttl / RENEWALS_PER_TTL, metrics=metrics)
    return info, await stack.enter_async_context(locker)


async def _s3(settings: Settings, metrics: Metrics, stack: AsyncExitStack, *, patient: bool) -> DataStore:
    try:
        from tusfleet.datastores.s3.options import S3Options
        from tusfleet.datastores.s3.store import S3DataStore
    except ModuleNotFoundError as error:
        raise _missing("datastore=s3", "s3", error) from None
    try:
        options = S3Options(
            bucket=settings.s3_bucket or "",
            endpoint=settings.s3_endpoint,
            public_endpoint=settings.s3_public_endpoint,
            region=settings.s3_region,
            key_prefix=settings.s3_key_prefix,
            key_template=settings.key_template,
            path_style=settings.s3_path_style,
            part_size=settings.s3_part_size,
            equal_parts=settings.s3_equal_parts,
            max_parts=settings.s3_max_parts,
            concurrency=settings.s3_concurrency,
            tail_inline_max=settings.s3_tail_inline_max,
            checksum=settings.s3_checksum,
            conditional=settings.s3_conditional_writes,
            sse=settings.s3_sse,
            sse_kms_key=settings.s3_sse_kms_key,
            storage_class=settings.s3_storage_class,
            tags=dict(_pair(tag) for tag in settings.s3_tags),
            acl=settings.s3_acl,
            buffer_memory=settings.buffer_memory,
            tail_cache=settings.tail_cache,
            checkpoint_interval=settings.checkpoint_interval.total_seconds(),
            connect_timeout=settings.s3_connect_timeout.total_seconds(),
            read_timeout=settings.s3_read_timeout.total_seconds(),
            retry_time=settings.s3_retry_time.total_seconds(),
            retry_budget=settings.s3_retry_budget,
            connections=settings.s3_connections,
            direct=settings.s3_direct,
        )
    except ValueError as error:
        raise SettingsError(f"s3: {error}") from None
    try:
        store = await stack.enter_async_context(S3DataStore.open(options, metrics))
    except ValueError as error:
        raise SettingsError(f"s3_{error}") from None
    try:
        await store.probe()
    except (Unavailable, StoreFull) as error:
        if not patient or error.lasting:
            raise
        # It needs no opening: what fails now succeeds once the service is there. Readiness tells of it until then.
        logger.warning("%s; uploads fail until it can be used", error.detail, extra={"reason": error.code})
    return store


async def _filesystem(settings: Settings, metrics: Metrics, *, look_only: bool) -> DataStore:
    try:
        data = FilesystemDataStore(
            settings.data_dir,
            durable=settings.durability is Durability.STRICT,
            checkpoint_interval=settings.checkpoint_interval.total_seconds(),
            key_template=settings.key_template,
            sidecar=settings.sidecar,
            # A lease in Redis may end while its holder is at work; one of this box cannot.
            at_once=settings.infostore is InfoStoreKind.SQLITE,
            write_seconds=metrics.write_seconds,
        )
    except ValueError as error:
        raise SettingsError(str(error)) from None
    if not look_only:
        await data.prepare()
    return data


def gateway_name() -> str:
    """A name that no other process of the fleet has, nor an earlier one of this machine."""
    return f"{_STRANGE.sub('-', socket.gethostname())[:48]}-{secrets.token_hex(4)}"


def _pair(tag: str) -> tuple[str, str]:
    name, equals, value = tag.partition("=")
    if not name or not equals:
        raise SettingsError(f"s3_tags: {tag!r} is not name=value")
    return name, value


def _missing(setting: str, extra: str, error: ModuleNotFoundError) -> SettingsError:
    return SettingsError(f"{setting} needs the extra {extra}: install tusfleet[{extra}] ({error.name} is not there)")
