"""What an expression may be: by imports, assignments, annotations, attributes, parameters and results of the project.

It answers what it is asked, and remembers the answers: only what could be a cache is ever looked at. A question that
leads back to itself adds nothing, so the answer is the least one that agrees with all the code, as a fixed point is.
What cannot be found out is NOTHING, never a guess.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from unstale.tools.audit.code.annotating import Annotations
from unstale.tools.audit.code.calling import TASK_CALLS, Calling
from unstale.tools.audit.code.classes import Classes
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
    client_of_object,
)
from unstale.tools.audit.code.project import Project
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

MOST_STEPS: Final = 20_000
"""Of one question; then what is known so far is the answer."""
MOST_DEEP: Final = 60
"""Questions within one another; each takes some ten frames of Python's stack."""
MOST_BINDINGS: Final = 20
"""Of a name that is imported from module to module."""
_BUILTINS: Final = frozenset(dir(builtins))


class Inference:
    """Asks a project."""

    def __init__(self, project: Project) -> None:
        """Take the project; nothing is looked at yet."""
        self.project = project
        self._known: dict[tuple[object, object], Kinds] = {}
        self._asked: set[tuple[object, object]] = set()
        self._asked_before: set[tuple[object, object]] = set()
        self._cuts = 0
        self._steps = 0
        self._annotations = Annotations(self)
        self._classes = Classes(self)
        self._calling = Calling(self)

    def kinds(self, expr: ast.expr, scope: Scope) -> Kinds:
        """What an expression may be.

        Args:
            expr: the expression.
            scope: where it stands.
        """
        return self.once((expr, scope), lambda: frozenset(self._kinds(expr, scope)))

    def once(self, key: tuple[object, object], ask: Callable[[], Kinds]) -> Kinds:
        """The answer to a question, asked once; NOTHING where it leads back to itself."""
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
            found = ask()
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
                yield from self.attribute(self.kinds(owner, scope), name)
            case ast.Call():
                yield from self._calling.call(expr, scope)
            case ast.Await(value=inner) | ast.NamedExpr(value=inner) | ast.Starred(value=inner):
                yield from self.kinds(inner, scope)
            case ast.IfExp(body=one, orelse=other):
                yield from self.kinds(one, scope)
                yield from self.kinds(other, scope)
            case ast.BoolOp(values=values):
                for each in values:
                    yield from self.kinds(each, scope)
            case ast.Subscript(value=owner, slice=key):
                yield from self._item(owner, scope, key)
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
        if (name, home) in self._asked and home is not None:  # `redis = redis.Redis()`: what it was before
            return self._before((name, home), [each for each in bindings if isinstance(each, (Imported, Defined))])
        if home is not None:
            return self.once((name, home), lambda: frozenset(self.bound(bindings, home)))
        for star in scope.module.scope.stars:
            module, rest = self.project.imported(star, scope.module)
            if module is not None and module is not scope.module and name in module.scope.bindings:
                return self.named(name, module.scope)
            if module is None and (client := client_of_object(f"{rest.removesuffix('.*')}.{name}")):
                return frozenset({client})
        return frozenset({External(name)}) if name in _BUILTINS else NOTHING

    def _before(self, place: tuple[str, Scope], bindings: list[Binding]) -> Kinds:
        """What a name was. Modules that import it from each other say nothing of it."""
        if place in self._asked_before:
            self._cuts += 1
            return NOTHING
        self._asked_before.add(place)
        try:
            return frozenset(self.bound(bindings, place[1]))
        finally:
            self._asked_before.discard(place)

    def bound(self, bindings: Iterable[Binding], home: Scope) -> Iterator[Kind]:
        """What is bound."""
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
                    yield from self._calling.parameter(binding)

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
        if steps[:1] == (Step.ENTER,) and isinstance(steps[-1], int):
            return self._part_entered(expr, scope, steps[-1])
        found = self.kinds(expr, scope)
        if steps == (Step.ENTER,):
            return frozenset(each for kind in found for each in self._entered(kind))
        return found

    def _entered(self, kind: Kind) -> Kinds:
        if isinstance(kind, Object):
            for name in ("__aenter__", "__enter__"):
                if any(isinstance(each, Function) for each in self.attribute(frozenset({kind}), name)):
                    results = self.results_of(self.attribute(frozenset({kind}), name))
                    return results or frozenset({kind})
        return frozenset({kind})

    def _part(self, expr: ast.expr, scope: Scope, at: int) -> Kinds:
        """One part of the tuple that an expression gives."""
        inner = expr.value if isinstance(expr, ast.Await) else expr
        targets = self.targets(inner, scope) if isinstance(inner, ast.Call) else []
        return frozenset(kind for each in targets for kind in self._part_of(each.returns, each, at))

    def _part_entered(self, expr: ast.expr, scope: Scope, at: int) -> Kinds:
        """One part of the tuple that `with` gives: `with session() as (client, names)`."""
        targets = self.targets(expr, scope) if isinstance(expr, ast.Call) else []
        return frozenset(kind for each in targets for kind in self._part_of(each.yields, each, at))

    def _part_of(self, tuples: Iterable[ast.expr], scope: Scope, at: int) -> Iterator[Kind]:
        for each in tuples:
            if isinstance(each, ast.Tuple) and at < len(each.elts):
                yield from self.kinds(each.elts[at], scope)

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

    def _item(self, owner: ast.expr, scope: Scope, key: ast.expr | None = None) -> Kinds:
        """What `owner[key]` may be; of any key where none is given."""
        kinds = self.kinds(owner, scope)
        if any(isinstance(kind, External) and kind.name == "django.core.cache.caches" for kind in kinds):
            return frozenset(Client(Family.DJANGO, alias) for alias in self._texts(key, scope))
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

    def _texts(self, expr: ast.expr | None, scope: Scope) -> set[str]:
        """The texts that an expression may be; "" among them for one that cannot be told."""
        if isinstance(expr, ast.Constant) and isinstance(expr.value, str):
            return {expr.value}
        if expr is None or not isinstance(expr, (ast.Name, ast.Attribute)):
            return {""}
        found: set[str] = set()
        waiting = list(self.bindings_of(expr, scope))
        for binding in waiting:
            if isinstance(binding, Imported) and len(waiting) < MOST_BINDINGS:
                module, name = self.project.imported(binding, scope.module)
                waiting += module.scope.bindings.get(name, ()) if module is not None else ()
                if module is not None and name in module.scope.bindings:
                    continue
            given = binding.expr if isinstance(binding, Value) and not binding.steps else None
            found.add(given.value if isinstance(given, ast.Constant) and isinstance(given.value, str) else "")
        named = {kind.name for kind in self.kinds(expr, scope) if isinstance(kind, External)}
        return {"default"} if named == {"django.core.cache.DEFAULT_CACHE_ALIAS"} else found or {""}

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

    def attribute(  # noqa: C901, PLR0912 - a case for each kind
        self, owners: Kinds, name: str
    ) -> Kinds:
        """What an attribute may be."""
        found: set[Kind] = set()
        for owner in owners:
            match owner:
                case Package(module=module):
                    found |= self._of_module(module.scope, name)
                case External(name=dotted):
                    chained = self.project.module_of_chain(f"{dotted}.{name}")
                    found.add(Package(chained) if chained else self._external(f"{dotted}.{name}"))
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
                    else:
                        found |= self._set_on_functions(name)
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
        return self.once(key, lambda: frozenset(self._classes.member(owner, name, above=above, bound=bound)))

    def _set_elsewhere(self, name: str) -> Kinds:
        """Clients that are set as an attribute of this name on something unknown: `app.state.redis = …`."""
        values = self.project.attributes.get(name, ())
        return frozenset(
            kind for kind in self.bound(values, self.project.modules[0].scope) if isinstance(kind, (Client, Object))
        )

    def _set_on_functions(self, name: str) -> Kinds:
        """Functions that a decorator hangs on what it gives: `wrapper.forget = forget`."""
        values = self.project.attributes.get(name, ())
        return frozenset(
            kind for kind in self.bound(values, self.project.modules[0].scope) if isinstance(kind, Function)
        )

    def results_of(self, kinds: Kinds) -> Kinds:
        """What calling these gives."""
        return frozenset(
            each
            for kind in kinds
            if isinstance(kind, (Function, Class))
            for each in (self.results(kind.scope) if isinstance(kind, Function) else [Object(kind.scope)])
        )

    def results(self, function: Scope) -> Kinds:
        """What a function returns or yields."""
        return self.once(("results", function), lambda: frozenset(self._calling.given(function)))

    def annotation(self, expr: ast.expr, scope: Scope) -> Kinds:
        """What a value with this annotation may be."""
        return self._annotations.kinds(expr, scope)

    def classes_of(self, owner: Scope) -> list[Scope]:
        """A class and those that it inherits from, the nearest first."""
        return self._classes.classes_of(owner)

    def externals_of(self, owner: Scope) -> list[External]:
        """What a class inherits from libraries."""
        return self._classes.externals_of(owner)

    def subclasses_of(self, owner: Scope) -> list[Scope]:
        """All classes that inherit from one."""
        return self._classes.subclasses_of(owner)

    def targets(self, call: ast.Call, scope: Scope) -> list[Scope]:
        """The project's functions that a call runs, as far as that can be found out."""
        return self._calling.targets(call, scope)

    def likely(self, call: ast.Call, scope: Scope) -> list[Scope]:
        """The same; where nothing is known of the receiver, the methods of that name: see `Calling.likely`."""
        return self._calling.likely(call, scope)

    def arguments(self, parameter: Parameter) -> Iterator[tuple[ast.expr, Scope]]:
        """What the project's calls give for a parameter."""
        return self._calling.arguments(parameter)

    def calls_of(self, function: Scope) -> Iterator[tuple[ast.Call, Scope]]:
        """The project's calls that run a function."""
        return self._calling.calls_of(function)

    def shift(self, call: ast.Call, where: Scope, function: Scope) -> int:
        """How many parameters of a function are given already: `self`."""
        return self._calling.shift(call, where, function)
