"""Every place at which a gateway may die between two steps, found in the code itself.

The chosen modules are rewritten as they are imported: each `await`, each step of an `async for`, each entry and exit of
an `async with` has a named point before and after it. Names come from the code, such as
`uploads.append:write:writing.settle#2:before`, so that a new one cannot be forgotten. In a process in which `arm` was
called, reaching a point within a request kills the process, or notes that it was reached.
"""

from __future__ import annotations

import ast
import functools
import importlib.abc
import importlib.machinery
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Any, Generic, TypeVar

from tests.failure.fleet.modules import MODULES, PACKAGES

T = TypeVar("T")

PACKAGE = "tusfleet"

DIE_AT, FREEZE_AT, TRACE = "TUSFLEET_TEST_DIE_AT", "TUSFLEET_TEST_FREEZE_AT", "TUSFLEET_TEST_TRACE"
"""Variables: `POINT@K` kills or freezes the process when it comes to the point for the K-th time; a file that gets the
name of every point that is reached."""

_BEFORE, _AFTER, _STEPS, _MANAGED = "__point_before__", "__point_after__", "__point_steps__", "__point_managed__"

IN_REQUEST: ContextVar[bool] = ContextVar("IN_REQUEST", default=False)
"""Whether this is part of a request of a client: what goes on beside them all comes to its points again and again."""


class _Reached:
    """What this process does at a point."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.fatal = ("", 0)
        self.signal = signal.SIGKILL
        self.trace: int | None = None

    def __call__(self, name: str) -> None:
        if not IN_REQUEST.get():
            return
        if self.trace is not None:
            os.write(self.trace, f"{name}\n".encode())
        if name == self.fatal[0]:
            self.seen[name] += 1
            if self.seen[name] == self.fatal[1]:
                os.kill(os.getpid(), self.signal)


_reached = _Reached()


def arm(environment: dict[str, str]) -> None:
    """Have this process die or freeze, or tell where it comes by, as the variables say."""
    for variable, number in ((DIE_AT, signal.SIGKILL), (FREEZE_AT, signal.SIGSTOP)):
        if spec := environment.get(variable):
            name, _, count = spec.rpartition("@")
            _reached.fatal, _reached.signal = (name, int(count)), number
    if path := environment.get(TRACE):
        _reached.trace = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def before(name: str, awaitable: Awaitable[T]) -> Awaitable[T]:
    """Stands around what is awaited."""
    _reached(f"{name}:before")
    return awaitable


def after(name: str, result: T) -> T:
    """Stands around an await."""
    _reached(f"{name}:after")
    return result


class Steps(Generic[T]):
    """Stands around what is iterated."""

    def __init__(self, name: str, steps: AsyncIterable[T]) -> None:
        self._name = name
        self._steps = aiter(steps)

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        _reached(f"{self._name}:before")
        value = await anext(self._steps)
        _reached(f"{self._name}:after")
        return value


class Managed(Generic[T]):
    """Stands around a context."""

    def __init__(self, name: str, manager: AbstractAsyncContextManager[T]) -> None:
        self._name = name
        self._manager = manager

    async def __aenter__(self) -> T:
        _reached(f"{self._name}:enter:before")
        value = await self._manager.__aenter__()
        _reached(f"{self._name}:enter:after")
        return value

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> bool | None:
        _reached(f"{self._name}:exit:before")
        handled = await self._manager.__aexit__(kind, error, at)
        _reached(f"{self._name}:exit:after")
        return handled


_GLOBALS: dict[str, Any] = {_BEFORE: before, _AFTER: after, _STEPS: Steps, _MANAGED: Managed}


class _Pointing(ast.NodeTransformer):
    """Puts the points into a module, and lists them."""

    def __init__(self, module: str) -> None:
        self._scope = [module]
        self._counts: Counter[str] = Counter()
        self.points: list[str] = []

    def _inside(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> ast.AST:
        self._scope.append(node.name)
        self.generic_visit(node)
        self._scope.pop()
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _inside

    def visit_Await(self, node: ast.Await) -> ast.AST:
        name = self._name(node.value, ":before", ":after")
        self.generic_visit(node)
        node.value = _call(_BEFORE, name, node.value)
        return ast.copy_location(_call(_AFTER, name, node), node)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AST:
        name = self._name(node.iter, ":before", ":after")
        self.generic_visit(node)
        node.iter = _call(_STEPS, name, node.iter)
        return node

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        name = self._name(node.iter, ":before", ":after") if node.is_async else ""
        self.generic_visit(node)
        if name:
            node.iter = _call(_STEPS, name, node.iter)
        return node

    def visit_AsyncWith(self, node: ast.AsyncWith) -> ast.AST:
        names = [
            self._name(item.context_expr, ":enter:before", ":enter:after", ":exit:before", ":exit:after")
            for item in node.items
        ]
        self.generic_visit(node)
        for name, item in zip(names, node.items, strict=True):
            item.context_expr = _call(_MANAGED, name, item.context_expr)
        return node

    def _name(self, node: ast.expr, *kinds: str) -> str:
        called = node.func if isinstance(node, ast.Call) else node
        scope = f"{self._scope[0]}:{'.'.join(self._scope[1:])}"
        name = f"{scope}:{ast.unparse(called).replace(' ', '')}"
        self._counts[name] += 1
        if (number := self._counts[name]) > 1:
            name = f"{name}#{number}"
        self.points += [name + kind for kind in kinds]
        return name


def _call(function: str, name: str, node: ast.expr) -> ast.Call:
    call = ast.Call(ast.Name(function, ast.Load()), [ast.Constant(name), node], [])
    return ast.fix_missing_locations(ast.copy_location(call, node))


def _pointed(source: bytes, module: str) -> tuple[ast.Module, list[str]]:
    pointing = _Pointing(module)
    tree = pointing.visit(ast.parse(source))
    return tree, pointing.points


def listed(modules: Sequence[str] = MODULES) -> list[str]:
    """Every point of the modules, in the order of the code."""
    return [point for module in modules for point in _points_of(module)]


def waiting() -> set[str]:
    """Every module of the packages that has a point, found in their folders."""
    root = _origin("").parent
    names = {
        ".".join(path.relative_to(root).with_suffix("").parts)
        for package in PACKAGES
        for path in (root / package).rglob("*.py")
        if path.name != "__init__.py"
    }
    return {name for name in names if _points_of(name)}


@functools.cache
def _points_of(module: str) -> list[str]:
    return _pointed(_origin(module).read_bytes(), module)[1]


def _origin(module: str) -> Path:
    """The file of a module below the package; of the package itself for none."""
    spec = find_spec(f"{PACKAGE}.{module}".rstrip("."))
    assert spec is not None, f"there is no module {module}; say in MODULES what it is now"
    assert spec.origin is not None
    return Path(spec.origin)


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module with points in it, past every cache of compiled code."""

    def path_stats(self, path: Any) -> Any:
        raise OSError(f"{path} is compiled anew")

    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> CodeType:  # type: ignore[override]
        tree, _ = _pointed(bytes(data), self.name.removeprefix(f"{PACKAGE}."))
        code: CodeType = compile(tree, path, "exec", dont_inherit=True, optimize=_optimize)
        return code

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__.update(_GLOBALS)
        super().exec_module(module)


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.removeprefix(f"{PACKAGE}.") not in MODULES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(fullname, spec.origin)
        return spec


def install() -> None:
    """Give the modules their points; none of them may have been imported."""
    early = [module for module in MODULES if f"{PACKAGE}.{module}" in sys.modules]
    assert not early, f"imported too early to have points: {early}"
    sys.meta_path.insert(0, _Finder())
