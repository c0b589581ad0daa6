"""The scripts: Lua files beside this one. Each is one atomic step on the server and one round trip."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

_FOLDER = files("tusfleet.redis_shards") / "lua"

# Redis refuses to start a script while it is full. These free memory, or must go on all the same.
_WHEN_FULL = "#!lua flags=allow-oom\n"


@dataclass(frozen=True, slots=True)
class Script:
    """A script and the digest by which servers know it.

    Parameters:
        name: of its file, and in metrics.
        source: as servers take it.
        writes: whether it changes anything, so that replicas are waited for.
    """

    name: str
    source: str
    writes: bool

    @property
    def digest(self) -> str:
        """SHA-1 of the source, as EVALSHA wants it."""
        return hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


def _script(name: str, *shared: str, writes: bool = True, when_full: bool = False, file: str | None = None) -> Script:
    names = ("common", *shared, file or name)
    source = "\n".join((_FOLDER / f"{part}.lua").read_text() for part in names)
    return Script(name, (_WHEN_FULL if when_full else "#!lua\n") + source, writes)


CREATE: Final = _script("create", "changes")
COMMIT: Final = _script("commit", "changes")
END: Final = _script("end", "changes", when_full=True, file="commit")
"""A commit that sets nothing more aside, such as those that end an upload."""
DELETE: Final = _script("delete", "changes", when_full=True)
READ: Final = _script("read", writes=False)
SCAN: Final = _script("scan", writes=False)
ACQUIRE: Final = _script("acquire", when_full=True)
RENEW: Final = _script("renew", when_full=True)
RELEASE: Final = _script("release", when_full=True)
ASK: Final = _script("ask", when_full=True)
LINK: Final = _script("link")
OPEN: Final = _script("open")
PROBE: Final = _script("probe")
