"""The project's classes: what they inherit, what their members are, which other classes inherit from them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from unstale.tools.audit.code.asking import Asks
from unstale.tools.audit.code.decorators import is_property
from unstale.tools.audit.code.kinds import (
    NOTHING,
    Class,
    Client,
    External,
    Function,
    Kind,
    Kinds,
    Method,
    Object,
    Plain,
    client_of_attribute,
    client_of_call,
)
from unstale.tools.audit.code.project import called_name, method_of
from unstale.tools.audit.code.scopes import Scope


class Classes:
    """Asks a project."""

    def __init__(self, asks: Asks) -> None:
        """Take the whole."""
        self._asks = asks
        self._bases: dict[Scope, tuple[tuple[Scope, ...], tuple[External, ...]]] = {}
        self._below: dict[Scope, list[Scope]] | None = None

    def bases_of(self, owner: Scope) -> tuple[tuple[Scope, ...], tuple[External, ...]]:
        """The bases of a class: of the project, and of libraries."""
        if owner not in self._bases:
            self._bases[owner] = ((), ())  # while it is asked
            own: list[Scope] = []
            others: list[External] = []
            for base in owner.node.bases if isinstance(owner.node, ast.ClassDef) else ():
                expr = base.value if isinstance(base, ast.Subscript) else base
                for kind in self._asks.kinds(expr, owner.parent or owner):
                    if isinstance(kind, Class):
                        own.append(kind.scope)
                    elif isinstance(kind, External):
                        others.append(kind)
            self._bases[owner] = (tuple(own), tuple(others))
        return self._bases[owner]

    def classes_of(self, owner: Scope) -> list[Scope]:
        """A class and those that it inherits from, the nearest first."""
        found: list[Scope] = []
        waiting = [owner]
        while waiting:
            each = waiting.pop(0)
            if each not in found:
                found.append(each)
                waiting += self.bases_of(each)[0]
        return found

    def externals_of(self, owner: Scope) -> list[External]:
        """What a class inherits from libraries."""
        return [base for each in self.classes_of(owner) for base in self.bases_of(each)[1]]

    def subclasses_of(self, owner: Scope) -> list[Scope]:
        """All classes that inherit from one."""
        if self._below is None:
            self._below = {}
            for scope in self._asks.project.scopes:
                if scope.is_class:
                    for base in self.bases_of(scope)[0]:
                        self._below.setdefault(base, []).append(scope)
        found: list[Scope] = []
        waiting = list(self._below.get(owner, ()))
        while waiting:
            each = waiting.pop()
            if each not in found:
                found.append(each)
                waiting += self._below.get(each, ())
        return found

    def member(self, owner: Scope, name: str, *, above: bool, bound: bool) -> Iterator[Kind]:
        """What an object or class of the project has under a name; `above` for its bases only."""
        classes = self.classes_of(owner)[1:] if above else self.classes_of(owner)
        found = self._in_classes(classes, name, bound=bound)
        if not above:
            for each in self.subclasses_of(owner):
                found |= self._in_classes([each] if found else self.classes_of(each), name, bound=bound)
        if not above and self._is_protocol(owner):
            for each in self._implementing(owner):
                found |= self._in_classes([each], name, bound=bound)
        if not found:
            for base in self.externals_of(owner):
                if base.name.endswith(".locmem.LocMemCache") and name == "_cache":
                    found |= {Plain("dict")}
                elif client := client_of_call(base.name):
                    found |= {client_of_attribute(client, name) or Method(client, name)}
        if not found and bound:
            found |= self._delegated(classes, name)
        yield from found

    def _is_protocol(self, owner: Scope) -> bool:
        return any(base.name.rpartition(".")[2] == "Protocol" for base in self.externals_of(owner))

    def _implementing(self, protocol: Scope) -> list[Scope]:
        """The classes that have all methods of a protocol, without saying so."""
        wanted = {each.name for each in protocol.children if each.is_function and not each.name.startswith("__")}
        if not wanted:
            return []
        found = [each.owner for each in self._asks.project.functions.get(min(wanted), ()) if each.owner is not None]
        return [each for each in found if each is not protocol and wanted <= {one.name for one in each.children}]

    def _in_classes(self, classes: Iterable[Scope], name: str, *, bound: bool) -> set[Kind]:
        """What the first of the classes has under a name; what is set on `self` by any of them."""
        found: set[Kind] = set()
        for each in classes:
            for kind in self._asks.bound(each.bindings.get(name, ()), each):
                if isinstance(kind, Function):
                    found |= (
                        self._asks.results(kind.scope) if is_property(kind.scope) else {Function(kind.scope, bound)}
                    )
                else:
                    found.add(kind)
            found |= set(self._asks.bound(self._asks.project.attributes_of(each).get(name, ()), each))
            if found:
                break
        return found

    def _delegated(self, classes: Iterable[Scope], name: str) -> Kinds:
        """By `__getattr__`, to what it names of `self`."""
        for each in classes:
            method = method_of(each, "__getattr__")
            if method is None or name.startswith("__"):
                continue
            targets: set[Kind] = set()
            for call in method.calls:
                if called_name(call) == "getattr" and call.args:
                    targets |= {
                        kind for kind in self._asks.kinds(call.args[0], method) if isinstance(kind, (Client, Object))
                    }
            return self._asks.attribute(frozenset(targets), name) if targets else NOTHING
        return NOTHING
