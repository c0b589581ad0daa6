from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.failure.forked import serving
from tests.servers import Server

# What these find is explained like the assertions of a test.
pytest.register_assert_rewrite("tests.failure.aftermath", "tests.failure.client", "tests.failure.uploaders")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of this test alone."""
    with serving(tmp_path) as server:
        yield server
