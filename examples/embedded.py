"""Uploads inside a FastAPI application: who may upload, what is refused, and a row for every finished file.

Run it from the checkout:  .venv/bin/uvicorn examples.embedded:app
Upload something with:     .venv/bin/tusfleet upload --url http://127.0.0.1:8000/files/ --token demo-token-of-ada me.jpg
See what has arrived:      curl http://127.0.0.1:8000/photos

The slash at the end of the URL counts: FastAPI redirects whoever leaves it out of the path of a mounted application,
and clients do not follow a redirect with an upload.
"""

from __future__ import annotations

import os
from pathlib import Path

from fastapi import FastAPI

import tusfleet

USERS = {"demo-token-of-ada": "ada", "demo-token-of-ben": "ben"}
photos: dict[str, dict[str, object]] = {}


def authorise(request: tusfleet.AccessRequest) -> tusfleet.Principal:
    """Say who makes a request; everybody sees only what is his."""
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    if token not in USERS:
        raise tusfleet.Unauthorised("Send Authorization: Bearer and a token of this application")
    return tusfleet.Principal(name=USERS[token], tenant=USERS[token])


async def before_create(upload: tusfleet.Upload) -> None:
    """Take pictures only."""
    if not (upload.metadata.text("filetype") or "").startswith("image/"):
        raise tusfleet.Forbidden("This application takes pictures only; send filetype: image/... in the metadata")


async def on_finished(event: tusfleet.Event) -> None:
    """Store a row. It may be called again after a crash, so the row goes by the id of the upload."""
    upload = event.upload
    photos[upload.id] = {
        "owner": upload.tenant,
        "name": upload.metadata.text("filename"),
        "bytes": upload.length,
    }


uploads = tusfleet.asgi(
    tusfleet.Settings(data_dir=Path(os.environ.get("PHOTOS_DIR", "./data/photos")), max_size=50 * 1024 * 1024),
    authorise=authorise,
    before_create=before_create,
    on_finished=on_finished,
)
app = FastAPI(title="Photos", lifespan=uploads.lifespan)
app.mount("/files", uploads)


@app.get("/photos")
async def list_photos() -> dict[str, dict[str, object]]:
    """Every photo that has arrived whole."""
    return photos
