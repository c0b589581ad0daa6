"""Contracts for import-linter that name what is allowed: whatever is new is refused until somebody allows it.

The contracts that come with import-linter name what is forbidden, where a module of tomorrow is missing.
A room that does not exist yet keeps every contract.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


def is_inside(module: str, package: str) -> bool:
    """Whether `module` is `package` or a part of it."""
    return module == package or module.startswith(f"{package}.")


def is_inside_any(module: str, packages: Iterable[str]) -> bool:
    """Whether `module` is one of `packages` or a part of one."""
    return any(is_inside(module, package) for package in packages)


def names() -> fields.ListField:
    """A field of a contract that lists modules or packages, one a line; empty when it is left out."""
    return fields.ListField(subfield=fields.StringField(), required=False, default=[])


class DirectImportsContract(Contract):
    """Looks at each direct import once, and lists those that are refused."""

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002  # its interface
        broken = [
            (importer, imported)
            for importer in sorted(graph.modules)
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if self.refuses(importer, imported)
        ]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for importer, imported in check.metadata["broken"]:
            output.print_error(f"{importer} must not import {imported}")

    @abstractmethod
    def refuses(self, importer: str, imported: str) -> bool:
        """Whether `importer` must not import `imported`."""


class MayImportOnly(DirectImportsContract):
    """A room of `rooms` imports of our code only itself and `allowed`, of other code nothing `refused`."""

    rooms = names()
    allowed = names()
    refused = names()

    def refuses(self, importer: str, imported: str) -> bool:
        room = next((room for room in _values(self.rooms) if is_inside(importer, room)), None)
        if room is None:
            return False
        ours = is_inside(imported, room.partition(".")[0])
        if ours:
            return not is_inside_any(imported, [room, *_values(self.allowed)])
        return is_inside_any(imported, _values(self.refused))


class KnownOnlyTo(DirectImportsContract):
    """Nobody but `importers` imports a room of `rooms`; inside of a room everybody may."""

    rooms = names()
    importers = names()

    def refuses(self, importer: str, imported: str) -> bool:
        room = next((room for room in _values(self.rooms) if is_inside(imported, room)), None)
        return room is not None and not is_inside_any(importer, [room, *_values(self.importers)])


def _values(field: object) -> list[str]:
    # import-linter puts the values of a contract where its class has the fields.
    assert isinstance(field, list)
    return field
