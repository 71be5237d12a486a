"""What an expression may be: by imports, assignments, annotations, attributes, parameters and results of the project.

It answers what it is asked, and remembers the answers: only what could be a cache is ever looked at. A question that
leads back to itself adds nothing, so the answer is the least one that agrees with all the code, as a fixed point is.
What cannot be found out is NOTHING, never a guess.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator
from typing import Final

from unstale.tools.audit.code.kinds import (
    NOTHING,
    Class,
    Client,
    External,
    Family,
    Function,
    Instance,
    Kind,
    Kinds,
    Method,
    Object,
    Package,
    Plain,
    client_of_attribute,
    client_of_call,
    client_of_method,
    client_of_object,
)
from unstale.tools.audit.code.project import Project, called_name, method_of
from unstale.tools.audit.code.scopes import (
    Annotated,
    Binding,
    Defined,
    Imported,
    Parameter,
    Scope,
    Step,
    Value,
)

MOST_CALLS: Final = 200
"""A name that is called more often in a project tells nothing of its parameters."""
MOST_STEPS: Final = 20_000
"""Of one question; then what is known so far is the answer."""
MOST_DEEP: Final = 60
"""Questions within one another; each takes some ten frames of Python's stack."""
PASSES_ON: Final = frozenset({
    "functools.partial", "asgiref.sync.sync_to_async", "asgiref.sync.async_to_sync", "functools.wraps",
    "channels.db.database_sync_to_async", "copy.copy", "copy.deepcopy", "weakref.proxy", "weakref.ref",
})  # fmt: skip
LAZY: Final = frozenset({
    "django.utils.functional.SimpleLazyObject", "django.utils.functional.lazy", "werkzeug.local.LocalProxy", "next",
    "anext", "asyncio.run", "asyncio.wait_for", "fastapi.Depends", "fastapi.params.Depends", "fastapi.Security",
    "dependency_injector.providers.Singleton", "dependency_injector.providers.Factory", "contextlib.closing",
})  # fmt: skip
PROPERTIES: Final = frozenset(
    {"property", "cached_property", "classproperty", "lazy_property", "reify", "async_property"}
)
TASK_CALLS: Final = frozenset(
    {"delay", "apply_async", "s", "si", "apply", "send", "enqueue", "defer", "kiq", "__wrapped__"}
)
COMMON: Final = frozenset(name for each in (dict, list, set, str, bytes, object, int, tuple) for name in dir(each)) | {
    "set", "delete", "save", "run", "execute", "filter", "all", "create", "send", "close", "open", "read", "write",
    "first", "last", "exists", "start", "stop", "handle", "process", "call", "apply", "load", "dump", "query", "post",
    "put", "patch", "main", "list", "retrieve", "destroy", "ready", "connect", "scan", "flush",
}  # fmt: skip
"""Names of methods that anything may have."""
_WRAPPING_TYPES: Final = frozenset({
    "Optional", "Union", "Annotated", "ClassVar", "Final", "AsyncGenerator", "Generator", "AsyncIterator", "Iterator",
    "Awaitable", "Type", "type", "InitVar", "Coroutine", "Provide", "Inject",
})  # fmt: skip
_BUILTINS: Final = frozenset(dir(builtins))


