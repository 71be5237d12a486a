"""What the parts of inference may ask of the whole: a protocol, so that none imports another."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from unstale.tools.audit.code.kinds import External, Kind, Kinds
from unstale.tools.audit.code.project import Project
from unstale.tools.audit.code.scopes import Binding, Scope


class Asks(Protocol):
    """`inferring.Inference`."""

    project: Project

    def once(self, key: tuple[object, object], ask: Callable[[], Kinds]) -> Kinds:
        """The answer to a question, asked once; NOTHING where it leads back to itself."""
        ...

    def kinds(self, expr: ast.expr, scope: Scope) -> Kinds:
        """What an expression may be."""
        ...

    def named(self, name: str, scope: Scope) -> Kinds:
        """What a name may be where it stands."""
        ...

    def home(self, name: str, scope: Scope) -> tuple[Scope | None, list[Binding]]:
        """The scope that a name belongs to, and what is bound to it there."""
        ...

    def bound(self, bindings: Iterable[Binding], home: Scope) -> Iterator[Kind]:
        """What is bound."""
        ...

    def annotation(self, expr: ast.expr, scope: Scope) -> Kinds:
        """What a value with this annotation may be."""
        ...

    def attribute(self, owners: Kinds, name: str) -> Kinds:
        """What an attribute may be."""
        ...

    def results(self, function: Scope) -> Kinds:
        """What a function returns or yields."""
        ...

    def results_of(self, kinds: Kinds) -> Kinds:
        """What calling these gives."""
        ...

    def classes_of(self, owner: Scope) -> list[Scope]:
        """A class and those that it inherits from, the nearest first."""
        ...

    def externals_of(self, owner: Scope) -> list[External]:
        """What a class inherits from libraries."""
        ...

    def subclasses_of(self, owner: Scope) -> list[Scope]:
        """All classes that inherit from one."""
        ...
