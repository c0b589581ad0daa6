"""The checks of `make lint` that are our own."""

from __future__ import annotations

from pathlib import Path

import pytest
from grimp import ImportGraph

from scripts import forbidden_text
from scripts.import_contracts import MayImportOnly


@pytest.mark.parametrize(
    "text",
    [
        "resolved https://registry" + ".npmjs.org/x",
        "--index-url https://pypi" + ".org/simple",
        "open('/wo" + "rk/main/x')",
        "cd /ro" + "ot/.cache",
    ],
)
def test_forbidden_text_is_found(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forbidden_text, "ROOT", tmp_path)
    (tmp_path / "file.txt").write_text(f"harmless\n{text}\n", encoding="utf-8")
    assert [line.split(": ")[0] for line in forbidden_text.findings(tmp_path / "file.txt")] == ["file.txt:2"]


@pytest.mark.parametrize("text", ["/files/work/1", "~/work/x", "http://h/root/x", "$HOME/work/y", "./root/z"])
def test_ordinary_text_is_not(text: str, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text(text, encoding="utf-8")
    assert list(forbidden_text.findings(tmp_path / "file.txt")) == []


def contract(*, allowed: list[str]) -> MayImportOnly:
    session = {"root_packages": ["house"]}
    return MayImportOnly("name", session, {"rooms": ["house.kitchen", "house.unbuilt"], "allowed": allowed})


def graph() -> ImportGraph:
    graph = ImportGraph()
    graph.add_import(importer="house.kitchen.stove", imported="house.kitchen")
    graph.add_import(importer="house.kitchen.stove", imported="house.hall.door")
    graph.add_import(importer="house.kitchen", imported="sqlite3")
    graph.add_import(importer="house.hall", imported="house.cellar")
    return graph


def test_room_that_imports_what_nobody_allowed_breaks_the_contract() -> None:
    check = contract(allowed=["house.hallway"]).check(graph(), verbose=False)
    assert not check.kept
    assert check.metadata["broken"] == [("house.kitchen.stove", "house.hall.door")]


@pytest.mark.parametrize("allowed", ["house.hall", "house.hall.door"])
def test_room_that_imports_what_is_allowed_keeps_it(allowed: str) -> None:
    assert contract(allowed=[allowed]).check(graph(), verbose=False).kept
