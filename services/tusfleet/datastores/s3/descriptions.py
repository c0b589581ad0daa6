"""What botocore knows of AWS, without what we never ask: 2 MiB of memory rather than 11."""

from __future__ import annotations

from sys import intern
from typing import Any

from aiobotocore.session import AioSession, get_session
from botocore.loaders import JSONFileLoader, create_loader

SERVICES = frozenset({"s3", "sts", "oidc", "portal.sso"})
"""Whose endpoints are of use: that of objects, and those that credentials come from."""

_PROSE = frozenset({"documentation", "documentationUrl"})
"""Fields of texts for people; botocore asks for some of them, so they are empty rather than missing."""


def lean_session() -> AioSession:
    """A session of aiobotocore that keeps descriptions without prose, and endpoints of no other services."""
    session = get_session()
    loader = create_loader(session.get_config_variable("data_path"))
    loader.file_loader = _LeanFiles()
    session.register_component("data_loader", loader)
    return session


class _LeanFiles(JSONFileLoader):
    def load_file(self, file_path: str) -> Any:
        data = super().load_file(file_path)
        if not isinstance(data, dict):
            return data
        for partition in data.get("partitions", ()):
            if "services" in partition:
                partition["services"] = {name: it for name, it in partition["services"].items() if name in SERVICES}
        return _lean(data)


def _lean(value: Any) -> Any:
    if isinstance(value, dict):
        return {intern(name): "" if name in _PROSE and isinstance(it, str) else _lean(it) for name, it in value.items()}
    if isinstance(value, list):
        return [_lean(it) for it in value]
    return intern(value) if isinstance(value, str) else value
