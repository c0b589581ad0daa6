"""The cache of foreign programs: filled once, never half."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.testbed.cache import cache_root, cached


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_many_who_ask_at_once_fill_it_once() -> None:
    fills: list[Path] = []

    def fill(folder: Path) -> None:
        fills.append(folder)
        (folder / "program").touch()

    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(lambda _: cached("tool", "1.0", fill), range(16)))
    assert folders == {cache_root() / "tool-1.0"}
    assert len(fills) == 1
    assert (cache_root() / "tool-1.0" / "program").exists()


def test_failed_fill_leaves_nothing_and_is_tried_again() -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise RuntimeError("connection lost")

    with pytest.raises(RuntimeError, match="connection lost"):
        cached("tool", "1.0", fail)
    folder = cached("tool", "1.0", lambda folder: (folder / "whole").touch())
    assert [path.name for path in folder.iterdir()] == ["whole"]
