"""What annotations say of values: classes, their other names, `Optional`, `Annotated[…, Depends(…)]`."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from typing import Final

from unstale.tools.audit.code.asking import Asks
from unstale.tools.audit.code.kinds import (
    Class,
    Client,
    External,
    Family,
    Instance,
    Kind,
    Kinds,
    Object,
    Package,
    Plain,
    client_of_call,
)
from unstale.tools.audit.code.scopes import Imported, Scope, Value

_WRAPPING_TYPES: Final = frozenset({
    "Optional", "Union", "Annotated", "ClassVar", "Final", "AsyncGenerator", "Generator", "AsyncIterator", "Iterator",
    "Awaitable", "Type", "type", "InitVar", "Coroutine", "Provide", "Inject",
})  # fmt: skip
_BUILTINS: Final = frozenset(dir(builtins))


class Annotations:
    """Reads annotations."""

    def __init__(self, asks: Asks) -> None:
        """Take the whole."""
        self._asks = asks

    def kinds(self, expr: ast.expr, scope: Scope) -> Kinds:
        """What a value with this annotation may be."""
        return self._asks.once(("annotation", expr), lambda: frozenset(self._annotation(expr, scope)))

    def _annotation(self, expr: ast.expr, scope: Scope) -> Iterator[Kind]:
        match expr:
            case ast.Constant(value=str() as text):
                try:
                    yield from self._annotation(ast.parse(text.strip(), mode="eval").body, scope)
                except (SyntaxError, ValueError):
                    return
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                yield from self.kinds(left, scope)
                yield from self.kinds(right, scope)
            case ast.Subscript(value=base, slice=inside):
                name = base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else ""
                if name in _WRAPPING_TYPES:
                    for each in inside.elts if isinstance(inside, ast.Tuple) else [inside]:
                        yield from (
                            self._depends(each, scope) if isinstance(each, ast.Call) else self.kinds(each, scope)
                        )
                else:
                    yield from self.kinds(base, scope)
            case ast.Name() | ast.Attribute():
                yield from self._typed(expr, scope)
            case _:
                return

    def _typed(self, expr: ast.expr, scope: Scope) -> Iterator[Kind]:
        if isinstance(expr, ast.Name):
            _, bindings = self._asks.home(expr.id, scope)
            for binding in bindings:
                if isinstance(binding, Value) and isinstance(binding.expr, (ast.Subscript, ast.BinOp)):
                    yield from self.kinds(binding.expr, binding.scope)  # a type's other name
        for kind in self._asks.kinds(expr, scope):
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
        home, bindings = self._asks.home(expr.id, scope)
        for binding in bindings:
            if isinstance(binding, Imported) and home is not None:
                module, name = self._asks.project.imported(binding, home.module)
                if module is not None and name:
                    yield from self.kinds(ast.Name(name, ast.Load()), module.scope)

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
        return self._asks.results_of(frozenset(kind for arg in call.args[:1] for kind in self._asks.kinds(arg, scope)))
