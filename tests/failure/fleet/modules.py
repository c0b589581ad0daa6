"""The modules in which gateways are made to die, and those in which they need not.

Which there are is found in their folders: a new one has to be put into one of the two lists.
"""

from __future__ import annotations

USE_CASES = (
    "uploads.append",
    "uploads.concatenate",
    "uploads.context",
    "uploads.create",
    "uploads.finish",
    "uploads.inspect",
    "uploads.streams",
)
RECORDS = (
    "infostores.redis",
    "lockers._redis_held",
    "lockers._redis_lease",
    "lockers._redis_turns",
    "lockers._redis_wakes",
    "lockers.redis",
)
ON_DISK = ("datastores._append", "datastores._copy", "datastores._takeover", "datastores.filesystem")
_OF_S3 = (
    "appending", "client", "copying", "finishing", "flight", "freeing", "loading", "objects", "outgoing", "retrying",
    "store", "strays", "transfer",
)  # fmt: skip
IN_BUCKET = tuple(f"datastores.s3.{name}" for name in _OF_S3)
MODULES = (*USE_CASES, *RECORDS, *ON_DISK, *IN_BUCKET)
"""The modules that have points, below the package."""

WITHOUT: dict[str, str] = {
    "uploads.terminate": "ends an upload: no upload that goes on comes there",
    "datastores._disk": "looks at the disk, and changes nothing",
    "datastores.s3.leftovers": "the janitor's",
    "datastores.s3.presigned": "a URL for a download",
    "datastores.s3.probing": "looks whether the bucket can be used; it is asked beside the requests",
    "datastores.s3.reading": "reads; what is merged from it has points of its own",
    "infostores._redis_outbox": "the courier's",
    "infostores._redis_scan": "lists, and changes nothing",
    "infostores._writer": "SQLite, on one box: `tests/failure/test_kill.py`",
    "infostores.sqlite": "SQLite, on one box: `tests/failure/test_kill.py`",
    "lockers.in_process": "of one process: `tests/failure/test_kill.py`",
    "lockers.one_box": "of the workers of one box: `tests/failure/test_workers.py`",
}
"""The other modules of these packages that wait for anything, and why a fleet need not die in them."""

PACKAGES = ("datastores", "infostores", "lockers", "uploads")
"""What an upload goes through between HTTP and the network."""
