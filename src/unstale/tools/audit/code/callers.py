"""Who calls a function of the project, to any depth.

A call belongs to a function if its callee resolves to it; where nothing is known of the receiver, if all methods of
that name in the project are of one family of classes, and nothing of Python's own has one. A function within a function
belongs to the outer one: calling a decorator is calling what it wraps.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from unstale.tools.audit.code.calling import TASK_CALLS
from unstale.tools.audit.code.inferring import Inference
from unstale.tools.audit.code.kinds import Function, Object
from unstale.tools.audit.code.project import called_name
from unstale.tools.audit.code.scopes import Scope


class Site(NamedTuple):
    """A call, and where it stands."""

    call: ast.Call
    scope: Scope


class Callers:
    """Asks a project."""

    def __init__(self, inference: Inference) -> None:
        """Take the project."""
        self._inference = inference
        self._known: dict[Scope, list[Site]] = {}

    def direct(self, function: Scope) -> list[Site]:
        """The calls of a function."""
        if function not in self._known:
            self._known[function] = list(self._direct(function))
        return self._known[function]

    def _direct(self, function: Scope) -> Iterator[Site]:
        names = {function.name}
        if function.owner is not None and function.name in {
            "__init__",
            "__call__",
            "__enter__",
            "__aenter__",
            "__exit__",
            "__aexit__",
        }:
            names |= {function.owner.name, *(each.name for each in self._inference.subclasses_of(function.owner))}
        seen: set[ast.Call] = set()
        every = set().union(*map(self._inference.project.names_of, names))
        for name in (*sorted(every), *TASK_CALLS, "partial"):
            for call, scope in self._inference.project.calls.get(name, ()):
                if call not in seen and self._is_of(call, scope, function):
                    seen.add(call)
                    yield Site(call, scope)

    def _is_of(self, call: ast.Call, scope: Scope, function: Scope) -> bool:
        targets = self._inference.targets(call, scope)
        if called_name(call) == "partial" and not targets:
            targets = [
                kind.scope
                for arg in call.args[:1]
                for kind in self._inference.kinds(arg, scope)
                if isinstance(kind, Function)
            ]
        if function.name == "__call__" and self._decorates(call, scope, function):
            return True
        return function in (targets or self._inference.likely(call, scope))

    def _decorates(self, call: ast.Call, scope: Scope, function: Scope) -> bool:
        """Whether a call makes an object that is then called as a decorator: `@Forgets("rows")`."""
        around = scope.module.parents.get(call)
        if not isinstance(around, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            return False
        return call in around.decorator_list and any(
            isinstance(kind, Object) and function.owner in self._inference.classes_of(kind.scope)
            for kind in self._inference.kinds(call, scope)
        )

    def all(self, function: Scope) -> list[Site]:
        """The calls of a function, of the functions in which these stand, and so on: each once, the nearest first."""
        found: list[Site] = []
        seen: set[Scope] = set()
        waiting = [function, *([function.outermost] if function.outermost is not function else [])]
        while waiting:
            each = waiting.pop(0)
            if each in seen:
                continue
            seen.add(each)
            for site in self.direct(each):
                if site not in found:
                    found.append(site)
                if site.scope.is_function:
                    waiting += [site.scope, site.scope.outermost]
        return found
