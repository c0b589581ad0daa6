from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.gateway.edge import Edge, TinyApp, serving


@pytest.fixture
def edge() -> Iterator[Edge]:
    """A server with our protocol class; no test may leave a traceback in its log."""
    with serving(TinyApp()) as server:
        yield server
        assert server.tracebacks == []
    assert server.gauge == [0]