class Inference:
    """Asks a project."""

    def __init__(self, project: Project) -> None:
        """Take the project; nothing is looked at yet."""
        self.project = project
        self._known: dict[tuple[object, object], Kinds] = {}
        self._asked: set[tuple[object, object]] = set()
        self._cuts = 0
        self._steps = 0
        self._bases: dict[Scope, tuple[tuple[Scope, ...], tuple[External, ...]]] = {}
        self._below: dict[Scope, list[Scope]] | None = None

    def kinds(self, expr: ast.expr, scope: Scope) -> Kinds:
        """What an expression may be.

        Args:
            expr: the expression.
            scope: where it stands.
        """
        return self._once((expr, scope), lambda: frozenset(self._kinds(expr, scope)))

    def _once(self, key: tuple[object, object], ask: object) -> Kinds:
        if key in self._known:
            return self._known[key]
        if not self._asked:
            self._steps = 0
        self._steps += 1
        if key in self._asked or self._steps > MOST_STEPS or len(self._asked) > MOST_DEEP:
            self._cuts += 1
            return NOTHING
        self._asked.add(key)
        cuts = self._cuts
        try:
            found: Kinds = ask()  # type: ignore[operator]
        finally:
            self._asked.discard(key)
        if self._cuts == cuts or not self._asked:
            self._known[key] = found
        return found

    def _kinds(self, expr: ast.expr, scope: Scope) -> Iterator[Kind]:  # noqa: C901, PLR0912 - a case for each sort of expression
        match expr:
            case ast.Name(id=name):
                yield from self.named(name, scope)
            case ast.Attribute(value=owner, attr=name):
                yield from self._attribute(self.kinds(owner, scope), name)
            case ast.Call():
                yield from self._call(expr, scope)
            case ast.Await(value=inner) | ast.NamedExpr(value=inner) | ast.Starred(value=inner):
                yield from self.kinds(inner, scope)
            case ast.IfExp(body=one, orelse=other):
                yield from self.kinds(one, scope)
                yield from self.kinds(other, scope)
            case ast.BoolOp(values=values):
                for each in values:
                    yield from self.kinds(each, scope)
            case ast.Subscript(value=owner):
                yield from self._item(owner, scope)
            case ast.Lambda():
                yield Function(scope.module.scopes[expr])
            case ast.Constant(value=value):
                if value is not None:
                    yield Plain(type(value).__name__)
            case ast.JoinedStr():
                yield Plain("str")
            case ast.Dict() | ast.DictComp():
                yield Plain("dict")
            case ast.List() | ast.ListComp():
                yield Plain("list")
            case ast.Set() | ast.SetComp():
                yield Plain("set")
            case ast.Tuple():
                yield Plain("tuple")
            case ast.GeneratorExp():
                yield Plain("generator")
            case _:
                pass

    def home(self, name: str, scope: Scope) -> tuple[Scope | None, list[Binding]]:
        """The scope that a name belongs to, and what is bound to it there."""
        around: Scope | None = scope
        while around is not None:
            if name in around.bindings and (around is scope or not around.is_class) and name not in around.elsewhere:
                return around, around.bindings[name]
            around = around.parent
        return None, []

    def named(self, name: str, scope: Scope) -> Kinds:
        """What a name may be where it stands."""
        home, bindings = self.home(name, scope)
        if home is not None:
            return self._once((name, home), lambda: frozenset(self._bound(bindings, home)))
        for star in scope.module.scope.stars:
            module, rest = self.project.imported(star, scope.module)
            if module is not None and module is not scope.module and name in module.scope.bindings:
                return self.named(name, module.scope)
            if module is None and (client := client_of_object(f"{rest.removesuffix('.*')}.{name}")):
                return frozenset({client})
        return frozenset({External(name)}) if name in _BUILTINS else NOTHING

    def _bound(self, bindings: Iterable[Binding], home: Scope) -> Iterator[Kind]:
        for binding in bindings:
            match binding:
                case Value(expr=expr, scope=scope, steps=steps):
                    if Step.MADE_OF not in steps:
                        yield from self._stepped(expr, scope, steps)
                case Annotated(expr=expr, scope=scope):
                    yield from self.annotation(expr, scope)
                case Imported():
                    yield from self._imported(binding, home)
                case Defined(scope=scope):
                    yield Class(scope) if scope.is_class else Function(scope)
                case Parameter():
                    yield from self._parameter(binding)

    def _imported(self, binding: Imported, home: Scope) -> Iterator[Kind]:
        module, name = self.project.imported(binding, home.module)
        if module is None:
            yield self._external(name)
        elif not name:
            yield Package(module)
        elif module.scope is home:
            return
        else:
            found = self.named(name, module.scope)
            yield from found or [External(f"{module.name}.{name}")]

    def _external(self, name: str) -> Kind:
        return client_of_object(name) or External(name)

    def _stepped(self, expr: ast.expr, scope: Scope, steps: tuple[Step | int, ...]) -> Kinds:
        if steps and isinstance(steps[0], int):
            return self._part(expr, scope, steps[0])
        if steps[:1] == (Step.ELEMENT,):
            return self._element(expr, scope)
        found = self.kinds(expr, scope)
        if steps == (Step.ENTER,):
            return frozenset(each for kind in found for each in self._entered(kind))
        return found

    def _entered(self, kind: Kind) -> Kinds:
        if isinstance(kind, Object):
            for name in ("__aenter__", "__enter__"):
                if any(isinstance(each, Function) for each in self._attribute(frozenset({kind}), name)):
                    results = self._results_of(self._attribute(frozenset({kind}), name))
                    return results or frozenset({kind})
        return frozenset({kind})

    def _part(self, expr: ast.expr, scope: Scope, at: int) -> Kinds:
        """One part of the tuple that an expression gives."""
        found: set[Kind] = set()
        inner = expr.value if isinstance(expr, ast.Await) else expr
        if isinstance(inner, ast.Call):
            for target in self.targets(inner, scope):
                for result in target.returns:
                    if isinstance(result, ast.Tuple) and at < len(result.elts):
                        found |= self.kinds(result.elts[at], target)
        return frozenset(found)

    def _element(self, expr: ast.expr, scope: Scope) -> Kinds:
        """What iterating over an expression gives."""
        if isinstance(expr, (ast.List, ast.Tuple, ast.Set)):
            return frozenset(kind for each in expr.elts for kind in self.kinds(each, scope))
        found: set[Kind] = {kind for kind in self.kinds(expr, scope) if isinstance(kind, (Client, Object))}
        if isinstance(expr, (ast.Name, ast.Attribute)):
            found |= self._item(expr, scope)
        if (
            isinstance(expr, ast.Call)
            and isinstance(expr.func, ast.Attribute)
            and expr.func.attr in {"values", "items", "all"}
        ):
            found |= self._item(expr.func.value, scope)
        return frozenset(found)

    def _item(self, owner: ast.expr, scope: Scope) -> Kinds:
        """What `owner[…]` may be."""
        kinds = self.kinds(owner, scope)
        if any(isinstance(kind, External) and kind.name == "django.core.cache.caches" for kind in kinds):
            return frozenset({Client(Family.DJANGO)})
        found: set[Kind] = set()
        for binding in self.bindings_of(owner, scope):
            if not isinstance(binding, Value):
                continue
            if Step.MADE_OF in binding.steps:
                found |= self.kinds(binding.expr, binding.scope)
            elif isinstance(binding.expr, ast.Dict):
                found |= {kind for each in binding.expr.values for kind in self.kinds(each, binding.scope)}
            elif isinstance(binding.expr, (ast.List, ast.Tuple)):
                found |= {kind for each in binding.expr.elts for kind in self.kinds(each, binding.scope)}
            elif isinstance(binding.expr, ast.DictComp):
                found |= self.kinds(binding.expr.value, binding.scope)
            elif isinstance(binding.expr, ast.ListComp):
                found |= self.kinds(binding.expr.elt, binding.scope)
        return frozenset(kind for kind in found if isinstance(kind, (Client, Object, Function, Class)))

    def bindings_of(self, expr: ast.expr, scope: Scope) -> Iterator[Binding]:
        """What is bound to a name or an attribute."""
        if isinstance(expr, ast.Name):
            yield from self.home(expr.id, scope)[1]
        elif isinstance(expr, ast.Attribute):
            for kind in self.kinds(expr.value, scope):
                if isinstance(kind, (Object, Class)):
                    for each in self.classes_of(kind.scope):
                        yield from each.bindings.get(expr.attr, ())
                        yield from self.project.attributes_of(each).get(expr.attr, ())
                elif isinstance(kind, Package):
                    yield from kind.module.scope.bindings.get(expr.attr, ())

    def annotation(self, expr: ast.expr, scope: Scope) -> Kinds:
        """What a value with this annotation may be."""
        return self._once(("annotation", expr), lambda: frozenset(self._annotation(expr, scope)))

    def _annotation(self, expr: ast.expr, scope: Scope) -> Iterator[Kind]:
        match expr:
            case ast.Constant(value=str() as text):
                try:
                    yield from self._annotation(ast.parse(text.strip(), mode="eval").body, scope)
                except (SyntaxError, ValueError):
                    return
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                yield from self.annotation(left, scope)
                yield from self.annotation(right, scope)
            case ast.Subscript(value=base, slice=inside):
                name = base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else ""
                if name in _WRAPPING_TYPES:
                    for each in inside.elts if isinstance(inside, ast.Tuple) else [inside]:
                        yield from (
                            self._depends(each, scope) if isinstance(each, ast.Call) else self.annotation(each, scope)
                        )
                else:
                    yield from self.annotation(base, scope)
            case ast.Name() | ast.Attribute():
                yield from self._typed(expr, scope)
            case _:
                return

    def _typed(self, expr: ast.expr, scope: Scope) -> Iterator[Kind]:
        if isinstance(expr, ast.Name):
            _, bindings = self.home(expr.id, scope)
            for binding in bindings:
                if isinstance(binding, Value) and isinstance(binding.expr, (ast.Subscript, ast.BinOp)):
                    yield from self.annotation(binding.expr, binding.scope)  # a type's other name
        for kind in self.kinds(expr, scope):
            match kind:
                case Class(scope=owner):
                    yield Object(owner)
                case External(name=name):
                    yield from self._typed_external(name)
                case Package() | Client() | Instance() | Plain():
                    alias = self._alias(expr, scope)
                    yield from alias
                case _:
                    pass

    def _alias(self, expr: ast.expr, scope: Scope) -> Iterator[Kind]:
        """The type that a name of another module stands for."""
        if not isinstance(expr, ast.Name):
            return
        home, bindings = self.home(expr.id, scope)
        for binding in bindings:
            if isinstance(binding, Imported) and home is not None:
                module, name = self.project.imported(binding, home.module)
                if module is not None and name:
                    yield from self.annotation(ast.Name(name, ast.Load()), module.scope)

    def _typed_external(self, name: str) -> Iterator[Kind]:
        if name.rpartition(".")[2] == "Pipeline" and "redis" in name:
            yield Client(Family.PIPELINE)
        elif client := client_of_call(name):
            yield client
        elif name in _BUILTINS:
            yield Plain(name)
        elif name.rpartition(".")[2] not in {"Any", "Self", "object", "Protocol"}:
            yield Instance(name)

    def _depends(self, call: ast.Call, scope: Scope) -> Kinds:
        return self._results_of(frozenset(kind for arg in call.args[:1] for kind in self.kinds(arg, scope)))

    def _parameter(self, parameter: Parameter) -> Iterator[Kind]:
        scope = parameter.scope
        owner = scope.owner
        if owner is not None and parameter.position == 0 and not _is_static(scope):
            yield Class(owner) if _is_class_method(scope) else Object(owner)
            return
        if parameter.many:
            return
        found: set[Kind] = set()
        around = scope.parent or scope
        if parameter.annotation is not None:
            found |= self.annotation(parameter.annotation, around)
        if parameter.default is not None:
            found |= {kind for kind in self.kinds(parameter.default, around) if kind != Instance("fastapi.Depends")}
        if not any(isinstance(kind, (Client, Object, Plain)) for kind in found):
            for expr, where in self.arguments(parameter):
                found |= self.kinds(expr, where)
        yield from found

    def arguments(self, parameter: Parameter) -> Iterator[tuple[ast.expr, Scope]]:
        """What the project's calls give for a parameter."""
        function = parameter.scope
        for call, where in self.calls_of(function):
            yield from (
                (expr, where) for expr in [argument_of(call, parameter, self.shift(call, where, function))] if expr
            )

    def shift(self, call: ast.Call, where: Scope, function: Scope) -> int:
        """How many parameters are given already: `self`."""
        if function.owner is None or _is_static(function):
            return 0
        if function.name in {"__init__", "__call__"}:
            return 1
        if isinstance(call.func, ast.Attribute):
            kinds = self.kinds(call.func.value, where)
            is_class = any(isinstance(kind, Class) for kind in kinds) and not _is_class_method(function)
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
                *(each.name for each in self.subclasses_of(function.owner)),
            }
        for name in names:
            calls = self.project.calls.get(name, ())
            if len(calls) <= MOST_CALLS:
                yield from ((call, where) for call, where in calls if function in self.targets(call, where))

    def bases_of(self, owner: Scope) -> tuple[tuple[Scope, ...], tuple[External, ...]]:
        """The bases of a class: of the project, and of libraries."""
        if owner not in self._bases:
            self._bases[owner] = ((), ())  # while it is asked
            own: list[Scope] = []
            others: list[External] = []
            for base in owner.node.bases if isinstance(owner.node, ast.ClassDef) else ():
                expr = base.value if isinstance(base, ast.Subscript) else base
                for kind in self.kinds(expr, owner.parent or owner):
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
            for scope in self.project.scopes:
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

    def _attribute(self, owners: Kinds, name: str) -> Kinds:
        found: set[Kind] = set()
        for owner in owners:
            match owner:
                case Package(module=module):
                    found |= self._of_module(module.scope, name)
                case External(name=dotted):
                    found.add(self._external(f"{dotted}.{name}"))
                case Instance(name=dotted):
                    if name in {"master_for", "slave_for"} and "entinel" in dotted:
                        found.add(Method(Client(Family.REDIS), name))
                    else:
                        found.add(External(f"{dotted}.{name}"))
                case Client():
                    found.add(client_of_attribute(owner, name) or Method(owner, name))
                    if owner.family is Family.DJANGO and name == "client":
                        found.add(Method(owner, name))
                case Object(scope=scope, above=above):
                    found |= self._of_object(scope, name, above=above)
                case Class(scope=scope):
                    found |= self._of_object(scope, name, above=False, bound=False)
                case Function():
                    if name in TASK_CALLS:
                        found.add(owner)
                case _:
                    pass
        if not any(isinstance(kind, (Client, Object, Function, Class, Method, Package)) for kind in found):
            found |= self._set_elsewhere(name)
        return frozenset(found)

    def _of_module(self, scope: Scope, name: str) -> Kinds:
        if name in scope.bindings or scope.stars:
            return self.named(name, scope)
        sub = self.project.module(f"{scope.module.name}.{name}", scope.module, exact=True)
        return frozenset({Package(sub)}) if sub else NOTHING

    def _of_object(self, owner: Scope, name: str, *, above: bool, bound: bool = True) -> Kinds:
        key = ("attribute", (owner, name, above, bound))
        return self._once(key, lambda: frozenset(self._member(owner, name, above=above, bound=bound)))

    def _member(self, owner: Scope, name: str, *, above: bool, bound: bool) -> Iterator[Kind]:
        classes = self.classes_of(owner)[1:] if above else self.classes_of(owner)
        found = self._in_classes(classes, name, bound=bound)
        if not above:
            for each in self.subclasses_of(owner):
                found |= self._in_classes([each] if found else self.classes_of(each), name, bound=bound)
        if not found:
            for base in self.externals_of(owner):
                if client := client_of_call(base.name):
                    found |= {client_of_attribute(client, name) or Method(client, name)}
        if not found and bound:
            found |= self._delegated(classes, name)
        yield from found

    def _in_classes(self, classes: Iterable[Scope], name: str, *, bound: bool) -> set[Kind]:
        """What the first of the classes has under a name; what is set on `self` by any of them."""
        found: set[Kind] = set()
        for each in classes:
            for kind in self._bound(each.bindings.get(name, ()), each):
                if isinstance(kind, Function):
                    found |= self._results(kind.scope) if _is_property(kind.scope) else {Function(kind.scope, bound)}
                else:
                    found.add(kind)
            found |= set(self._bound(self.project.attributes_of(each).get(name, ()), each))
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
                    targets |= {kind for kind in self.kinds(call.args[0], method) if isinstance(kind, (Client, Object))}
            return self._attribute(frozenset(targets), name) if targets else NOTHING
        return NOTHING

    def _set_elsewhere(self, name: str) -> Kinds:
        """Clients that are set as an attribute of this name on something unknown: `app.state.redis = …`."""
        values = self.project.attributes.get(name, ())
        return frozenset(
            kind for kind in self._bound(values, self.project.modules[0].scope) if isinstance(kind, (Client, Object))
        )

    def _call(self, call: ast.Call, scope: Scope) -> Iterator[Kind]:
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        if name == "super":
            owner = _class_around(scope)
            if owner is not None:
                yield Object(owner, above=True)
            return
        if name == "getattr" and len(call.args) > 1:
            if isinstance(call.args[1], ast.Constant) and isinstance(call.args[1].value, str):
                yield from self._attribute(self.kinds(call.args[0], scope), call.args[1].value)
            for default in call.args[2:]:
                yield from self.kinds(default, scope)
            return
        for kind in self.kinds(call.func, scope):
            yield from self._called(kind, call, scope)

    def _called(self, kind: Kind, call: ast.Call, scope: Scope) -> Iterator[Kind]:
        match kind:
            case External(name=name):
                yield from self._called_external(name, call, scope)
            case Class(scope=owner):
                yield Object(owner)
                for base in self.externals_of(owner):
                    if client := client_of_call(base.name):
                        yield client
            case Function(scope=function):
                yield from self._results(function)
            case Object():
                yield from self._results_of(self._attribute(frozenset({kind}), "__call__"))
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
        if name in PASSES_ON or (last == "partial" and call.args):
            for arg in call.args[:1]:
                yield from self.kinds(arg, scope)
        elif name in LAZY:
            for arg in call.args[:1]:
                yield from self._results_of(self.kinds(arg, scope)) or self.kinds(arg, scope)
        elif last == "cast" and len(call.args) > 1:
            yield from self.annotation(call.args[0], scope)
            yield from self.kinds(call.args[1], scope)
        elif name.startswith("django.core.cache.caches."):
            yield Client(Family.DJANGO)
        elif client := client_of_call(name):
            yield client
        elif name in {"dict", "list", "set", "tuple", "str", "int", "bytes", "float", "frozenset"}:
            yield Plain(name)
        elif name.rpartition(".")[2] in {"OrderedDict", "defaultdict", "Counter", "deque", "WeakValueDictionary"}:
            yield Plain("dict")
        else:
            yield Instance(name)

    def _results_of(self, kinds: Kinds) -> Kinds:
        return frozenset(
            each
            for kind in kinds
            if isinstance(kind, (Function, Class))
            for each in (self._results(kind.scope) if isinstance(kind, Function) else [Object(kind.scope)])
        )

    def _results(self, function: Scope) -> Kinds:
        """What a function returns or yields."""
        return self._once(("results", function), lambda: frozenset(self._given(function)))

    def _given(self, function: Scope) -> Iterator[Kind]:
        found: set[Kind] = set()
        for expr in (*function.returns, *function.yields):
            found |= self.kinds(expr, function)
        node = function.node
        if (
            not any(isinstance(kind, (Client, Object)) for kind in found)
            and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            and node.returns is not None
        ):
            annotated = self.annotation(node.returns, function.parent or function)
            owner = function.owner
            if owner is not None and isinstance(node.returns, ast.Name) and node.returns.id == "Self":
                annotated = frozenset({Object(owner)})
            found |= annotated
        yield from found

    def targets(self, call: ast.Call, scope: Scope) -> list[Scope]:
        """The project's functions that a call runs, as far as that can be found out."""
        found: list[Scope] = []
        for kind in self.kinds(call.func, scope):
            match kind:
                case Function(scope=function):
                    found.append(function)
                case Class(scope=owner):
                    for name in ("__init__", "__post_init__"):
                        found += [
                            each.scope
                            for each in self._attribute(frozenset({Class(owner)}), name)
                            if isinstance(each, Function)
                        ]
                case Object():
                    found += [
                        each.scope
                        for each in self._attribute(frozenset({kind}), "__call__")
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
            or self.kinds(call.func.value, scope)
        ):
            return found
        methods = [each for each in self.project.functions.get(call.func.attr, ()) if each.owner is not None]
        owners = {each.owner for each in methods if each.owner is not None}
        is_one = any(all(one in self.classes_of(each) for each in owners) for one in owners)
        return methods if is_one else []


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


def _class_around(scope: Scope) -> Scope | None:
    around: Scope | None = scope
    while around is not None and not around.is_class:
        around = around.parent
    return around


def decorator_names(scope: Scope) -> list[str]:
    """The last part of each decorator's name."""
    found = []
    for each in scope.decorators:
        expr = each.func if isinstance(each, ast.Call) else each
        found.append(expr.attr if isinstance(expr, ast.Attribute) else expr.id if isinstance(expr, ast.Name) else "")
    return found


def _is_property(function: Scope) -> bool:
    return not PROPERTIES.isdisjoint(decorator_names(function))


def _is_static(function: Scope) -> bool:
    return "staticmethod" in decorator_names(function)


def _is_class_method(function: Scope) -> bool:
    return "classmethod" in decorator_names(function) or function.name in {
        "__new__",
        "__init_subclass__",
        "__class_getitem__",
    }
