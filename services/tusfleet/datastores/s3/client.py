"""The connection to S3: aiobotocore for every call but the bulk ones, which `transfer` sends.

Every call goes through `S3Client.call` or `S3Client.put`: there its latency is measured, what fails is tried again
within the limits of `retrying`, and what fails for good is said in our words. Codes that a caller can do something
about it names in `expected`, and catches as `S3Failure`.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Collection
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, Protocol, Self, TypeVar, cast

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from aiohttp import ClientError as AiohttpError
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from tusfleet.datastores.s3.descriptions import lean_session
from tusfleet.datastores.s3.failures import NAMELESS, NO_ANSWER, S3Failure
from tusfleet.datastores.s3.options import S3Options
from tusfleet.datastores.s3.retrying import RetryBudget, Retrying, Unwatched, Watch
from tusfleet.datastores.s3.transfer import Body, Direct, Stored, parameters_stored

T = TypeVar("T")

CALL_CONNECTIONS = 64
"""Connections for calls without bulk: each takes milliseconds, so these serve thousands a second."""

UNLIMITED = 0
"""Connections for reading: one is held for as long as a client takes to read, so nobody may have to wait for it."""

BROKEN = (TimeoutError, BotoCoreError, AiohttpError, OSError)
"""What is raised where there is no answer, or no more of it."""

PIECE_BYTES = 64 * 1024
"""Bytes of an object that are read at once."""

DELETED_AT_ONCE = 1000
"""Most keys that one DeleteObjects takes."""


class Sink(Protocol):
    """Where the bytes of an object go; it takes at most as many as it has room for."""

    def rewind(self) -> None:
        """Forget what was written."""

    def write(self, data: bytes) -> int:
        """Take bytes; gives how many."""


class S3Client:
    """Calls to S3 as one process makes them; an asynchronous context manager.

    Parameters:
        options: endpoint, region, limits.
        watch: is told of every attempt.
        chance: gives a random number from 0 to 1.
    """

    def __init__(
        self, options: S3Options, watch: Watch | None = None, chance: Callable[[], float] = random.random
    ) -> None:
        self.options = options
        self._retrying = Retrying(RetryBudget(options.retry_budget), options.retry_time, chance, watch or Unwatched())
        self._stack = AsyncExitStack()
        self._session: AioSession = lean_session()
        self._sdk: Any = None
        self._reading: Any = None
        self._public: Any = None
        self._direct: Direct | None = None

    async def __aenter__(self) -> Self:
        """Open it; no call is made yet.

        Raises:
            Unavailable: there are no credentials, or the endpoint is no URL.
        """
        async with AsyncExitStack() as stack:
            try:
                self._sdk = self._public = await stack.enter_async_context(self._connected(CALL_CONNECTIONS))
                self._reading = await stack.enter_async_context(self._connected(UNLIMITED))
                if self.options.public_endpoint is not None:
                    self._public = await stack.enter_async_context(self._connected(1, self.options.public_endpoint))
            except (BotoCoreError, ValueError) as error:
                raise _unsent("Connect", self.options.bucket, error).in_our_words() from error
            if self.options.direct:
                self._direct = await stack.enter_async_context(Direct(self.options, self._session, self._sdk))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def _connected(self, connections: int, endpoint: str | None = None) -> Any:
        options = self.options if endpoint is None else replace(self.options, endpoint=endpoint)
        return self._session.create_client(
            "s3",
            region_name=options.region,
            endpoint_url=options.endpoint,
            config=_configuration(options, connections),
        )

    @property
    def public(self) -> Any:
        """The client of aiobotocore for presigned URLs: it names the service as clients reach it, and makes no call."""
        return self._public

    async def call(
        self, operation: str, *, expected: Collection[str] = (), patience: float | None = None, **parameters: Any
    ) -> dict[str, Any]:
        """Make a call that carries no bulk.

        Parameters:
            operation: in the words of Python, such as `head_object`.
            expected: codes that raise `S3Failure`.
            patience: seconds after which no other attempt is made; None: `retry_time`.
            parameters: as the S3 API names them.

        Raises:
            S3Failure: with a code of `expected`.
            StoreFull, Unavailable: any other failure.
        """
        return await self._asked(self._sdk, operation, expected, parameters, patience)

    async def open(self, bucket: str, key: str, *, expected: Collection[str] = (), **parameters: Any) -> dict[str, Any]:
        """Begin to read an object: the answer, whose `Body` keeps a connection of its own until it is closed.

        Raises:
            S3Failure: with a code of `expected`.
            StoreFull, Unavailable: any other failure.
        """
        return await self._asked(self._reading, "get_object", expected, {"Bucket": bucket, "Key": key, **parameters})

    async def _asked(
        self,
        sdk: Any,
        operation: str,
        expected: Collection[str],
        parameters: dict[str, Any],
        patience: float | None = None,
    ) -> dict[str, Any]:
        name = _camel(operation)
        bucket = str(parameters.get("Bucket", ""))
        method = getattr(sdk, operation)

        async def attempt() -> dict[str, Any]:
            try:
                return cast("dict[str, Any]", await method(**parameters))
            except ClientError as error:
                raise _answered(name, bucket, error) from error
            except BROKEN as error:
                raise _unsent(name, bucket, error) from error

        return await self._run(name, expected, attempt, patience)

    async def put(self, operation: str, body: Body, *, expected: Collection[str] = (), **parameters: Any) -> Stored:
        """Send bytes: `put_object` or `upload_part`. The buffers of `body` stay as they are until it returns.

        Raises:
            S3Failure: with a code of `expected`.
            StoreFull, Unavailable: any other failure.
        """
        direct = self._direct
        if direct is None:
            answer = await self.call(operation, expected=expected, Body=body.joined(), **parameters)
            return parameters_stored(answer)
        name = _camel(operation)
        return await self._run(name, expected, lambda: direct.put(name, parameters, body))

    async def fetch(self, bucket: str, key: str, sink: Sink, *, expected: Collection[str] = ()) -> None:
        """Read an object, piece by piece and with every attempt from its beginning.

        Raises:
            S3Failure: with a code of `expected`.
            StoreFull, Unavailable: any other failure.
        """

        async def attempt() -> None:
            sink.rewind()
            try:
                answer = await self._sdk.get_object(Bucket=bucket, Key=key)
                async with answer["Body"] as body:
                    while piece := await body.read(PIECE_BYTES):
                        sink.write(piece)
            except ClientError as error:
                raise _answered("GetObject", bucket, error) from error
            except BROKEN as error:
                raise _unsent("GetObject", bucket, error) from error

        await self._run("GetObject", expected, attempt)

    async def delete(self, bucket: str, keys: Collection[str]) -> None:
        """Delete objects, a thousand in one request; those that are not there are deleted already.

        Raises:
            StoreFull, Unavailable: not all of them; the others are gone.
        """
        ordered = sorted(keys)
        for start in range(0, len(ordered), DELETED_AT_ONCE):
            objects = [{"Key": key} for key in ordered[start : start + DELETED_AT_ONCE]]
            answer = await self.call("delete_objects", Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            failed = [entry for entry in answer.get("Errors", ()) if entry.get("Code") != "NoSuchKey"]
            if failed:
                code, message = failed[0].get("Code", ""), failed[0].get("Message", "")
                raise S3Failure("DeleteObjects", bucket, code, 200, message).in_our_words()

    async def _run(
        self, name: str, expected: Collection[str], attempt: Callable[[], Awaitable[T]], patience: float | None = None
    ) -> T:
        try:
            return await self._retrying.run(name, attempt, patience)
        except S3Failure as failure:
            if failure.code in expected:
                raise
            raise failure.in_our_words() from failure


def _configuration(options: S3Options, connections: int) -> AioConfig:
    return AioConfig(
        signature_version="s3v4",
        connect_timeout=options.connect_timeout,
        read_timeout=options.read_timeout,
        max_pool_connections=connections,
        # Attempts are counted, paced and limited by us.
        retries={"total_max_attempts": 1, "mode": "standard"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if options.uses_path_style else "virtual", "payload_signing_enabled": False},
        user_agent_extra="tusfleet",
    )


def _camel(operation: str) -> str:
    return "".join(word.capitalize() for word in operation.split("_"))


def _answered(operation: str, bucket: str, error: ClientError) -> S3Failure:
    answer = cast("dict[str, Any]", error.response)
    status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    details = answer.get("Error", {})
    code = str(details.get("Code", ""))
    if not code or code.isdigit():  # an answer without a body, such as that to HEAD
        code = NAMELESS.get(status, code)
    return S3Failure(operation, bucket, code, status, str(details.get("Message", "")))


def _unsent(operation: str, bucket: str, error: Exception) -> S3Failure:
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return S3Failure(operation, bucket, "NoCredentials", 400, str(error))
    if isinstance(error, ValueError):
        return S3Failure(operation, bucket, "InvalidEndpoint", 400, str(error))
    return S3Failure(operation, bucket, NO_ANSWER, 0, str(error) or type(error).__name__)
