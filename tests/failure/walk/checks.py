"""Bytes of a walk, read by clients that are not ours, against what was sent."""

from __future__ import annotations

from tests.failure.client import ask
from tests.failure.walk.ground import Ground
from tests.failure.walk.model import Known, Violation
from tests.failure.walk.sources import joined, sha256


def object_of(upload: Known) -> str:
    """The name of its object."""
    return f".partials/{upload.id}" if upload.partial else upload.id


def look_at_object(ground: Ground, upload: Known) -> None:
    """See that there is an object, right when the client was told that the upload is finished."""
    if upload.partial:
        return  # where its bytes are is the business of the store
    if upload.id not in ground.place.objects():
        raise Violation(f"{upload}: it is called finished, and there is no object")


def content_is(ground: Ground, upload: Known) -> None:
    """See that its object has the bytes that were sent, and no others."""
    if upload.partial:
        return
    if ground.place.sha256(upload.id) != sha256(upload.content):
        raise Violation(f"{upload}: its object has other bytes than were sent")


def prefix_is(upload: Known, start: int, body: bytes, size: int | None) -> None:
    """See that a download has the bytes that were sent."""
    if size is not None and len(body) != size:
        raise Violation(f"{upload}: {len(body)} bytes rather than {size} of the range from {start}")
    if body != joined(upload.content, start, start + len(body)):
        raise Violation(f"{upload}: a download from {start} has other bytes than were sent")


def finished_once(ground: Ground, upload: Known) -> None:
    """See that it was finished, and has been only once."""
    answer = ask(ground.gateways[0], "GET", f"/api/v1/uploads/{upload.id}")
    if answer.status != 200:
        raise Violation(f"{upload}: it was finished, and the API says {answer.status}")
    shown = answer.json()
    if shown["state"] != "finished" or shown["ended_at"] is None:
        raise Violation(f"{upload}: it was finished, and the API says {shown['state']}")
    upload.finished_at(shown["ended_at"])
