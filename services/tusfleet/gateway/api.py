"""The API beside the uploads: list, inspect and terminate, for people and programs that look after them."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from tusfleet import __version__
from tusfleet.gateway.auth import AccessRequest, Authorise, ask
from tusfleet.gateway.forwarded import ProxyTrust
from tusfleet.gateway.replies import problem
from tusfleet.uploads import inspect, models, terminate
from tusfleet.uploads.context import Context
from tusfleet.uploads.errors import BadRequest, InternalError, MethodNotAllowed, NotFound, Unauthorised, UploadError
from tusfleet.uploads.intents import Terminate
from tusfleet.uploads.models import Principal, State

PREFIX = "/api/v1"


class UploadView(BaseModel):
    """One upload, as the API shows it."""

    id: str = Field(description="Names the upload in its URL.")
    url: str = Field(description="Path of the upload for clients of the protocol.")
    state: State = Field(description="Where it stands; only `finished` means that the file exists.")
    length: int | None = Field(description="Total size in bytes; null while it is not known.")
    offset: int = Field(description="Bytes that are there and durable.")
    metadata: dict[str, str] = Field(description="Decoded metadata; bytes that are not UTF-8 are base64.")
    concat: str | None = Field(description="`partial`, `final` or null for an ordinary upload.")
    created_at: datetime = Field(description="When it was created.")
    expires_at: datetime | None = Field(description="When it expires; null never.")
    ended_at: datetime | None = Field(description="When it finished or ended; null before.")
    tenant: str | None = Field(description="Whose it is; null without tenants.")


class UploadList(BaseModel):
    """One page of uploads."""

    uploads: list[UploadView]
    cursor: str | None = Field(description="Gives the next page as the parameter `cursor`; null at the end.")


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str


def build_api(context: Context, authorise: Authorise, trust: ProxyTrust, base_path: str) -> FastAPI:
    """The API as a FastAPI application, with its description at `/api/v1/openapi.json`."""
    api = FastAPI(
        title="Tusfleet",
        version=__version__,
        summary="Uploads of this server: list, inspect, terminate.",
        openapi_url=f"{PREFIX}/openapi.json",
        # The page that shows the description would run scripts of another host beside people's uploads.
        docs_url=None,
        redoc_url=None,
        responses={"4XX": {"model": Problem, "description": "Refused", "content": {"application/problem+json": {}}}},
    )
    api.add_exception_handler(UploadError, _refused)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(HTTPException, _no_route)
    api.add_exception_handler(Exception, _failed)

    def asker_of(action: str) -> Any:
        async def asked(request: Request) -> Principal:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.scope["headers"]}
            id = request.path_params.get("id")
            return await ask(authorise, AccessRequest(action, id, headers, trust.view(request.scope).client))

        return Depends(asked)

    # Not as `Annotated`: an annotation is text that FastAPI could not resolve inside of a function.
    lister, inspector, terminator = asker_of("list"), asker_of("inspect"), asker_of("terminate")

    def view(upload: models.Upload, request: Request) -> UploadView:
        return _view(upload, f"{request.scope.get('root_path', '')}{base_path}/{upload.id}")

    @api.get(f"{PREFIX}/uploads", summary="List uploads")
    async def list_uploads(
        request: Request,
        asker: Principal = lister,
        state: Annotated[list[State] | None, Query(description="Only those in one of these states.")] = None,
        limit: Annotated[int, Query(ge=1, le=1000, description="Most uploads in the answer.")] = 100,
        cursor: Annotated[str | None, Query(max_length=1000, description="Where the last page ended.")] = None,
    ) -> UploadList:
        states = frozenset(state) if state else frozenset(item for item in State if item.alive)
        query = models.Query(states=states, tenant=None if asker.admin else asker.tenant)
        page = await context.info.scan(query, limit, cursor)
        return UploadList(
            uploads=[view(item, request) for item in page.uploads if asker.may_see(item)], cursor=page.cursor
        )

    @api.get(f"{PREFIX}/uploads/{{id}}", summary="Inspect an upload")
    async def inspect_upload(id: str, request: Request, asker: Principal = inspector) -> UploadView:
        """Where an upload stands. Disturbs nobody who is writing it."""
        return view(await inspect.peek(context, _checked(id), asker), request)

    @api.delete(f"{PREFIX}/uploads/{{id}}", status_code=204, summary="Terminate an upload")
    async def terminate_upload(id: str, asker: Principal = terminator) -> None:
        """End an upload, finished or not, and free its bytes."""
        await terminate.terminate(context, Terminate(_checked(id)), asker)

    return api


def _checked(id: str) -> str:
    if not models.valid_id(id):
        raise NotFound
    return id


def _view(upload: models.Upload, url: str) -> UploadView:
    return UploadView(
        id=upload.id,
        url=url,
        state=upload.state,
        length=upload.length,
        offset=upload.offset,
        metadata={key: _shown(value) for key, value in upload.metadata.values.items()},
        concat=None if upload.concat is None else upload.concat.kind.value,
        created_at=upload.created_at,
        expires_at=upload.expires_at,
        ended_at=upload.ended_at,
        tenant=upload.tenant,
    )


def _shown(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()


def _answer(error: UploadError) -> Response:
    headers = {"cache-control": "no-store"}
    if isinstance(error, Unauthorised):
        headers["www-authenticate"] = 'Bearer realm="tusfleet"'
    return Response(problem(error), error.status, headers, "application/problem+json")


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, UploadError)
    return _answer(error)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return _answer(BadRequest(f"{first['loc'][-1]}: {first['msg']}"))


async def _no_route(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = _answer(
        MethodNotAllowed()
        if error.status_code == MethodNotAllowed.status
        else NotFound("There is nothing at this path")
    )
    answer.headers.update(error.headers or {})
    return answer


async def _failed(_: Request, error: Exception) -> Response:  # noqa: ARG001 - the server logs it with its traceback
    return _answer(InternalError())
