"""The modules of a project together: what an import means, what a class inherits, which calls there are.

A module is found by the end of its path, so that it does not matter from which folder the project is run; a library's
name never means a module of the project.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from unstale.tools.audit.code.kinds import LIBRARIES, OFTEN_OWN
from unstale.tools.audit.code.scopes import Annotated, Binding, Defined, Imported, Module, Scope, Value


class Project:
    """All modules that are audited.

    Attributes:
        modules: in the order of their paths.
        calls: for each simple name that is called, `f` of `f()` and `a.f()`, the calls.
        functions: for each simple name the functions of that name.
        attributes: for each attribute that is set on something other than `self`, what is set.
        other_names: for each name those that imports and assignments give it: `import drop as bust`, `forget = drop`.
    """

    def __init__(self, modules: Iterable[Module]) -> None:
        """Take the modules."""
        self.modules: Sequence[Module] = sorted(modules, key=lambda module: module.path)
        self.calls: dict[str, list[tuple[ast.Call, Scope]]] = defaultdict(list)
        self.functions: dict[str, list[Scope]] = defaultdict(list)
        self.attributes: dict[str, list[Value | Annotated]] = defaultdict(list)
        self.other_names: dict[str, set[str]] = defaultdict(set)
        self._by_end: dict[str, list[Module]] = defaultdict(list)
        self._of_class: dict[Scope, dict[str, list[Value | Annotated]]] = {}
        for module in self.modules:
            self._by_end[module.name.rpartition(".")[2]].append(module)
            for scope in module.scopes.values():
                self._add(scope)

    def _add(self, scope: Scope) -> None:
        for call in scope.calls:
            if name := called_name(call):
                self.calls[name].append((call, scope))
        if scope.is_function:
            self.functions[scope.name].append(scope)
        for name, bindings in scope.bindings.items():
            for binding in bindings:
                if (other := _renamed(binding)) and other != name:
                    self.other_names[other].add(name)
        for target, value in scope.attributes:
            if not (isinstance(target.value, ast.Name) and target.value.id in {"self", "cls"}):
                self.attributes[target.attr].append(value)

    def names_of(self, name: str) -> set[str]:
        """A name and the others that lead to it."""
        found: set[str] = set()
        waiting = [name]
        while waiting:
            each = waiting.pop()
            if each not in found:
                found.add(each)
                waiting += self.other_names.get(each, ())
        return found

    @property
    def scopes(self) -> Iterator[Scope]:
        """Every scope of every module."""
        for module in self.modules:
            yield from module.scopes.values()

    def imported(self, binding: Imported, by: Module) -> tuple[Module | None, str]:
        """What an import means.

        Returns:
            The module of the project, and the name in it that remains ("" for the module itself); or None and the
            dotted name of a library.
        """
        name = binding.module
        if binding.level:
            package = by.package.split(".") if by.package else []
            base = package[: len(package) - (binding.level - 1)] if binding.level > 1 else package
            name = ".".join([*base, *([name] if name else [])])
        if binding.name is not None:
            if sub := self.module(f"{name}.{binding.name}" if name else binding.name, by, exact=bool(binding.level)):
                found = self.module(name, by, exact=bool(binding.level)) if name else None
                if found is None or binding.name not in found.scope.bindings:
                    return sub, ""
            if found := self.module(name, by, exact=bool(binding.level)):
                return found, binding.name
            return None, f"{name}.{binding.name}" if name else binding.name
        if found := self.module(name, by):
            return found, ""
        return None, name

    def module(self, name: str, by: Module, *, exact: bool = False) -> Module | None:
        """A module of the project by the name under which another one imports it; None for a library's."""
        if not exact and self._is_library(name, by):
            return None
        end = name.rpartition(".")[2]
        found = [
            each
            for each in self._by_end.get(end, ())
            if each.name == name or (not exact and each.name.endswith(f".{name}"))
        ]
        if not found:
            return None
        if "." not in name and not exact:
            parts = by.package.split(".") if by.package else []
            near = {".".join(parts[:count]) for count in range(len(parts) + 1)}
            found = [each for each in found if each.is_package or each.name.rpartition(".")[0] in near] or []
        return max(found, key=lambda each: _shared(each.name, by.name), default=None)

    def module_of_chain(self, name: str) -> Module | None:
        """The module that `import a.b.c` makes reachable as `a.b.c`, where the project has one of that path only."""
        root = name.partition(".")[0]
        if root in LIBRARIES or root in sys.stdlib_module_names:
            return None
        found = [each for each in self._by_end.get(name.rpartition(".")[2], ()) if f".{each.name}".endswith(f".{name}")]
        return found[0] if len(found) == 1 else None

    def _is_library(self, name: str, by: Module) -> bool:
        """Whether a name is a library's, and not the project's own, nor that library's source itself."""
        root = name.partition(".")[0]
        if root not in LIBRARIES or f"{by.name}.".removeprefix("src.").startswith(f"{root}."):
            return False
        return not (root in OFTEN_OWN and self._by_end.get(name.rpartition(".")[2]))

    def attributes_of(self, owner: Scope) -> dict[str, list[Value | Annotated]]:
        """What the methods of one class set on `self`, without its bases."""
        if owner not in self._of_class:
            found: dict[str, list[Value | Annotated]] = defaultdict(list)
            for method in _within(owner):
                for target, value in method.attributes:
                    if isinstance(target.value, ast.Name) and target.value.id in {"self", "cls", owner.name}:
                        found[target.attr].append(value)
            self._of_class[owner] = found
        return self._of_class[owner]


def _renamed(binding: Binding) -> str:
    """The name that something had before it was bound to another one; "" for other bindings."""
    match binding:
        case Imported(name=str() as name):
            return name
        case Value(expr=ast.Name(id=name) | ast.Attribute(attr=name), steps=()):
            return name
        case _:
            return ""


def _within(scope: Scope) -> Iterator[Scope]:
    for child in scope.children:
        if not child.is_class:
            yield child
            yield from _within(child)


def called_name(call: ast.Call) -> str:
    """The simple name of what is called; "" for other things than names and attributes."""
    match call.func:
        case ast.Name(id=name):
            return name
        case ast.Attribute(attr=name):
            return name
        case _:
            return ""


def method_of(owner: Scope, name: str) -> Scope | None:
    """A class's own method."""
    for binding in owner.bindings.get(name, ()):
        if isinstance(binding, Defined) and binding.scope.is_function:
            return binding.scope
    return None


def _shared(one: str, other: str) -> int:
    """How many parts two dotted names begin with."""
    count = 0
    for left, right in zip(one.split("."), other.split("."), strict=False):
        if left != right:
            break
        count += 1
    return count
