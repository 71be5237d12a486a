"""Calls: what they give, which functions of the project they run, and what they give to parameters."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from typing import Final

from unstale.tools.audit.code.asking import Asks
from unstale.tools.audit.code.decorators import is_class_method, is_static
from unstale.tools.audit.code.kinds import (
    Class,
    Client,
    External,
    Family,
    Function,
    Instance,
    Kind,
    Method,
    Object,
    Package,
    Plain,
    client_of_call,
    client_of_method,
)
from unstale.tools.audit.code.scopes import Parameter, Scope

MOST_CALLS: Final = 200
"""A name that is called more often in a project tells nothing of its parameters."""
MOST_METHODS: Final = 12
"""A method of which a project has more says nothing by its name."""
PASSES_ON: Final = frozenset({
    "functools.partial", "asgiref.sync.sync_to_async", "asgiref.sync.async_to_sync", "functools.wraps",
    "channels.db.database_sync_to_async", "copy.copy", "copy.deepcopy", "weakref.proxy", "weakref.ref",
})  # fmt: skip
LAZY: Final = frozenset({
    "django.utils.functional.SimpleLazyObject", "django.utils.functional.lazy", "werkzeug.local.LocalProxy", "next",
    "anext", "asyncio.run", "asyncio.wait_for", "fastapi.Depends", "fastapi.params.Depends", "fastapi.Security",
    "dependency_injector.providers.Singleton", "dependency_injector.providers.Factory", "contextlib.closing",
})  # fmt: skip
TASK_CALLS: Final = frozenset(
    {"delay", "apply_async", "s", "si", "apply", "send", "enqueue", "defer", "kiq", "__wrapped__"}
)
COMMON: Final = frozenset(name for each in (dict, list, set, str, bytes, object, int, tuple) for name in dir(each)) | {
    "set", "delete", "save", "run", "execute", "filter", "all", "create", "send", "close", "open", "read", "write",
    "first", "last", "exists", "start", "stop", "handle", "process", "call", "apply", "load", "dump", "query", "post",
    "put", "patch", "main", "list", "retrieve", "destroy", "ready", "connect", "scan", "flush",
}  # fmt: skip
"""Names of methods that anything may have."""


class Calling:
    """Asks a project."""

    def __init__(self, asks: Asks) -> None:
        """Take the whole."""
        self._asks = asks
        self._of_one_family: dict[str, list[Scope]] = {}

    def call(self, call: ast.Call, scope: Scope) -> Iterator[Kind]:
        """What a call gives."""
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        if name == "super":
            owner = _class_around(scope)
            if owner is not None:
                yield Object(owner, above=True)
            return
        if name == "getattr" and len(call.args) > 1:
            if isinstance(call.args[1], ast.Constant) and isinstance(call.args[1].value, str):
                yield from self._asks.attribute(self._asks.kinds(call.args[0], scope), call.args[1].value)
            for default in call.args[2:]:
                yield from self._asks.kinds(default, scope)
            return
        for kind in self._asks.kinds(call.func, scope):
            yield from self._called(kind, call, scope)

    def _called(self, kind: Kind, call: ast.Call, scope: Scope) -> Iterator[Kind]:
        match kind:
            case External(name=name):
                yield from self._called_external(name, call, scope)
            case Class(scope=owner):
                yield Object(owner)
                for base in self._asks.externals_of(owner):
                    if client := client_of_call(base.name):
                        yield client
            case Function(scope=function):
                yield from self._asks.results(function)
            case Object():
                yield from self._asks.results_of(self._asks.attribute(frozenset({kind}), "__call__"))
            case Method(client=client, name=name):
                given = client_of_method(client, name)
                if given is not None:
                    yield given
            case Client(family=family) if family in {Family.FLASK, Family.AIOCACHE, Family.REDIS}:
                yield kind  # a class under another name
            case _:
                return

    def _called_external(self, name: str, call: ast.Call, scope: Scope) -> Iterator[Kind]:
        last = name.rpartition(".")[2]
        if name == "importlib.import_module":
            yield from self._imported_by_name(call, scope)
        elif name in PASSES_ON or (last == "partial" and call.args):
            for arg in call.args[:1]:
                yield from self._asks.kinds(arg, scope)
        elif name in LAZY:
            for arg in call.args[:1]:
                yield from self._asks.results_of(self._asks.kinds(arg, scope)) or self._asks.kinds(arg, scope)
        elif last == "cast" and len(call.args) > 1:
            yield from self._asks.annotation(call.args[0], scope)
            yield from self._asks.kinds(call.args[1], scope)
        elif client := client_of_call(name):
            yield client
        elif name in {"dict", "list", "set", "tuple", "str", "int", "bytes", "float", "frozenset"}:
            yield Plain(name)
        elif name.rpartition(".")[2] in {"OrderedDict", "defaultdict", "Counter", "deque", "WeakValueDictionary"}:
            yield Plain("dict")
        else:
            yield Instance(name)

    def _imported_by_name(self, call: ast.Call, scope: Scope) -> Iterator[Kind]:
        """The module of the project that `import_module("shop.cache")` gives."""
        match call.args:
            case [ast.Constant(value=str() as name)]:
                module = self._asks.project.module(name, scope.module)
                yield Package(module) if module is not None else External(name)
            case _:
                return

    def given(self, function: Scope) -> Iterator[Kind]:
        """What a function returns or yields; what its annotation says, where that cannot be found."""
        found: set[Kind] = set()
        for expr in (*function.returns, *function.yields):
            found |= self._asks.kinds(expr, function)
        node = function.node
        if (
            not any(isinstance(kind, (Client, Object)) for kind in found)
            and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            and node.returns is not None
        ):
            annotated = self._asks.annotation(node.returns, function.parent or function)
            owner = function.owner
            if owner is not None and isinstance(node.returns, ast.Name) and node.returns.id == "Self":
                annotated = frozenset({Object(owner)})
            found |= annotated
        yield from found

    def targets(self, call: ast.Call, scope: Scope) -> list[Scope]:
        """The project's functions that a call runs, as far as that can be found out."""
        found: list[Scope] = []
        for kind in self._asks.kinds(call.func, scope):
            match kind:
                case Function(scope=function):
                    found.append(function)
                case Class(scope=owner):
                    for name in ("__init__", "__post_init__"):
                        found += [
                            each.scope
                            for each in self._asks.attribute(frozenset({Class(owner)}), name)
                            if isinstance(each, Function)
                        ]
                case Object():
                    found += [
                        each.scope
                        for each in self._asks.attribute(frozenset({kind}), "__call__")
                        if isinstance(each, Function)
                    ]
                case _:
                    pass
        return found

    def likely(self, call: ast.Call, scope: Scope) -> list[Scope]:
        """The project's functions that a call runs; where nothing is known of the receiver, those of its method's name.

        Only if all methods of that name are of one family of classes, and nothing of Python's own has one.
        """
        found = self.targets(call, scope)
        if (
            found
            or not isinstance(call.func, ast.Attribute)
            or call.func.attr in COMMON
            or self._asks.kinds(call.func.value, scope)
        ):
            return found
        return self._methods(call.func.attr)

    def _methods(self, name: str) -> list[Scope]:
        """All methods of a name, if they are of one family of classes."""
        if name not in self._of_one_family:
            methods = [each for each in self._asks.project.functions.get(name, ()) if each.owner is not None]
            owners = (
                {each.owner for each in methods if each.owner is not None} if len(methods) <= MOST_METHODS else set()
            )
            is_one = any(all(one in self._asks.classes_of(each) for each in owners) for one in owners)
            self._of_one_family[name] = methods if is_one else []
        return self._of_one_family[name]

    def arguments(self, parameter: Parameter) -> Iterator[tuple[ast.expr, Scope]]:
        """What the project's calls give for a parameter."""
        function = parameter.scope
        for call, where in self.calls_of(function):
            yield from (
                (expr, where) for expr in [argument_of(call, parameter, self.shift(call, where, function))] if expr
            )

    def shift(self, call: ast.Call, where: Scope, function: Scope) -> int:
        """How many parameters are given already: `self`."""
        if function.owner is None or is_static(function):
            return 0
        if function.name in {"__init__", "__call__"}:
            return 1
        if isinstance(call.func, ast.Attribute):
            kinds = self._asks.kinds(call.func.value, where)
            is_class = any(isinstance(kind, Class) for kind in kinds) and not is_class_method(function)
            return 0 if is_class else 1
        return 1

    def calls_of(self, function: Scope) -> Iterator[tuple[ast.Call, Scope]]:
        """The project's calls that run a function."""
        names = {function.name}
        if function.name in {"__init__", "__call__"} and function.owner is not None:
            names = {
                function.owner.name,
                function.name,
                "cls",
                *(each.name for each in self._asks.subclasses_of(function.owner)),
            }
        for name in sorted(set().union(*map(self._asks.project.names_of, names))):
            calls = self._asks.project.calls.get(name, ())
            if len(calls) <= MOST_CALLS:
                yield from ((call, where) for call, where in calls if function in self.targets(call, where))

    def parameter(self, parameter: Parameter) -> Iterator[Kind]:
        """What a parameter may be: by its annotation and default, else by what the project's calls give."""
        scope = parameter.scope
        owner = scope.owner
        if owner is not None and parameter.position == 0 and not is_static(scope):
            yield Class(owner) if is_class_method(scope) else Object(owner)
            return
        if parameter.many:
            return
        found: set[Kind] = set()
        around = scope.parent or scope
        if parameter.annotation is not None:
            found |= self._asks.annotation(parameter.annotation, around)
        if parameter.default is not None:
            found |= {
                kind for kind in self._asks.kinds(parameter.default, around) if kind != Instance("fastapi.Depends")
            }
        if not any(isinstance(kind, (Client, Object, Plain)) for kind in found):
            for expr, where in self.arguments(parameter):
                found |= self._asks.kinds(expr, where)
        yield from found


