"""Tests that need a Kubernetes API: `make test-cluster` runs them, `make test` does not."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.testbed.commands import Unavailable

HERE = Path(__file__).parent

NODE_SECONDS = 900.0
"""Longest that a test on a node may take unless it says so; the first of them waits for images to be built."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test below this folder, before the command line's `-m` is looked at."""
    # What takes minutes begins at once: at the end one process would do it, and the others wait.
    items.sort(key=lambda item: _has_a_node(item) or item.get_closest_marker("timeout") is None)
    for item in items:
        if not item.path.is_relative_to(HERE):
            continue
        item.add_marker(pytest.mark.cluster)
        if _shares_a_node(item):
            item.add_marker(pytest.mark.node)
        if item.get_closest_marker("node") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(NODE_SECONDS))
    # A machine has one node at a time: tests with one of their own are through before the shared one is started.
    items.sort(key=_shares_a_node)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """What cannot be had on this machine skips the tests that need it, with the reason."""
    try:
        yield
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """The same for what a test itself asks for."""
    try:
        yield
    except Unavailable as reason:
        pytest.skip(str(reason))


def _has_a_node(item: pytest.Item) -> bool:
    return item.get_closest_marker("node") is not None or _shares_a_node(item)


def _shares_a_node(item: pytest.Item) -> bool:
    return "shared_cluster" in getattr(item, "fixturenames", ())
