"""A module's scopes, and what is bound to each name in them. Data only: `indexing` makes it.

Nothing here knows the order of statements: a name is whatever is bound to it anywhere in its scope.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


class Step(Enum):
    """How a name's value is taken out of the expression that is bound to it."""

    ELEMENT = "element"
    """It is what iterating gives."""
    ENTER = "enter"
    """It is what `with` gives."""
    MADE_OF = "made of"
    """It has it in it: `xs.append(value)`, `xs[key] = value`, `x += value`."""


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """An expression that is bound.

    Attributes:
        expr: the expression.
        scope: where it is evaluated.
        steps: what is done to it, in this order; a number is an index.
    """

    expr: ast.expr
    scope: Scope
    steps: tuple[Step | int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Annotated:
    """A name's annotation."""

    expr: ast.expr
    scope: Scope


@dataclass(frozen=True, slots=True, eq=False)
class Imported:
    """An import.

    Attributes:
        module: its dotted name; relative ones are made absolute by `project`.
        name: what is taken from it; None for the module itself.
        level: how many dots it began with.
    """

    module: str
    name: str | None
    level: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Defined:
    """A function or a class."""

    scope: Scope


@dataclass(frozen=True, slots=True, eq=False)
class Parameter:
    """A function's parameter.

    Attributes:
        scope: the function.
        name: its name.
        position: its place among those that can be given by position; None for keyword only, `*args`, `**kwargs`.
        annotation: as it is written.
        default: as it is written.
        many: "*" or "**" if it takes several.
    """

    scope: Scope
    name: str
    position: int | None
    annotation: ast.expr | None
    default: ast.expr | None
    many: str = ""


Binding: TypeAlias = Value | Annotated | Imported | Defined | Parameter


@dataclass(slots=True, eq=False)
class Scope:
    """A module, a class, a function or a lambda.

    Attributes:
        module: where it stands.
        node: what it was made from.
        name: its own, "" for a module, "<lambda>".
        parent: the scope around it.
        bindings: for each name what is bound to it.
        attributes: for each attribute what is bound to it on whatever: `self.x = …`, with the owner's expression.
        calls: the calls that stand here, not in scopes within.
        returns: what is returned.
        yields: what is yielded.
        children: the scopes within.
        stars: modules of `from … import *`.
        elsewhere: names that belong to a scope around it: `global`, `nonlocal`.
        parameters: of a function.
        compares: the comparisons that stand here.
        withs: the `with` statements that stand here.
    """

    module: Module
    node: ast.Module | ast.ClassDef | FunctionNode
    name: str
    parent: Scope | None
    bindings: dict[str, list[Binding]] = field(default_factory=dict)
    attributes: list[tuple[ast.Attribute, Value | Annotated]] = field(default_factory=list)
    calls: list[ast.Call] = field(default_factory=list)
    returns: list[ast.expr] = field(default_factory=list)
    yields: list[ast.expr] = field(default_factory=list)
    children: list[Scope] = field(default_factory=list)
    stars: list[Imported] = field(default_factory=list)
    elsewhere: set[str] = field(default_factory=set)
    parameters: list[Parameter] = field(default_factory=list)
    compares: list[ast.Compare] = field(default_factory=list)
    withs: list[ast.With | ast.AsyncWith] = field(default_factory=list)

    @property
    def is_class(self) -> bool:
        """Whether it is a class's body."""
        return isinstance(self.node, ast.ClassDef)

    @property
    def is_function(self) -> bool:
        """Whether it is a function's or lambda's body."""
        return isinstance(self.node, FunctionNode)

    @property
    def owner(self) -> Scope | None:
        """The class of which this is a method; None for other functions."""
        return self.parent if self.is_function and self.parent is not None and self.parent.is_class else None

    @property
    def decorators(self) -> list[ast.expr]:
        """Of a function or class."""
        return [] if isinstance(self.node, (ast.Module, ast.Lambda)) else self.node.decorator_list

    @property
    def outermost(self) -> Scope:
        """The function in which this one stands, the outermost one: of a decorator's wrapper the decorator."""
        scope = self
        while scope.parent is not None and scope.parent.is_function:
            scope = scope.parent
        return scope

    @property
    def qualified(self) -> str:
        """Its name with those around it."""
        names: list[str] = []
        scope: Scope | None = self
        while scope is not None and scope.parent is not None:
            names.append(scope.name)
            scope = scope.parent
        return ".".join(reversed(names))

    def bind(self, name: str, binding: Binding) -> None:
        """One more thing that a name may be."""
        self.bindings.setdefault(name, []).append(binding)


@dataclass(slots=True, eq=False)
class Module:
    """A file.

    Attributes:
        path: relative to what is audited, with slashes.
        name: dotted, from that path.
        is_package: whether it is an `__init__.py`.
        tree: its syntax.
        scope: its names.
        scopes: every scope in it, of each node that has one.
        dicts: every dict that is written out.
        scripts: every text that is a Lua script for Redis.
    """

    path: str
    name: str
    is_package: bool
    tree: ast.Module
    scopes: dict[ast.AST, Scope] = field(default_factory=dict)
    dicts: list[ast.Dict] = field(default_factory=list)
    scripts: list[tuple[ast.Constant, str]] = field(default_factory=list)
    _parents: dict[ast.AST, ast.AST] | None = None

    @property
    def scope(self) -> Scope:
        """The module's own."""
        return self.scopes[self.tree]

    @property
    def package(self) -> str:
        """What relative imports are relative to."""
        return self.name if self.is_package else self.name.rpartition(".")[0]

    @property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """For each node the one around it. Made when it is first needed."""
        if self._parents is None:
            self._parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}
        return self._parents
