"""Points that no way comes to in a run in which nothing fails, and why each of them is no gap."""

from __future__ import annotations

_REASONS: dict[str, tuple[str, ...]] = {
    "only after a failure of a store, or when the body is refused: a death there leaves what the failure left": (
        "uploads.append:write:writing.fail",
        "uploads.append:write:writing.settle",
        "uploads.append:Writing.fail",
        "uploads.concatenate:create_final:context.leased",
        "uploads.concatenate:create_final:context.current",
        "uploads.concatenate:create_final:discard",
        "uploads.concatenate:_merge:fail",
        "uploads.concatenate:_merge:fail#2",
        "uploads.concatenate:_declare:fail",
        "uploads.create:_write:_take_back",
        "uploads.create:_write:_take_back#2",
        "uploads.create:_finish_empty:_take_back",
        "uploads.create:_take_back",
        "uploads.finish:finish:fail",
        "uploads.finish:fail",
        "datastores._append:Appending._take_back:asyncio.wait",
        "datastores.s3.appending:Appending.checkpoints:out.give_up",
        "datastores.s3.copying:_in_parts:_abort",
        "datastores.s3.copying:_abort",
        "datastores.s3.flight:Flight.forget",
        "datastores.s3.outgoing:Outgoing.give_up",
        "datastores.s3.retrying:Retrying.run:asyncio.sleep",
        "datastores.s3.transfer:Direct.put:_refused",
        "datastores.s3.transfer:_refused",
    ),
    "only where somebody died before: the second gateway of every death goes there; dying twice is the random walk's": (
        "uploads.append:append:finish",
        "uploads.inspect:inspect:context.leased",
        "uploads.inspect:inspect:context.current",
        "uploads.inspect:inspect:finish",
        "datastores._takeover:take_over",
        "datastores._takeover:_fill",
        "uploads.append:Writing.store_verified:self._commit",
        "uploads.finish:finish:context.commit",
        "datastores.filesystem:FilesystemDataStore.append:takeover.take_over",
        "datastores.filesystem:FilesystemDataStore.append:in_thread",
        "datastores.s3.copying:_check_empty:workshop.look",
        "datastores.s3.finishing:_of_parts:workshop.look",
        "datastores.s3.finishing:_of_parts:joining.replace",
        "datastores.s3.finishing:_Joining.replace",
        "datastores.s3.flight:Flight._free_key:self._workshop.look",
        "datastores.s3.objects:Workshop.look",
        "datastores.s3.objects:Workshop.put_whole:self.look",
        "datastores.s3.objects:Workshop._create:self.look",
    ),
    "only on one box, where nobody goes on after a lease; deaths there are in tests/failure/test_placed.py": (
        "datastores.filesystem:FilesystemDataStore.append:self._placed",
        "datastores.filesystem:FilesystemDataStore.append:self._placed#2",
        "datastores.filesystem:FilesystemDataStore._placed",
    ),
    "only in a store of bounded size, which a fleet on S3 is not": (
        "uploads.append:Writing._reserve",
        "uploads.append:Writing._set_aside",
        "uploads.streams:LimitedStream._has_room:self._allowance",
    ),
    "reads or refuses, and changes nothing": (
        "uploads.inspect:inspect:context.info.read",
        "uploads.inspect:peek:context.present",
        "uploads.inspect:reading",
        "uploads.append:_nothing:stream.read",
        "uploads.append:write:writing.settle#2",
        "uploads.context:Context.current:self.info.read",
        "uploads.create:_first_bytes:stream.read",
        "datastores.s3.store:S3DataStore.append:_nothing_more",
        "datastores.s3.store:_nothing_more",
        "datastores.s3.store:S3DataStore.probe",
        "datastores.s3.store:S3DataStore.presigned",
        "datastores.filesystem:FileContent.chunks:in_thread",
        "datastores.filesystem:FilesystemDataStore.probe:in_thread",
        "infostores.redis:RedisInfoStore.scan",
        "infostores.redis:RedisInfoStore.usage",
        "infostores.redis:RedisInfoStore.outbox",
        "infostores.redis:RedisInfoStore.probe",
        "infostores.redis:RedisInfoStore.warning",
        "infostores.redis:RedisInfoStore.listen",
        "infostores.redis:RedisInfoStore.listened",
        "infostores.redis:RedisInfoStore._listen",
    ),
    "at the start or the end of the process, not in a request": (
        "lockers.redis:RedisLocker.open",
        "lockers.redis:RedisLocker.listening",
        "datastores.filesystem:FilesystemDataStore.prepare:in_thread",
        "datastores.s3.store:S3DataStore.open",
        "datastores.s3.client:S3Client.__aenter__",
        "datastores.s3.client:S3Client.__aexit__",
        "datastores.s3.transfer:Direct.__aenter__",
        "datastores.s3.transfer:Direct.__aexit__",
    ),
    "beside the requests, again and again: kills at random moments come there (the random walk)": (
        "lockers._redis_held:Held.keep",
        "lockers._redis_held:Held.renew_all",
        "lockers._redis_held:Held._renew",
    ),
    "of a request that was cancelled, or of a drain: nothing is held by it any more": (
        "lockers.redis:RedisLocker._ask_redis:lease.release",
        "lockers.redis:_return",
        "datastores._append:Appending.close:done",
        "datastores._append:Appending.close:done#2",
        "datastores.s3.flight:ended:asyncio.wait",
        "datastores.s3.appending:Appending._withdraw:asyncio.wait",
    ),
    "only where bytes go through the SDK (`s3_direct` off)": ("datastores.s3.client:S3Client.put:self.call",),
    "of a termination or the janitor, which no upload goes through": (
        "infostores.redis:RedisInfoStore.delete",
        "infostores.redis:RedisInfoStore.delete.steps",
        "infostores.redis:RedisInfoStore._unlink",
        "datastores.filesystem:FilesystemDataStore.abort:in_thread",
        "datastores.filesystem:FilesystemDataStore.leftovers",
        "datastores.s3.freeing:free",
        "datastores.s3.freeing:_abort",
        "datastores.s3.freeing:_is_ours",
        "datastores.s3.store:S3DataStore.abort",
    ),
    "of hooks and the outbox, which a gateway by itself does not have": (
        "uploads.create:create:context.hooks.before_create",
        "uploads.create:create:context.info.read",
        "infostores.redis:RedisInfoStore.confirm",
    ),
    "depends on what is done first, or on a size that would take too long; what stands around it is reached": (
        "uploads.inspect:inspect:drive",
        "lockers._redis_turns:Turns.take:turn",
        "uploads.concatenate:_put_off:context.commit",
        "uploads.create:create:part_finished",
        "infostores.redis:RedisInfoStore.commit.steps:self._try_commit#2",
        "datastores._append:Appending.store:in_thread",
        "datastores.filesystem:FilesystemDataStore._merge:in_thread#4",
        "datastores.s3.copying:Copying.concatenate:_in_parts#2",
        "datastores.s3.copying:_value:_computed",
        "datastores.s3.copying:_computed",
        "datastores.s3.copying:_in_parts:asyncio.sleep",
        "datastores.s3.strays:Strays.settle:asyncio.shield",
    ),
}
"""Reasons, and the points they are given for: one step, or all steps of a function."""

UNREACHED: dict[str, str] = {name: reason for reason, names in _REASONS.items() for name in names}

_ENDS = (":enter:before", ":enter:after", ":exit:before", ":exit:after", ":before", ":after")


def step_of(point: str) -> str:
    """What the points around one step have in common."""
    return next(point.removesuffix(end) for end in _ENDS if point.endswith(end))


def reason_for(step: str) -> str | None:
    """Why nothing comes to a step; None when nobody has said."""
    return UNREACHED.get(step) or UNREACHED.get(step.rpartition(":")[0])
