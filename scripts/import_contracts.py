"""A contract for import-linter that names what a room may import: whatever is new is refused until allowed.

The contracts that come with import-linter name what is forbidden, where a module of tomorrow is missing.
"""

from __future__ import annotations

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


def is_inside(module: str, package: str) -> bool:
    """Whether `module` is `package` or a part of it."""
    return module == package or module.startswith(f"{package}.")


class MayImportOnly(Contract):
    """Every room of `rooms` imports, of our own code, only itself and `allowed` (modules or packages).

    A room that does not exist yet keeps the contract.
    """

    rooms = fields.ListField(subfield=fields.StringField())
    allowed = fields.ListField(subfield=fields.StringField(), required=False, default=[])

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002  # its interface
        rooms: list[str] = self.rooms  # type: ignore[assignment]  # fields turn into their values
        broken = sorted(
            {
                (importer, imported)
                for room in rooms
                for importer in graph.modules
                if is_inside(importer, room)
                for imported in graph.find_modules_directly_imported_by(importer)
                if self._is_refused(imported, room)
            }
        )
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def _is_refused(self, imported: str, room: str) -> bool:
        ours = is_inside(imported, room.partition(".")[0])
        allowed: list[str] = self.allowed  # type: ignore[assignment]
        return ours and not any(is_inside(imported, package) for package in [room, *allowed])

    def render_broken_contract(self, check: ContractCheck) -> None:
        for importer, imported in check.metadata["broken"]:
            output.print_error(f"{importer} must not import {imported}")
