"""What is wrong with a bucket, or the way to it, is told in one clear sentence without secrets."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.datastores.s3_means import opened, with_credentials
from tests.testbed.faults import S3Proxy
from tests.testbed.ports import reserved_port
from tests.testbed.s3 import SECRET_KEY, Bucket, S3Server
from tests.testbed.s3_faults import Delay, Refuse
from tusfleet.datastores.s3 import probing
from tusfleet.datastores.s3.probing import Probing
from tusfleet.uploads.errors import StoreFull, Unavailable

pytestmark = pytest.mark.anyio

SOON = 15.0
"""Seconds in which a probe has an answer, on a busy machine too."""


@pytest.fixture(autouse=True)
def credentials(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with_credentials(s3_server, monkeypatch)


async def trouble(bucket: Bucket, **options: Any) -> str:
    """What a first probe complains about."""
    async with asyncio.timeout(SOON), opened(bucket, **options) as means:
        with pytest.raises(Unavailable) as caught:
            await Probing(means.workshop).probe()
    assert SECRET_KEY not in caught.value.detail
    assert "\n" not in caught.value.detail
    return caught.value.detail


async def test_a_bucket_that_works_passes_and_nothing_is_left_in_it(bucket: Bucket) -> None:
    async with opened(bucket) as means:
        await Probing(means.workshop).probe()
    assert bucket.keys() == []


async def test_a_bucket_that_is_not_there(bucket: Bucket) -> None:
    assert "bucket missing-bucket does not exist" in await trouble(replace(bucket, name="missing-bucket"))


async def test_a_key_that_is_wrong(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    assert "does not know the access key" in await trouble(bucket)


async def test_a_secret_that_is_wrong(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-0123456789")
    assert "secret key is not the one" in await trouble(bucket)


async def test_no_credentials(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    assert "no AWS credentials" in await trouble(bucket)


async def test_a_clock_that_is_wrong(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: object, **__: object) -> datetime:
        return datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=2)

    # With awscrt botocore signs by the module for that.
    for name in ("botocore.auth", "botocore.crt.auth"):
        if name in sys.modules:
            monkeypatch.setattr(f"{name}.get_current_datetime", late)
    assert "set the clock right" in await trouble(bucket)


async def test_nobody_listens(bucket: Bucket) -> None:
    with reserved_port() as port:
        assert "does not answer" in await trouble(bucket, endpoint=f"http://127.0.0.1:{port}")


async def test_no_answer_comes(bucket: Bucket, s3_proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "PROBE_SECONDS", 0.5)
    s3_proxy.rule("ListObjectsV2", Delay(SOON), times=None)
    assert "no answer within 0.5 seconds" in await trouble(bucket, endpoint=s3_proxy.endpoint)


async def test_no_right_to_write_list_or_delete(bucket: Bucket, s3_proxy: S3Proxy) -> None:
    for operation in ("ListObjectsV2", "PutObject", "DeleteObject"):
        rule = s3_proxy.rule(operation, Refuse(403, "AccessDenied"), times=None)
        found = await trouble(bucket, endpoint=s3_proxy.endpoint)
        assert f"do not allow {operation} in the bucket {bucket.name}" in found
        rule.remove()


async def test_what_another_gateway_has_deleted_is_no_trouble(bucket: Bucket, s3_proxy: S3Proxy) -> None:
    """versitygw says so when two begin at the same moment."""
    s3_proxy.rule("DeleteObject", Refuse(404, "NoSuchKey", after_success=True))
    async with opened(bucket, endpoint=s3_proxy.endpoint) as means:
        await Probing(means.workshop).probe()
    assert s3_proxy.counts()["DeleteObject"] == 1
    assert bucket.keys() == []


async def test_a_full_store(bucket: Bucket, s3_proxy: S3Proxy) -> None:
    s3_proxy.rule("PutObject", Refuse(507, "XMinioStorageFull"), times=None)
    async with opened(bucket, endpoint=s3_proxy.endpoint) as means:
        with pytest.raises(StoreFull):
            await Probing(means.workshop).probe()


async def test_readiness_costs_one_listing_in_a_while(
    bucket: Bucket, s3_proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(bucket, endpoint=s3_proxy.endpoint) as means:
        found = Probing(means.workshop)
        await asyncio.gather(*(found.probe() for _ in range(5)))
        assert s3_proxy.counts() == {"ListObjectsV2": 1, "PutObject": 1, "DeleteObject": 1}
        monkeypatch.setattr(probing, "BELIEVED_SECONDS", 0.0)
        s3_proxy.clear()
        await found.probe()
        assert s3_proxy.counts() == {"ListObjectsV2": 1}
        s3_proxy.rule("ListObjectsV2", Refuse(503, "SlowDown"))
        with pytest.raises(Unavailable, match="fewer requests"):
            await found.probe()
        s3_proxy.clear()
        await found.probe()
        assert s3_proxy.counts() == {"ListObjectsV2": 1, "PutObject": 1, "DeleteObject": 1}
