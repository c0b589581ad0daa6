"""Taking secrets out of what leaves the cluster. Secrets are never read; but people write passwords elsewhere too."""

from __future__ import annotations

import re
from typing import Any

GONE = "(redacted)"

_CREDENTIALS = re.compile(r"(?<=://)[^/\s@\"']+(?=@)")
"""User and password of a URL."""

_QUERY = re.compile(r"(?i)([?&](?:x-amz-[a-z-]+|token|password|secret|signature|access_token)=)[^&\s\"']+")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}")
_TELLING = re.compile(r"(?i)(password|passwd|secret|token|credential|private|access_?key)")
"""A name whose value nobody is to read."""

_REFERENCE = re.compile(r"(?i)(ref|file|name|key)$")
"""The end of a name that only says where a secret is."""


def text(given: str) -> str:
    """The same without credentials in URLs and headers."""
    given = _CREDENTIALS.sub(GONE, given)
    given = _QUERY.sub(lambda found: found[1] + GONE, given)
    return _BEARER.sub(lambda found: f"{found[1]} {GONE}", given)


def body(given: Any) -> Any:
    """An object of Kubernetes without values that look like secrets, and without the copies that tools keep of it."""
    if isinstance(given, dict):
        if "name" in given and "value" in given and _telling(str(given["name"])):
            return {**given, "value": GONE}
        return {
            key: GONE if isinstance(value, str) and _telling(key) else body(value)
            for key, value in given.items()
            if key not in {"managedFields", "kubectl.kubernetes.io/last-applied-configuration"}
        }
    if isinstance(given, list):
        return [body(item) for item in given]
    return text(given) if isinstance(given, str) else given


def _telling(name: str) -> bool:
    return bool(_TELLING.search(name)) and not _REFERENCE.search(name)
