"""The scripts: Lua files beside this one. Each is one atomic step on the server and one round trip."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

_FOLDER = files("tusfleet.redis_shards") / "lua"

# Redis refuses to start a script while it is full, unless it writes nothing or says that it may.
_WRITES = "#!lua\n"
_WRITES_WHEN_FULL = "#!lua flags=allow-oom\n"
_READS = "#!lua flags=no-writes\n"


@dataclass(frozen=True, slots=True)
class Script:
    """A script and the digest by which servers know it.

    Parameters:
        name: of its file, and in metrics.
        source: as servers take it.
        digest: SHA-1 of the source, as EVALSHA wants it.
        writes: whether it changes anything, so that replicas are waited for.
    """

    name: str
    source: str
    digest: str
    writes: bool


def _script(name: str, *shared: str, writes: bool = True, when_full: bool = False, file: str | None = None) -> Script:
    names = ("common", *shared, file or name)
    source = "\n".join((_FOLDER / f"{part}.lua").read_text() for part in names)
    begin = (_WRITES_WHEN_FULL if when_full else _WRITES) if writes else _READS
    source = begin + source
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest(), writes)


CREATE: Final = _script("create", "changes")
COMMIT: Final = _script("commit", "changes")
END: Final = _script("end", "changes", when_full=True, file="commit")
"""A commit that ends an upload or tidies up after it, and so leads to memory that is free."""
DELETE: Final = _script("delete", "changes", when_full=True)
READ: Final = _script("read", writes=False)
SCAN: Final = _script("scan", writes=False)
ACQUIRE: Final = _script("acquire", when_full=True)
RENEW: Final = _script("renew", when_full=True)
RELEASE: Final = _script("release", when_full=True)
ASK: Final = _script("ask", when_full=True)
LINK: Final = _script("link")
LISTEN: Final = _script("listen", when_full=True)
OPEN: Final = _script("open", when_full=True)
PROBE: Final = _script("probe")
