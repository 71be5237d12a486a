"""What a value is made of (`sources`), and what is made of a value (`Carried`).

Both follow names, containers and loops within a function, and parameters and results through the project. Of the order
of statements they know only where a parameter's name has been bound again (`order`). What only asks about a value
(`len`, a comparison) does not carry it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from unstale.tools.audit.code.inferring import Inference
from unstale.tools.audit.code.order import is_bound_again
from unstale.tools.audit.code.project import called_name
from unstale.tools.audit.code.scopes import Parameter, Scope, Value

ONLY_ASKS: Final = frozenset({"len", "bool", "any", "all", "sum", "isinstance", "hasattr", "print", "type", "id"})
"""Functions whose results are about a value."""
METHODS_ONLY_ASK: Final = frozenset({"ttl", "pttl", "mget", "get_many", "memory_usage"})
MOST_SOURCES: Final = 600
Asked: TypeAlias = ast.Call | ast.Attribute | ast.Subscript | ast.IfExp | ast.ListComp | ast.SetComp | ast.GeneratorExp
Passes: TypeAlias = Callable[[Asked, Scope], "bool | Sequence[ast.AST]"]
"""Whether an expression hands on what it is given, or which parts of it."""


@dataclass(frozen=True, slots=True)
class Source:
    """One thing that a value is made of.

    Attributes:
        node: a call, an attribute, a name that nothing in the project is bound to, or a function's parameter.
        scope: where it stands.
        depth: how many functions away.
    """

    node: ast.expr | Parameter
    scope: Scope
    depth: int = 0


class Derivation:
    """Asks a project."""

    def __init__(self, inference: Inference) -> None:
        """Take the project."""
        self.inference = inference
        self.project = inference.project

    def sources(
        self, expr: ast.expr, scope: Scope, *, callers: int = 0, results: int = 0, passes: Passes | None = None
    ) -> Iterator[Source]:
        """What a value is made of.

        Args:
            expr: the value.
            scope: where it stands.
            callers: how many calls up a parameter is followed, into what its callers give.
            results: how many calls down a call is followed, into what the function returns.
            passes: whether a call, an attribute and so on hands on what it is given; by default each does.
        """
        return _Search(self.inference, callers, results, passes).of(expr, scope)

    def carried(
        self, scope: Scope, seeds: Iterable[ast.AST], names: Iterable[str] = (), passes: Passes | None = None
    ) -> Carried:
        """What in a function is made of some of its expressions and names."""
        found = Carried(scope, frozenset(seeds), set(names), passes)
        found.spread()
        return found


class _Step(NamedTuple):
    """An expression to look at, and how many calls up and down it is away."""

    expr: ast.expr
    scope: Scope
    up: int = 0
    down: int = 0


class _Search:
    """One question for the sources of a value."""

    def __init__(self, inference: Inference, callers: int, results: int, passes: Passes | None) -> None:
        self._inference = inference
        self._callers = callers
        self._results = results
        self._passes = passes
        self._waiting: list[_Step] = []
        self._seen: set[tuple[object, Scope]] = set()

    def of(self, expr: ast.expr, scope: Scope) -> Iterator[Source]:
        self._waiting.append(_Step(expr, scope))
        count = 0
        while self._waiting and count < MOST_SOURCES:
            step = self._waiting.pop(0)
            if self._is_new(step.expr, step.scope):
                for part in carrying(step.expr, step.scope, self._passes):
                    count += 1
                    yield from self._part(part, step)

    def _part(self, part: ast.AST, step: _Step) -> Iterator[Source]:
        match part:
            case ast.Name(ctx=ast.Load()):
                yield from self._name(part, step)
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                yield Source(part, step.scope, step.up)
                if self._is_new(ast.dump(part), step.scope):
                    bindings = self._inference.bindings_of(part, step.scope)
                    self._go_on(((each.expr, each.scope) for each in bindings if isinstance(each, Value)), step)
            case ast.Attribute():
                yield Source(part, step.scope, step.up)
            case ast.Call():
                yield Source(part, step.scope, step.up)
                if step.down < self._results:
                    for target in self._inference.targets(part, step.scope):
                        given = ((each, target) for each in (*target.returns, *target.yields))
                        self._go_on(given, step._replace(down=step.down + 1))
            case _:
                pass

    def _name(self, part: ast.Name, step: _Step) -> Iterator[Source]:
        home, bindings = self._inference.home(part.id, step.scope)
        if home is None:
            yield Source(part, step.scope, step.up)
            return
        is_another = self._passes is not None and is_bound_again(part, home)
        if self._is_new((part.id, is_another), home):
            for binding in bindings:
                match binding:
                    case Parameter() if is_another:
                        pass
                    case Value(expr=expr, scope=scope):
                        self._go_on([(expr, scope)], step)
                    case Parameter():
                        yield Source(binding, step.scope, step.up)
                        if step.up < self._callers and not step.down:  # that call's own arguments are looked at there
                            self._go_on(self._inference.arguments(binding), step._replace(up=step.up + 1))
                    case _:
                        yield Source(part, step.scope, step.up)

    def _is_new(self, what: object, scope: Scope) -> bool:
        key = (what, scope)
        is_new = key not in self._seen
        self._seen.add(key)
        return is_new

    def _go_on(self, exprs: Iterable[tuple[ast.expr, Scope]], step: _Step) -> None:
        self._waiting += [step._replace(expr=expr, scope=scope) for expr, scope in exprs]


class Carried:
    """The names of a function that are made of some expressions of it.

    Attributes:
        scope: the function.
        seeds: the expressions.
        names: the names, those given among them.
    """

    def __init__(self, scope: Scope, seeds: frozenset[ast.AST], names: set[str], passes: Passes | None = None) -> None:
        """Begin with what is given; `passes` says which calls hand on what they are given."""
        self._passes = passes
        self.scope = scope
        self.seeds = seeds
        self.names = names

    def spread(self) -> None:
        """Find all names."""
        grew = True
        while grew:
            grew = False
            for name, bindings in self.scope.bindings.items():
                if name in self.names:
                    continue
                if any(isinstance(each, Value) and self.has(each.expr) for each in bindings):
                    self.names.add(name)
                    grew = True

    def has(self, expr: ast.AST) -> bool:
        """Whether an expression is made of them."""
        for node in carrying(expr, self.scope, self._passes):
            if node in self.seeds or (isinstance(node, ast.Name) and node.id in self.names):
                return True
        return False


def reaching(function: Scope, exprs: Iterable[ast.AST], passes: Passes | None = None) -> list[str]:
    """The parameters of a function of which some expressions in it are made, in their order."""
    wanted = list(exprs)
    return [name for name, carried in of_parameters(function, passes) if any(map(carried.has, wanted))]


def of_parameters(function: Scope, passes: Passes | None = None) -> Iterator[tuple[str, Carried]]:
    """For each parameter of a function what is made of it."""
    loaded: dict[str, list[ast.AST]] = {}
    for node in ast.walk(function.node):
        if isinstance(node, ast.Name) and not is_bound_again(node, function):
            loaded.setdefault(node.id, []).append(node)
    for parameter in function.parameters:
        carried = Carried(function, frozenset(loaded.get(parameter.name, ())), set(), passes)
        carried.spread()
        yield parameter.name, carried


def carrying(expr: ast.AST, scope: Scope | None = None, passes: Passes | None = None) -> Iterator[ast.AST]:
    """An expression and the parts of it whose values it hands on."""
    waiting: list[ast.AST] = [expr]
    while waiting:
        node = waiting.pop()
        yield node
        if passes is not None and scope is not None and isinstance(node, Asked):
            handed = passes(node, scope)
            if not isinstance(handed, bool):
                waiting += handed
                continue
            if not handed:
                continue
        if isinstance(node, ast.Call) and called_name(node) in (
            ONLY_ASKS if isinstance(node.func, ast.Name) else METHODS_ONLY_ASK
        ):
            continue
        if isinstance(node, ast.Compare):
            continue
        if isinstance(node, ast.IfExp):
            waiting += [node.body, node.orelse]
            continue
        if isinstance(node, ast.comprehension):
            waiting.append(node.iter)
            continue
        waiting += ast.iter_child_nodes(node)
