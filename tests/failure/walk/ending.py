"""The end of a walk: everything is healed, every upload is finished, and all that is left is compared."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from tests.failure.aftermath import complaints
from tests.failure.client import ask, metrics
from tests.failure.walk.checks import content_is, finished_once, object_of
from tests.failure.walk.client import Client
from tests.failure.walk.faults import SICK
from tests.failure.walk.ground import Ground
from tests.failure.walk.model import Gone, Known, Violation
from tests.failure.walk.requests import asked
from tests.failure.walk.sources import Source, joined
from tests.servers import Server, eventually

FINISH_SECONDS = 60.0
"""In which an upload is finished once nothing breaks any more; most of it is waiting for the leases of the dead."""

CLEAN_SECONDS = 30.0
"""In which the janitor has found what is 2 s old."""

PAUSE_SECONDS = 0.1
"""Between two tries of one upload."""

PAGE = 1000
"""Uploads in one page of a list."""


def heal(ground: Ground, clients: Iterable[Client]) -> None:
    """Nothing breaks any more, and nobody hangs."""
    if ground.proxy is not None:
        ground.proxy.clear()
    for client in clients:
        for hanging in client.hanging:
            hanging.sending.close()
        client.hanging.clear()


def finish_all(client: Client) -> None:
    """Bring every upload of a client to its end."""
    for upload in sorted(client.living(), key=lambda one: one.final):
        _finish(client, upload)


def _finish(client: Client, upload: Known) -> None:
    deadline = time.monotonic() + FINISH_SECONDS
    last: Any = None
    while time.monotonic() < deadline:
        last = client.inspect(upload)
        if not upload.settled and not upload.final and last.status == 200:
            last = client.bring(upload, upload.total, declares=True)
        if upload.settled:
            return
        time.sleep(PAUSE_SECONDS)  # between two tries, up to the deadline
    raise Violation(f"{upload} cannot be finished; the last answer was {last}")


def compare_all(ground: Ground, clients: list[Client]) -> set[str]:
    """See that all that is finished has its bytes, and all that is gone stays gone; gives the ids that live."""
    alive = set()
    for client in clients:
        for upload in {one.id: one for one in (*client.uploads, *client.done, *client.graves)}.values():
            for number in range(len(ground.gateways)):
                answered = asked(ground, number, "HEAD", upload.path)
                if upload.gone is Gone.YES:
                    if answered.status not in (404, 410):
                        raise Violation(f"{upload}: it was gone, and is back: {answered}")
                elif (
                    answered.status != 200
                    or answered.answer is None
                    or answered.answer["upload-offset"] != str(upload.total)
                ):
                    raise Violation(f"{upload}: it was finished, and is {answered}")
            if upload.gone is not Gone.YES:
                alive.add(upload.id)
                _compare(ground, upload)
    return alive


def _compare(ground: Ground, upload: Known) -> None:
    content_is(ground, upload)
    finished_once(ground, upload)
    body = ask(ground.gateways[-1], "GET", upload.path).body
    if body != joined(upload.content, 0, upload.total):
        raise Violation(f"{upload}: its download has other bytes than were sent")


def end_unknown(ground: Ground, alive: set[str], lost: dict[str, tuple[Source, ...]]) -> int:
    """See that whatever else there is came from a creation whose answer was lost, with its bytes; and end it."""
    ended = 0
    for shown in _listed(ground):
        if shown["id"] in alive:
            continue
        content = lost.get(shown["metadata"].get("walk", ""))
        if content is None:
            raise Violation(f"nobody made the upload {shown}")
        if shown["state"] == "finished":
            body = ask(ground.gateways[0], "GET", shown["url"]).body
            if body != joined(content, 0, sum(source.size for source in content)):
                raise Violation(f"the upload of a lost answer has other bytes than were sent: {shown}")
        answer = ask(ground.gateways[0], "DELETE", shown["url"])
        if answer.status != 204:
            raise Violation(f"{shown} cannot be ended: {answer}")
        ended += 1
    return ended


def _listed(ground: Ground) -> list[Any]:
    found: list[Any] = []
    cursor = ""
    while True:
        answer = ask(ground.gateways[0], "GET", f"/api/v1/uploads?limit={PAGE}{cursor}")
        assert answer.status == 200, answer
        page = answer.json()
        found += page["uploads"]
        if page["cursor"] is None:
            return found
        cursor = f"&cursor={quote(page['cursor'])}"


def nothing_left(ground: Ground, clients: list[Client], janitor: Server) -> None:
    """See that the store has the objects of finished uploads, and nothing else."""
    uploads = {one.id: one for client in clients for one in (*client.uploads, *client.done) if one.gone is not Gone.YES}
    for upload in [one for one in uploads.values() if one.partial]:
        answer = ask(ground.gateways[0], "DELETE", upload.path)
        if answer.status != 204:
            raise Violation(f"{upload} cannot be ended: {answer}")
        del uploads[upload.id]
    wanted = sorted(map(object_of, uploads.values()))

    if ground.place.bucket is None:
        # In a folder it looks for what nobody needs when it starts and once an hour, and leaves alone what is fresh.
        janitor.terminate()
        ground.place.age()
        janitor.start()

    def clean() -> bool:
        return ground.place.objects() == wanted and not ground.place.unfinished()

    try:
        eventually(clean, CLEAN_SECONDS, pause=0.2)
    except AssertionError:
        objects = set(ground.place.objects())
        raise Violation(
            f"left over: {sorted(objects - set(wanted))}, missing: {sorted(set(wanted) - objects)}, "
            f"unfinished: {ground.place.unfinished()}"
        ) from None
    for upload in uploads.values():
        content_is(ground, upload)
        finished_once(ground, upload)


def logs_are_calm(servers: Iterable[Server]) -> None:
    """See that no process has logged a failure of its own, in any of its lives, or lost an offset."""
    for server in servers:
        found = [line for line in complaints(server) if line.strip() and not line.startswith(SICK)]
        if found:
            raise Violation(f"{server.folder.name} complained {len(found)} times: " + "\n".join(found[:40]))
        if any('"Traceback' in line or "Traceback (" in line for line in server.log_file.read_text().splitlines()):
            raise Violation(f"{server.folder.name} logged a traceback")
        if metrics(server).get("tusfleet_offsets_lost_total", 0):
            raise Violation(f"{server.folder.name} has lost offsets")
