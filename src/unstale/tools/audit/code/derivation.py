"""What a value is made of (`sources`), and what is made of a value (`Carried`).

Both follow names, containers and loops within a function, and parameters and results through the project. Neither knows
the order of statements. What only asks about a value (`len`, a comparison) does not carry it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from unstale.tools.audit.code.inferring import Inference
from unstale.tools.audit.code.project import called_name
from unstale.tools.audit.code.scopes import Parameter, Scope, Value

ONLY_ASKS: Final = frozenset({"len", "bool", "any", "all", "sum", "isinstance", "hasattr", "print", "type", "id"})
"""Functions whose results are about a value."""
METHODS_ONLY_ASK: Final = frozenset({"ttl", "pttl", "mget", "get_many", "memory_usage"})
MOST_SOURCES: Final = 600
Passes: TypeAlias = Callable[["ast.Call | ast.Attribute", Scope], bool]


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

    def sources(  # noqa: C901, PLR0912 - a case for each sort of binding
        self, expr: ast.expr, scope: Scope, *, callers: int = 0, results: int = 0, passes: Passes | None = None
    ) -> Iterator[Source]:
        """What a value is made of.

        Args:
            expr: the value.
            scope: where it stands.
            callers: how many calls up a parameter is followed, into what its callers give.
            results: how many calls down a call is followed, into what the function returns.
            passes: whether a call or attribute hands on what it is given; by default each does.
        """
        waiting: list[tuple[ast.expr, Scope, int, int]] = [(expr, scope, 0, 0)]
        seen: set[tuple[object, Scope]] = set()
        count = 0
        while waiting and count < MOST_SOURCES:
            each, where, up, down = waiting.pop(0)
            if (each, where) in seen:
                continue
            seen.add((each, where))
            for part in _parts(each, where, passes):
                count += 1
                match part:
                    case ast.Name(id=name, ctx=ast.Load()):
                        home, bindings = self.inference.home(name, where)
                        if home is None or (name, home) in seen:
                            if home is None:
                                yield Source(part, where, up)
                            continue
                        seen.add((name, home))
                        for binding in bindings:
                            match binding:
                                case Value(expr=value, scope=there):
                                    waiting.append((value, there, up, down))
                                case Parameter():
                                    yield Source(binding, where, up)
                                    if up < callers:
                                        given = self.inference.arguments(binding)
                                        waiting += [(argument, there, up + 1, down) for argument, there in given]
                                case _:
                                    yield Source(part, where, up)
                    case ast.Attribute():
                        yield Source(part, where, up)
                        if (
                            isinstance(part.value, ast.Name)
                            and part.value.id in {"self", "cls"}
                            and (ast.dump(part), where) not in seen
                        ):
                            seen.add((ast.dump(part), where))
                            for bound in self.inference.bindings_of(part, where):
                                if isinstance(bound, Value):
                                    waiting.append((bound.expr, bound.scope, up, down))
                    case ast.Call():
                        yield Source(part, where, up)
                        if down < results:
                            for target in self.inference.targets(part, where):
                                waiting += [
                                    (result, target, up, down + 1) for result in (*target.returns, *target.yields)
                                ]
                    case _:
                        pass

    def carried(
        self, scope: Scope, seeds: Iterable[ast.AST], names: Iterable[str] = (), passes: Passes | None = None
    ) -> Carried:
        """What in a function is made of some of its expressions and names."""
        found = Carried(scope, frozenset(seeds), set(names), passes)
        found.spread()
        return found


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


def carrying(expr: ast.AST, scope: Scope | None = None, passes: Passes | None = None) -> Iterator[ast.AST]:
    """An expression and the parts of it whose values it hands on."""
    waiting: list[ast.AST] = [expr]
    while waiting:
        node = waiting.pop()
        yield node
        if (
            passes is not None
            and scope is not None
            and isinstance(node, (ast.Call, ast.Attribute))
            and not passes(node, scope)
        ):
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


def _parts(expr: ast.expr, scope: Scope, passes: Passes | None) -> Iterator[ast.AST]:
    for node in carrying(expr, scope, passes):
        if not isinstance(node, (ast.expr_context, ast.keyword, ast.comprehension)):
            yield node