def argument_of(call: ast.Call, parameter: Parameter, shift: int = 0) -> ast.expr | None:
    """What a call gives for a parameter; None if it gives nothing, or not in a way that can be told."""
    for keyword in call.keywords:
        if keyword.arg == parameter.name:
            return keyword.value
    if parameter.position is None:
        return None
    at = parameter.position - shift
    before = call.args[: at + 1]
    if at < 0 or at >= len(call.args) or any(isinstance(each, ast.Starred) for each in before):
        return None
    return call.args[at]


def arguments_for(call: ast.Call, function: Scope, names: Collection[str], shift: int = 0) -> list[ast.expr]:
    """All that a call gives for some parameters of a function, what it gives by `*` and `**` among it.

    Args:
        call: of the function.
        function: whose parameters.
        names: which of them.
        shift: how many parameters are given already: `self`.
    """
    found: list[ast.expr] = []
    by_position = [each for each in function.parameters if each.position is not None]
    named = {each.name for each in function.parameters if not each.many}
    several = {each.many for each in function.parameters if each.many and each.name in names}
    for at, given in enumerate(call.args, shift):
        if isinstance(given, ast.Starred):
            found += [given] if "*" in several or any(each.name in names for each in by_position[at:]) else []
        elif at < len(by_position):
            found += [given] if by_position[at].name in names else []
        elif "*" in several:
            found.append(given)
    for keyword in call.keywords:
        if keyword.arg is None:
            found += [keyword.value] if names else []
        elif keyword.arg in names or (keyword.arg not in named and "**" in several):
            found.append(keyword.value)
    return found


def _class_around(scope: Scope) -> Scope | None:
    around: Scope | None = scope
    while around is not None and not around.is_class:
        around = around.parent
    return around
