"""S3 down, frozen, throttling or slow: nothing is acknowledged that it does not keep, and nobody storms it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest

from tests.failure.client import KIB, MIB, create, patch
from tests.failure.fleet.deaths import cleared
from tests.failure.fleet.gateways import QUICK, ForkedGateway, gateway, need_forks
from tests.failure.fleet.passages import Passage, Sent
from tests.failure.fleet.stores import PART, Place
from tests.failure.fleet.troubles import goes_on, not_ready, ready, refused
from tests.testbed.faults import S3Proxy, s3_proxy
from tests.testbed.gateways import on_s3
from tests.testbed.redis_topologies import RedisTopology
from tests.testbed.s3 import S3Server
from tests.testbed.s3_faults import ANY, SLOW_DOWN, Delay, Fault, Refuse

pytestmark = pytest.mark.long

RETRY_SECONDS, READ_SECONDS = 2.0, 1.0

FLAGS = (
    *QUICK, "--s3-retry-time", f"{RETRY_SECONDS:g}s", "--s3-read-timeout", f"{READ_SECONDS:g}s",
    "--s3-connect-timeout", "500ms", "--s3-part-size", f"{PART}",
)  # fmt: skip

ANSWER_SECONDS = 2 * (RETRY_SECONDS + READ_SECONDS) + 2.0
"""A request meets the trouble twice at most, with its parts and with what it leaves behind; the rest is for a machine
that is busy with other tests."""

CLIENTS = 8
"""Clients that send one upload each while S3 is in trouble."""

MOST_ATTEMPTS = 8
"""Requests that one of them may cost a sick S3 in the time of its retries: pauses from 0.1 s, doubled each time, of
which chance takes half, leave room for five or six."""


MINUTE = 60.0
"""Seconds for which S3 throttles, while clients do as they are told."""

MOST_PUT_OFF = 100
"""Requests in a minute and the time that follows it, none of which takes less than a second."""


@contextmanager
def down(server: S3Server, _proxy: S3Proxy) -> Iterator[None]:
    """Killed, and started again."""
    server.program.kill()
    try:
        yield
    finally:
        server.program.start()


@contextmanager
def frozen(server: S3Server, _proxy: S3Proxy) -> Iterator[None]:
    """Connections stay, nobody answers."""
    server.program.pause()
    try:
        yield
    finally:
        server.program.resume()


def meets(fault: Fault) -> Callable[[S3Server, S3Proxy], AbstractContextManager[None]]:
    """Every request meets with the fault."""

    @contextmanager
    def trouble(_server: S3Server, proxy: S3Proxy) -> Iterator[None]:
        rule = proxy.rule(ANY, fault, times=None)
        try:
            yield
        finally:
            rule.remove()

    return trouble


@dataclass(frozen=True)
class Trouble:
    """What happens to S3, and how /readyz puts it."""

    happens: Callable[[S3Server, S3Proxy], AbstractContextManager[None]]
    reason: str


TROUBLES = {
    "down": Trouble(down, "The S3 service"),
    "frozen": Trouble(frozen, "The S3 service"),
    "throttling": Trouble(meets(SLOW_DOWN), "asks for fewer requests"),
    "failing": Trouble(meets(Refuse(500, "InternalError")), "S3|bucket"),
    "too slow": Trouble(meets(Delay(5 * READ_SECONDS)), "The S3 service"),
}


@pytest.fixture
def proxy(s3_alone: S3Server) -> Iterator[S3Proxy]:
    """Records what goes to the S3 server of this test, and makes faults happen."""
    with s3_proxy(s3_alone.port) as found:
        yield found


@pytest.fixture
def bucket(s3_alone: S3Server, proxy: S3Proxy, shared_node: RedisTopology) -> Place:
    """A bucket that the gateways reach through the proxy."""
    new = s3_alone.bucket()
    backend = on_s3(shared_node, new, proxy.endpoint)
    return Place(s3_alone.name, replace(backend, flags=(*backend.flags, *FLAGS)), bucket=new)


@pytest.mark.parametrize("name", TROUBLES)
def test_nothing_is_acknowledged_that_s3_does_not_keep(
    bucket: Place, s3_alone: S3Server, proxy: S3Proxy, tmp_path: Path, name: str
) -> None:
    need_forks()
    trouble = TROUBLES[name]
    data = Random(name).randbytes(2 * PART + MIB)
    with gateway(tmp_path / "gateway", bucket.backend, kind=ForkedGateway) as one:
        small, large = (Sent(Passage(one, one), data[:size], path=create(one, size)) for size in (MIB, len(data)))
        large.send(PART + 100 * KIB)
        with trouble.happens(s3_alone, proxy):
            refused(bucket, lambda: patch(one, small.path, 0, small.data), ANSWER_SECONDS)
            rest = large.data[large.acknowledged :]
            refused(bucket, lambda: patch(one, large.path, large.acknowledged, rest), ANSWER_SECONDS)
            not_ready(one, trouble.reason)
            # Without a byte, an upload costs S3 nothing, and so it goes on.
            assert create(one, 5)
        ready(one)
        goes_on(small, one, bucket, MIB)
        goes_on(large, one, bucket, len(rest))
    cleared(bucket, tmp_path)


@pytest.mark.parametrize("name", ["down", "throttling", "failing"])
def test_no_storm_comes_over_s3(bucket: Place, s3_alone: S3Server, proxy: S3Proxy, tmp_path: Path, name: str) -> None:
    need_forks()
    data = Random(name).randbytes(300 * KIB)
    with gateway(tmp_path / "gateway", bucket.backend, kind=ForkedGateway) as one:
        paths = [create(one, len(data)) for _ in range(CLIENTS)]

        def send(path: str) -> int:
            return patch(one, path, 0, data).status

        with ThreadPoolExecutor(CLIENTS) as threads:
            with TROUBLES[name].happens(s3_alone, proxy):
                before = len(proxy.requests())
                assert set(threads.map(send, paths)) == {503}
                attempts = len(proxy.requests()) - before
            assert CLIENTS <= attempts <= MOST_ATTEMPTS * CLIENTS, proxy.counts()
            ready(one)
            assert set(threads.map(send, paths)) == {204}


def test_a_minute_of_slow_down_delays_and_nothing_else(
    bucket: Place, s3_alone: S3Server, proxy: S3Proxy, tmp_path: Path
) -> None:
    """Clients that do as they are told come to their end once it is over; S3 is not asked the more for it."""
    need_forks()
    numbers = Random(60)
    with gateway(tmp_path / "gateway", bucket.backend, kind=ForkedGateway) as one:
        uploads = [
            Sent(Passage(one, one), data, path=create(one, len(data)))
            for data in (numbers.randbytes(size) for size in (300 * KIB, PART + MIB) for _ in range(CLIENTS // 2))
        ]

        def insist(sent: Sent) -> int:
            """Send it until all of it has been taken; gives how often it was put off."""
            for count in range(MOST_PUT_OFF):
                answer = patch(one, sent.path, sent.acknowledged, sent.data[sent.acknowledged :])
                if answer.status == 204:
                    return count
                assert answer.status == 503, answer
                time.sleep(int(answer["retry-after"]))  # as it was told to
                sent.recover(len(sent.data))
            raise AssertionError(f"{sent.path} is put off for ever")

        with ThreadPoolExecutor(CLIENTS) as threads:
            with TROUBLES["throttling"].happens(s3_alone, proxy):
                insisting = [threads.submit(insist, sent) for sent in uploads]
                not_ready(one, TROUBLES["throttling"].reason)
                time.sleep(MINUTE)
                assert not any(one.done() for one in insisting)
                attempts = len(proxy.requests("PutObject", "CreateMultipartUpload", "UploadPart"))
            put_off = [one.result() for one in insisting]
        print(f"{attempts} attempts of {CLIENTS} clients in a minute, who were put off {sum(put_off)} times")
        assert all(put_off)
        assert attempts <= MOST_ATTEMPTS * (sum(put_off) + CLIENTS)
        ready(one)
        for sent in uploads:
            sent.check(bucket)
    cleared(bucket, tmp_path)
    assert bucket.objects() == sorted(sent.name for sent in uploads)


def test_a_short_trouble_is_not_noticed(bucket: Place, proxy: S3Proxy, tmp_path: Path) -> None:
    """S3 throttles a part, fails with the next, and is slow with all: the client is told nothing of it."""
    need_forks()
    data = Random(4).randbytes(3 * PART)
    with gateway(tmp_path / "gateway", bucket.backend, kind=ForkedGateway) as one:
        proxy.rule(ANY, Delay(READ_SECONDS / 5), times=None)
        proxy.rule("UploadPart", SLOW_DOWN)
        proxy.rule("UploadPart", Refuse(500, "InternalError"), at=2)
        proxy.rule("CompleteMultipartUpload", SLOW_DOWN, times=2)
        sent = Sent(Passage(one, one), data, path=create(one, len(data)))
        assert patch(one, sent.path, 0, data).status == 204
        sent.check(bucket)
        assert proxy.counts()["UploadPart"] == 5
        assert proxy.counts()["CompleteMultipartUpload"] == 3
