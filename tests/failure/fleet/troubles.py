"""What a client and an operator are told while a store is in trouble, and what must never be told."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.failure.client import ask, offset_of
from tests.failure.fleet.passages import Sent
from tests.failure.fleet.stores import Place
from tests.raw_http import Response
from tests.servers import Server, eventually
from tests.testbed.redis_node import RedisNode

REFUSED = (503, 507)
"""A store cannot be used now, or is full."""

READY_SECONDS = 15.0
"""In which /readyz has noticed that a store is in trouble, or well again."""

_ADDRESS = re.compile(rb"127\.0\.0\.1|localhost|:\d{4,5}\b|[Rr]edis|[Ss]3|https?://(?!127)")


@contextmanager
def frozen_redis(node: RedisNode) -> Iterator[None]:
    """Redis is there, connections stay, and it answers nobody."""
    node.pause()
    try:
        yield
    finally:
        node.resume()


def refused(place: Place, request: Callable[[], Response], within: float) -> Response:
    """The answer to a request while a store is in trouble: soon, with the advice to try again, and discreet."""
    began = time.monotonic()
    answer = request()
    took = time.monotonic() - began
    assert answer.status in REFUSED, answer
    assert took < within, f"{answer.status} after {took:.1f} s"
    assert int(answer["retry-after"]) > 0
    discreet(place, answer)
    return answer


def discreet(place: Place, answer: Response) -> None:
    """See that a client is told nothing of what lies behind the gateways."""
    if answer.status < 400 or not answer.body:
        return
    told = json.loads(answer.body)
    words = f"{told.get('detail')} {told.get('title')}".encode()
    assert not (found := _ADDRESS.search(words)), (found, words)
    if place.bucket is not None:
        assert place.bucket.name.encode() not in words


def not_ready(server: Server, reason: str) -> str:
    """Wait until a gateway says that it is not ready, and why; it lives all the same."""

    def told() -> str | None:
        answer = ask(server, "GET", "/readyz")
        text = str(answer.json().get("reason", ""))
        return text if answer.status == 503 and re.search(reason, text) else None

    found = eventually(told, READY_SECONDS, 0.1)
    assert ask(server, "GET", "/healthz").status == 200
    return found


def ready(server: Server) -> None:
    """Wait until a gateway is ready."""
    eventually(lambda: ask(server, "GET", "/readyz").status == 200, READY_SECONDS, 0.1)


def goes_on(sent: Sent, server: Server, place: Place, arrived: int) -> None:
    """See that an upload stands where it may, and bring it to its end."""
    answer = eventually(lambda: found if (found := ask(server, "HEAD", sent.path)).status == 200 else None, 20.0, 0.1)
    assert sent.acknowledged <= offset_of(answer) <= sent.acknowledged + arrived
    sent.acknowledged = offset_of(answer)
    sent.send(len(sent.data))
    sent.check(place)
