"""A program that embeds the server and writes down what it is told; files in a folder decide how it behaves.

RECORDER_FOLDER names the folder, RECORDER_ASYNC=1 makes its functions coroutine functions. `app` has the uploads
mounted at /inner/files, `bare` is the uploads alone.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from fastapi import FastAPI

import tusfleet

P = ParamSpec("P")
T = TypeVar("T")

FOLDER = Path(os.environ["RECORDER_FOLDER"])


def either(function: Callable[P, T]) -> Callable[P, T] | Callable[P, Awaitable[T]]:
    """The function, or a coroutine function that does the same."""
    if os.environ.get("RECORDER_ASYNC") != "1":
        return function

    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        await asyncio.sleep(0)
        return await asyncio.to_thread(function, *args, **kwargs)

    return call


def write(name: str, row: dict[str, Any]) -> None:
    with (FOLDER / name).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
        file.flush()


def authorise(request: tusfleet.AccessRequest) -> tusfleet.Principal | None:
    write("asked", {"action": request.action, "upload": request.upload_id})
    while (FOLDER / "ponder").exists():
        time.sleep(0.01)  # blocks as the test says, and looks again
    name = request.headers.get("x-user")
    if name == "mallory":
        raise tusfleet.Forbidden("Mallory may do nothing here")
    if name is None:
        raise tusfleet.Unauthorised("Say who you are in X-User")
    return tusfleet.Principal(name=name, tenant=name)


def before_create(upload: tusfleet.Upload) -> tusfleet.Upload | None:
    name = upload.metadata.text("filename")
    if name == "forbidden.txt":
        raise tusfleet.Forbidden("Not this file")
    if name == "defect.txt":
        raise ZeroDivisionError("a defect of the program")
    if name == "renamed.txt":
        metadata = tusfleet.Metadata.of({"filename": "by the program.txt"})
        return dataclasses.replace(upload, id=f"chosen-{upload.id}", metadata=metadata)
    return None


def told(event: tusfleet.Event) -> None:
    row = {"event": event.id, "type": event.type.value, "upload": event.upload.id, "tenant": event.upload.tenant}
    write("told", {**row, "length": event.upload.length})
    while (FOLDER / "block").exists():
        time.sleep(0.01)  # likewise
    if (FOLDER / "fail").exists():
        raise RuntimeError("a receiver that is not there")
    write("done", row)


bare = tusfleet.asgi(
    tusfleet.Settings(data_dir=FOLDER / "data", max_size=2**30),
    authorise=either(authorise),
    before_create=either(before_create),
    on_finished=either(told),
    on_terminated=either(told),
)
inner = FastAPI()
inner.mount("/files", bare)
app = FastAPI(lifespan=bare.lifespan)
app.mount("/inner", inner)
