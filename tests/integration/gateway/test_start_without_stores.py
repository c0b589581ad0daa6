"""Everything starts at once: a store that is not there yet is waited for, and one that is set up wrongly is told of."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.failure.client import ask, create, metrics, patch
from tests.servers import Server, eventually, serving
from tests.testbed.faults import S3Proxy
from tests.testbed.gateways import Backend, Gateway, Janitor, on_s3
from tests.testbed.redis import standalone
from tests.testbed.redis_node import Account, RedisNode
from tests.testbed.redis_topologies import RedisTopology
from tests.testbed.s3 import Bucket
from tests.testbed.s3_faults import ANY, SLOW_DOWN, Delay, Refuse
from tests.testbed.toxiproxy import Toxiproxy

QUICK = ("--s3-retry-time", "500ms", "--s3-connect-timeout", "500ms", "--s3-read-timeout", "1s", "--redis-shards", "4")

HEALED_SECONDS = 20.0
"""In which readiness has noticed that a store is there; on a busy machine too."""

START_SECONDS = 60.0


def ready(server: Server) -> bool:
    return ask(server, "GET", "/readyz").status == 200


def why_not(server: Server) -> str:
    answer = ask(server, "GET", "/readyz")
    assert answer.status == 503
    return str(answer.json()["reason"])


def refused(arguments: list[str], environment: Mapping[str, str]) -> str:
    """Run a command that must end with one line; gives that line."""
    done = subprocess.run(
        [sys.executable, "-c", "from tusfleet.cli.main import main; main()", *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    assert done.returncode != 0
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    assert len(lines) == 1, lines
    return lines[0]


def gateway_refused(backend: Backend, *flags: str, **environment: str) -> str:
    usual = ("--host", "127.0.0.1", "--port", "0", "--metrics-port", "none", "--log-format", "pretty")
    return refused(["gateway", *usual, *backend.flags, *QUICK, *flags], {**backend.environment, **environment})


Trouble = Callable[[Bucket, S3Proxy, Toxiproxy], AbstractContextManager[str]]
"""Gives the endpoint to use during a trouble of S3 that ends with the block."""


@contextmanager
def nobody_listens(bucket: Bucket, _: S3Proxy, toxiproxy: Toxiproxy) -> Iterator[str]:
    proxy = toxiproxy.proxy(bucket.server.port)
    with proxy.down():
        yield f"http://{proxy.address}"


@contextmanager
def silence(bucket: Bucket, _: S3Proxy, toxiproxy: Toxiproxy) -> Iterator[str]:
    proxy = toxiproxy.proxy(bucket.server.port)
    with proxy.silence():
        yield f"http://{proxy.address}"


def answered(fault: Refuse | Delay) -> Trouble:
    @contextmanager
    def trouble(_: Bucket, s3_proxy: S3Proxy, __: Toxiproxy) -> Iterator[str]:
        rule = s3_proxy.rule(ANY, fault, times=None)
        yield s3_proxy.endpoint
        rule.remove()

    return trouble


TROUBLES: dict[str, tuple[Trouble, str]] = {
    "nobody listens": (nobody_listens, "does not answer"),
    "silence": (silence, "answer"),
    "throttled": (answered(SLOW_DOWN), "asks for fewer requests"),
    "fails": (answered(Refuse(500, "InternalError")), "refused ListObjectsV2: InternalError"),
    "full": (answered(Refuse(507, "XMinioStorageFull")), "no space left"),
}


def on(redis: RedisNode, bucket: Bucket, endpoint: str | None = None) -> Backend:
    return on_s3(RedisTopology("standalone", redis.url, [redis]), bucket, endpoint)


@contextmanager
def started(folder: Path, backend: Backend, *flags: str, kind: type[Server] = Gateway) -> Iterator[Server]:
    with serving(folder, *backend.flags, *QUICK, *flags, environment=backend.environment, kind=kind) as server:
        yield server


@pytest.mark.parametrize("name", TROUBLES)
def test_an_s3_that_is_in_trouble_is_waited_for(
    bucket: Bucket, s3_proxy: S3Proxy, toxiproxy: Toxiproxy, redis_server: RedisNode, tmp_path: Path, name: str
) -> None:
    happens, reason = TROUBLES[name]
    with ExitStack() as trouble:
        endpoint = trouble.enter_context(happens(bucket, s3_proxy, toxiproxy))
        with started(tmp_path, on(redis_server, bucket, endpoint)) as server:
            assert reason in why_not(server)
            assert ask(server, "GET", "/healthz").status == 200
            path = create(server, 5)
            answer = patch(server, path, 0, b"hello")
            assert answer.status == (507 if name == "full" else 503)
            assert int(answer["retry-after"]) > 0
            trouble.close()
            eventually(lambda: ready(server), HEALED_SECONDS, 0.1)
            assert patch(server, path, 0, b"hello").status == 204
            assert [bucket.read(key) for key in bucket.keys()]  # noqa: SIM118 - not a dictionary == [b"hello"]


def test_an_s3_that_is_set_up_wrongly_is_told_of(bucket: Bucket, s3_proxy: S3Proxy, redis_server: RedisNode) -> None:
    backend = on(redis_server, bucket)
    assert "The bucket missing does not exist" in gateway_refused(backend, "--s3-bucket", "missing")
    assert "does not know the access key" in gateway_refused(backend, AWS_ACCESS_KEY_ID="nobody")
    assert "secret key is not the one" in gateway_refused(backend, AWS_SECRET_ACCESS_KEY="wrong-0123456789")
    rule = s3_proxy.rule("PutObject", Refuse(403, "AccessDenied"), times=None)
    through = on(redis_server, bucket, s3_proxy.endpoint)
    assert "do not allow PutObject" in gateway_refused(through)
    rule.remove()
    s3_proxy.rule(ANY, Refuse(403, "RequestTimeTooSkewed"), times=None)
    assert "set the clock right" in gateway_refused(through)


def test_a_redis_that_is_not_there_yet_is_waited_for(bucket: Bucket, redis_alone: RedisNode, tmp_path: Path) -> None:
    backend = on(redis_alone, bucket)
    redis_alone.kill()
    with (
        started(tmp_path / "gateway", backend) as server,
        started(tmp_path / "janitor", backend, kind=Janitor) as janitor,
    ):
        for one in (server, janitor):
            assert f"Redis at {redis_alone.address} cannot be used" in why_not(one)
            assert ask(one, "GET", "/healthz").status == 200
            assert "tusfleet_connections_open" in metrics(one)
        for method, path in (("POST", server.path), ("HEAD", f"{server.path}/x"), ("GET", "/api/v1/uploads")):
            answer = ask(server, method, path, {"Upload-Length": "5"})
            assert (answer.status, answer["retry-after"]) == (503, "1")
            assert redis_alone.address.encode() not in answer.body
        redis_alone.start()
        for one in (server, janitor):
            eventually(lambda one=one: ready(one), HEALED_SECONDS, 0.1)  # type: ignore[misc]
        path = create(server, 5, body=b"hello")
        assert ask(server, "HEAD", path)["upload-offset"] == "5"
        assert "tusfleet_uploads_open" in metrics(server)
        told = [line["message"] for line in server.lines() if "cannot be used" in line.get("message", "")]
        assert len(told) == 1, told


def test_a_process_that_waits_for_redis_ends_as_others_do(
    bucket: Bucket, redis_alone: RedisNode, tmp_path: Path
) -> None:
    backend = on(redis_alone, bucket)
    redis_alone.kill()
    with started(tmp_path, backend) as server:
        assert server.terminate() == 0


def test_what_is_run_once_does_not_wait(bucket: Bucket, redis_alone: RedisNode, toxiproxy: Toxiproxy) -> None:
    flags = ("janitor", "--once", "--redis-patience", "500ms", *QUICK)
    s3 = toxiproxy.proxy(bucket.server.port)
    backend = on(redis_alone, bucket, f"http://{s3.address}")
    with s3.down():
        assert "The S3 service does not answer" in refused([*flags, *backend.flags], backend.environment)
    redis_alone.kill()
    assert "cannot be used" in refused([*flags, *backend.flags], backend.environment)


def test_a_redis_that_is_set_up_wrongly_is_told_of(bucket: Bucket, tmp_path: Path) -> None:
    with standalone(tmp_path / "redis", account=Account("tusfleet", "right", "~other:* &* +@all")) as node:
        wrong = f"redis://tusfleet:wrong@{node.address}/0"
        assert "refuses the credentials" in gateway_refused(on(node, bucket), "--redis-url", wrong)
        assert "does not permit" in gateway_refused(on(node, bucket))
