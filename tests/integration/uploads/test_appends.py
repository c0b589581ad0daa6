"""Appends that go wrong in ways no client means."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.contexts import context_in
from tests.integration.uploads.steps import ANYBODY, append, create, head
from tests.kits.streams import FakeStream
from tusfleet.janitor.sweeper import Sweeper
from tusfleet.uploads import append as appending
from tusfleet.uploads.context import Policy
from tusfleet.uploads.errors import LengthExceeded, TooLarge, UploadError
from tusfleet.uploads.intents import Append, Body, Checksum
from tusfleet.uploads.models import BodyEnd, State, Upload

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("length", [10, None])
async def test_a_body_that_is_longer_than_its_content_length_never_goes_beyond_the_upload(
    tmp_path: Path, length: int | None
) -> None:
    """A layer around an embedded server may unpack bodies, and leave their Content-Length as it was."""
    async with context_in(tmp_path, Policy(max_size=10)) as context:
        upload = await create(context, length)
        unpacked = FakeStream(b"12345678901")
        with pytest.raises((LengthExceeded, TooLarge)):
            await appending.append(context, Append(upload.id, 0, Body(5)), unpacked, ANYBODY, lambda: None)
        assert (await head(context, upload.id)).offset == 0
        assert (await append(context, upload.id, 0, b"1234567890")).offset == 10


async def test_a_length_that_completes_an_upload_is_driven_on_by_the_sweeper(tmp_path: Path) -> None:
    async with context_in(tmp_path) as context:
        upload = await create(context, None, b"12345")
        commit = context.info.commit

        async def dies_after_one_commit(*args: object) -> Upload:
            await commit(*args)  # type: ignore[arg-type]
            raise KeyboardInterrupt

        context.info.commit = dies_after_one_commit  # type: ignore[method-assign, assignment]
        with pytest.raises(KeyboardInterrupt):
            await append(context, upload.id, 5, b"", length=5)
    async with context_in(tmp_path) as context:
        await Sweeper(context, 3600, timedelta(days=7)).sweep()
        record = await context.info.read(upload.id)
        assert record is not None
        assert record.state is State.FINISHED


@pytest.mark.parametrize("draining", [True, False])
@pytest.mark.parametrize("end", [BodyEnd.INTERRUPTED, BodyEnd.STALLED])
async def test_nobody_is_told_that_bytes_are_kept_which_a_checksum_dropped(
    tmp_path: Path, end: BodyEnd, draining: bool
) -> None:
    async with context_in(tmp_path) as context:
        context.draining = draining
        upload = await create(context, 10)
        body = Body(10, checksum=Checksum("sha1", bytes(20)))
        with pytest.raises(UploadError) as told:
            await appending.append(
                context, Append(upload.id, 0, body), FakeStream(b"12345", end=end), ANYBODY, lambda: None
            )
        assert (await head(context, upload.id)).offset == 0
        assert "kept" not in told.value.detail
