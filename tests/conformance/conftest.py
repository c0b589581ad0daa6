from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.conformance.deployments import deployment
from tests.conformance.uploads import assert_healthy, create, nothing_happens, unchanged
from tests.servers import Server

Serve = Callable[..., Server]

USUAL = ("--downloads", "any", "--checkpoint-interval", "10ms", "--sweep-interval", "200ms")
"""Unfinished content can be read, and what takes time is soon."""


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Gives the server that has the usual settings and some more; each set of settings is started once a module."""
    servers: dict[tuple[str, ...], Server] = {}
    with deployment(tmp_path_factory.mktemp("deployment")) as deploy, ExitStack() as stack:

        def give(*flags: str) -> Server:
            if flags not in servers:
                folder = tmp_path_factory.mktemp("server")
                servers[flags] = stack.enter_context(deploy(folder, *USUAL, *flags))
            return servers[flags]

        yield give
        for server in servers.values():
            assert_healthy(server)


@pytest.fixture(scope="module")
def server(serve: Serve) -> Server:
    """The usual server, for every test of a module; each makes uploads of its own."""
    return serve()


@pytest.fixture(scope="module")
def victim(server: Server) -> str:
    """The URL of an upload that somebody else is making."""
    return create(server, 10, "Upload-Metadata: owner YWxpY2U=", data=b"12345")


@pytest.fixture
def unharmed(server: Server, victim: str) -> Iterator[None]:
    """No new state, no traceback; the process, other uploads and a file on its way stay as they are."""
    with unchanged(victim), nothing_happens(server):
        yield
    assert_healthy(server)
