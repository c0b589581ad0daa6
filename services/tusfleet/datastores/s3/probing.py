"""Whether uploads can be stored in the bucket, and one clear sentence when they cannot.

Every probe lists one key. It is a GET, for S3 tells only with an answer that has a body whether the key, the secret,
the clock or the bucket is wrong; and without the right to list, a name that is free cannot be told from a taken one.
The first probe, and each one that follows a failure, also makes an empty object, `<prefix>.tails/probe`, and deletes
it: what an upload needs is allowed then, its encryption too.

Nothing is tried again here, and nothing waits for long: a probe tells how it is now.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from tusfleet.datastores.s3.failures import NOT_THERE, S3Failure
from tusfleet.datastores.s3.objects import Workshop
from tusfleet.uploads.errors import Unavailable, UploadError

BELIEVED_SECONDS = 5.0
"""How long an answer is believed: readiness is asked for every second or so, by several."""

PROBE_SECONDS = 4.0
"""How long S3 has for an answer; readiness waits for a little longer than that."""

_NAME = "probe"


class Probing:
    """Looks at the bucket of a store.

    Parameters:
        workshop: of the store.
    """

    def __init__(self, workshop: Workshop) -> None:
        self._client = workshop.client
        self._bucket = workshop.client.options.bucket
        self._prefix = workshop.client.options.tails_prefix
        self._protection = workshop.naming.protection()
        self._lock = asyncio.Lock()
        self._writable = False
        self._asked = float("-inf")
        self._trouble: UploadError | None = None

    async def probe(self) -> None:
        """Check that bytes can be stored; see `DataStore.probe`.

        Raises:
            Unavailable: they cannot; the message says why.
            StoreFull: there is no space.
        """
        async with self._lock:
            loop = asyncio.get_running_loop()
            if loop.time() - self._asked >= BELIEVED_SECONDS:
                self._trouble = await self._look()
                self._writable = self._trouble is None
                self._asked = loop.time()
            if self._trouble is not None:
                raise self._trouble.with_traceback(None)

    async def _look(self) -> UploadError | None:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await self._list()
                if not self._writable:
                    await self._write()
        except TimeoutError:
            return Unavailable(f"The S3 service gave no answer within {PROBE_SECONDS:g} seconds")
        except UploadError as error:
            return error
        return None

    async def _list(self) -> None:
        await self._client.call("list_objects_v2", patience=0, Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)

    async def _write(self) -> None:
        place = {"Bucket": self._bucket, "Key": f"{self._prefix}{_NAME}"}
        await self._client.call("put_object", patience=0, Body=b"", **place, **self._protection)
        with suppress(S3Failure):  # another gateway that begins to probe at this moment has deleted it
            await self._client.call("delete_object", patience=0, expected=NOT_THERE, **place)
