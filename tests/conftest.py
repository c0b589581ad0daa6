"""What every test shares; fixtures of one theme live beside its tests."""

from __future__ import annotations

import hypothesis
import pytest

pytest_plugins = ["tests.testbed.fixtures", "tests.testbed.kube_fixtures", "tests.testbed.node_fixtures"]

# A slow machine is no bug: examples have no deadline of their own, the timeout of the test bounds them all.
hypothesis.settings.register_profile("tusfleet", deadline=None)
hypothesis.settings.load_profile("tusfleet")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Coroutines under test run where the server runs: on asyncio."""
    return "asyncio"
