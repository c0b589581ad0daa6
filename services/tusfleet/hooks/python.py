"""Hooks that are callables of the program that embeds the server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from tusfleet.uploads.errors import HookFailed, UploadError
from tusfleet.uploads.models import Metadata, Upload

BeforeCreate = Callable[[Upload], Awaitable[Upload | None]]
"""Gives the upload to create, None for the one it was asked about; raises an `UploadError` to refuse."""


class PythonHooks:
    """Asks a coroutine function.

    Parameters:
        before_create: is asked before an upload is created.
    """

    def __init__(self, before_create: BeforeCreate) -> None:
        self._before_create = before_create

    async def before_create(self, upload: Upload) -> Upload:
        try:
            answer = await self._before_create(upload)
        except UploadError:
            raise
        except Exception as error:
            # Somebody else's code: the log gets its traceback, the client only that the hook failed.
            raise HookFailed("before_create failed") from error
        if answer is None:
            return upload
        if not isinstance(answer, Upload):
            raise HookFailed("before_create gave something that is not an Upload")
        _check(answer.metadata)
        # A hook decides who, where and what it is called; how far it is, is not its to say.
        return replace(upload, id=answer.id, metadata=answer.metadata, tenant=answer.tenant, placement=answer.placement)


def _check(metadata: Metadata) -> None:
    """See that metadata can be told to clients; without this an answer to HEAD would fail for ever."""
    try:
        if metadata.raw:
            Metadata.parse(metadata.raw)
    except ValueError as error:
        raise HookFailed(f"before_create gave metadata that cannot be used: {error}") from error
