"""Imports point down (the layers of the design), and the core stays pure."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "unstale"
LAYERS = [
    ["errors", "events"],
    ["core"],
    ["stores"],
    ["cached", "draw", "facade", "flights", "options", "outbox", "templates", "verifiers"],
    ["cache", "aio", "local", "runners"],
    ["testing", "tools", "contrib"],
    ["__main__"],
]
IMPURE = {"asyncio", "datetime.datetime", "logging", "os", "random", "redis", "socket", "threading", "time", "uuid"}
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, at any depth in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{name.name}" for name in node.names}
            found |= names if names <= NAMES else {node.module, *names}  # of a package's modules, not of what it names
    return found


def name_of(path: Path) -> str:
    """A module's name."""
    return f"unstale.{'.'.join(path.relative_to(SOURCE).with_suffix('').parts)}".removesuffix(".__init__")


NAMES = {name_of(path) for path in MODULES}


def layer_of(part: str) -> int:
    """The layer that a top-level part of the package belongs to."""
    return next(number for number, parts in enumerate(LAYERS) if part in parts)


def part_of(path: Path) -> str:
    """A file's top-level part, such as core, stores or cache."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_down(path: Path) -> None:
    """No module imports from a layer above its own."""
    own = layer_of(part_of(path))
    others = {name.split(".")[1] for name in imports_of(path) if name.startswith("unstale.")}
    assert {other for other in others if layer_of(other) > own} == set()


@pytest.mark.parametrize("path", sorted((SOURCE / "core").glob("*.py")), ids=lambda path: path.name)
def test_core_is_pure(path: Path) -> None:
    """The core imports no clock, no socket, no log, no randomness, no settings."""
    assert imports_of(path) & IMPURE == set()


def test_core_has_no_import_cycle() -> None:
    """Within the package, imports form no cycle."""
    graph = {name_of(path): imports_of(path) & NAMES - {name_of(path)} for path in MODULES}
    while free := [name for name, needs in graph.items() if not needs & set(graph)]:
        for name in free:
            del graph[name]
    assert graph == {}
