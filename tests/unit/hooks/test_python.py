"""Hooks that are callables: what they may change, and what becomes of their mistakes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tusfleet.hooks.python import PythonHooks
from tusfleet.uploads.errors import Forbidden, HookFailed
from tusfleet.uploads.models import Metadata, State, Upload

pytestmark = pytest.mark.anyio
UPLOAD = Upload("a", "tus", datetime(2026, 1, 1, tzinfo=UTC), length=10)


async def test_no_answer_leaves_the_upload_as_it_is() -> None:
    async def before_create(upload: Upload) -> None:
        assert upload == UPLOAD

    assert await PythonHooks(before_create).before_create(UPLOAD) == UPLOAD


async def test_id_metadata_and_tenant_may_change_and_progress_may_not() -> None:
    async def before_create(upload: Upload) -> Upload:
        changed = replace(upload, id="b", metadata=Metadata.of({"k": "v"}), tenant="t")
        return replace(changed, offset=5, length=99, state=State.FINISHED)

    upload = await PythonHooks(before_create).before_create(UPLOAD)
    assert (upload.id, upload.metadata.text("k"), upload.tenant) == ("b", "v", "t")
    assert (upload.offset, upload.length, upload.state) == (0, 10, State.OPEN)


async def test_a_refusal_reaches_the_client_as_it_is() -> None:
    async def before_create(upload: Upload) -> None:
        raise Forbidden("not you")

    with pytest.raises(Forbidden, match="not you"):
        await PythonHooks(before_create).before_create(UPLOAD)


async def test_a_defect_of_the_hook_is_told_as_one_without_its_inside() -> None:
    async def before_create(upload: Upload) -> None:
        raise KeyError("secret")

    with pytest.raises(HookFailed) as caught:
        await PythonHooks(before_create).before_create(UPLOAD)
    assert "secret" not in caught.value.detail


async def test_an_answer_that_is_no_upload_is_a_defect_of_the_hook() -> None:
    async def before_create(upload: Upload) -> Any:
        return "yes"

    with pytest.raises(HookFailed, match="not an Upload"):
        await PythonHooks(before_create).before_create(UPLOAD)


@pytest.mark.parametrize("raw", ["\xe9 eA==", "key not-base64", "a,a"])
async def test_metadata_that_no_client_could_be_told_is_a_failure_of_the_hook(raw: str) -> None:
    async def before_create(upload: Upload) -> Upload:
        return replace(upload, metadata=Metadata(raw))

    with pytest.raises(HookFailed, match="metadata"):
        await PythonHooks(before_create).before_create(UPLOAD)
