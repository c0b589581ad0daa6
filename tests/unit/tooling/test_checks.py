"""The checks of `make lint` that are our own."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from pathlib import Path

import pytest
from grimp import ImportGraph
from importlinter import Contract
from pydantic import BaseModel, Field

from scripts import forbidden_text, settings_docs
from scripts.import_contracts import KnownOnlyTo, MayImportOnly


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


@pytest.mark.parametrize("text", ["/files/work/1", f"~/{'work'}/x", "http://h/root/x", "$HOME/work/y", "./root/z"])
def test_ordinary_text_is_not(text: str, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text(text, encoding="utf-8")
    assert list(forbidden_text.findings(tmp_path / "file.txt")) == []


SESSION = {"root_packages": ["house"]}


def broken(contract: Contract) -> list[tuple[str, str]]:
    graph = ImportGraph()
    graph.add_import(importer="house.kitchen.stove", imported="house.kitchen")
    graph.add_import(importer="house.kitchen.stove", imported="house.hall.door")
    graph.add_import(importer="house.kitchen", imported="sqlite3")
    graph.add_import(importer="house.hall", imported="house.cellar")
    check = contract.check(graph, verbose=False)
    found: list[tuple[str, str]] = check.metadata["broken"]
    assert check.kept == (not found)
    return found


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"allowed": ["house.hallway"]}, [("house.kitchen.stove", "house.hall.door")]),
        ({"allowed": ["house.hall"]}, []),
        ({"allowed": ["house.hall.door"]}, []),
        ({"allowed": ["house.hall"], "refused": ["sqlite3"]}, [("house.kitchen", "sqlite3")]),
    ],
)
def test_room_may_import_only_what_is_allowed(options: dict[str, list[str]], expected: list[tuple[str, str]]) -> None:
    rooms = {"rooms": ["house.kitchen", "house.unbuilt"]}
    assert broken(MayImportOnly("name", SESSION, {**rooms, **options})) == expected


@pytest.mark.parametrize(
    ("importers", "expected"),
    [(["house.kitchen.stove"], []), (["house.kitchen.sink"], [("house.kitchen.stove", "house.hall.door")])],
)
def test_room_is_known_only_to_its_importers(importers: list[str], expected: list[tuple[str, str]]) -> None:
    options = {"rooms": ["house.hall", "house.unbuilt"], "importers": importers}
    assert broken(KnownOnlyTo("name", SESSION, options)) == expected


class Colour(Enum):
    RED = "red"


class Example(BaseModel):
    data_dir: Path = Field(default=Path("data"), description="Where bytes are.")
    wait: timedelta = Field(default=timedelta(minutes=90), description="How long to wait.")
    origins: tuple[str, ...] = Field(default=("*",), description="Who may ask.")
    limit: int | None = Field(default=None, description="Most bytes.")
    strict: bool = Field(default=False, description="Whether to refuse.")
    colour: Colour = Field(default=Colour.RED, description="Colour of the log.")
    token: str = Field(description="Who you are.")


def test_settings_page_gives_every_spelling_and_default() -> None:
    page = settings_docs.page(Example)
    assert "## `data_dir`\n\n`--data-dir` | `TUSFLEET_DATA_DIR` | default: `data`\n\nWhere bytes are." in page
    defaults = [line.rpartition("default: ")[2] for line in page.splitlines() if "default: " in line]
    assert defaults == ["`data`", "`90m`", "`*`", "none", "`false`", "`red`", "none, it must be given"]


def test_setting_that_says_nothing_is_found() -> None:
    class Silent(Example):
        knob: int = 1

    assert settings_docs.undescribed(Silent) == ["knob"]
