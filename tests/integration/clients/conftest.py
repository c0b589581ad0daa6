from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Server, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for every test of a module; each has uploads of its own."""
    with serving(tmp_path_factory.mktemp("server"), "--expire-after", "1h") as server:
        yield server


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where files to upload are made once."""
    return tmp_path_factory.mktemp("files")
