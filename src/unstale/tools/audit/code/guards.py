"""Under which condition a statement is reached: whether something was missing, whether a lock is held.

A test is read for what it says of some expressions: that the value is there, or that it is not. `if v is None:`,
`if not v: …`, `if v: return v`, `if key in cache: … else: …`, `try: return cache[key] except: …`, `v or compute()`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

from unstale.tools.audit.code.scopes import Module, Scope

Says: TypeAlias = Callable[[ast.AST], bool]
"""Whether an expression is the value that was read."""

_LEAVES: Final = (ast.Return, ast.Raise, ast.Continue, ast.Break)
_LEAVING_CALLS: Final = frozenset({"abort", "exit", "sys.exit", "flask.abort"})
_MISSING: Final = (ast.Is, ast.Eq, ast.NotIn)
_THERE: Final = (ast.IsNot, ast.NotEq, ast.In)


def ancestors(node: ast.AST, module: Module) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Each node around one, from the inside, with the child through which it was reached; up to its function."""
    child = node
    while (parent := module.parents.get(child)) is not None:
        yield parent, child
        if isinstance(parent, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            return
        child = parent


def missing_in(test: ast.expr, is_value: Says) -> bool | None:  # noqa: PLR0911 - a case for each sort of test
    """What a test says where it is true: True that the value is missing, False that it is there, None nothing."""
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            said = missing_in(inner, is_value)
            return None if said is None else not said
        case ast.BoolOp(values=values):
            return next((found for each in values if (found := missing_in(each, is_value)) is not None), None)
        case ast.Compare(ops=[ast.In() | ast.NotIn() as op]) if is_value(test):
            return isinstance(op, ast.NotIn)
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _compared(left, op, right, is_value)
        case ast.NamedExpr(value=inner):
            return missing_in(inner, is_value) if is_value(inner) else None
        case ast.Call(func=ast.Name(id="isinstance"), args=[inner, *_]):
            return False if is_value(inner) else None
        case _:
            return False if is_value(test) else None


def _compared(left: ast.expr, op: ast.cmpop, right: ast.expr, is_value: Says) -> bool | None:
    if not (is_value(left) or is_value(right)):
        return None
    if isinstance(op, _MISSING):
        return not (isinstance(op, ast.Eq) and isinstance(right, ast.Constant) and right.value in (True, 1, b"1", "1"))
    if isinstance(op, _THERE):
        return False
    if isinstance(right, ast.Constant) and right.value == 0 and isinstance(op, ast.Gt):
        return False
    return None


def is_after_miss(node: ast.AST, module: Module, is_value: Says) -> bool:
    """Whether a node is reached where a value is missing, and not, or not only, where it is there."""
    for parent, child in ancestors(node, module):
        if _is_where_missing(parent, child, module, is_value):
            return True
        for block in _blocks(parent):
            if child in block and _left_before(block[: block.index(child)], is_value):
                return True
    return False


def is_after_found(node: ast.AST, module: Module, is_value: Says) -> bool:
    """Whether a node is reached only where a value is there, by the first test that surely says so."""
    found = None
    for parent, child in ancestors(node, module):
        for block in _blocks(parent):
            if child in block:
                before = (_found_after(each, is_value) for each in block[: block.index(child)])
                found = next((said for said in before if said is not None), found)
        if isinstance(parent, ast.If) and (said := _said_surely(parent.test, is_value)) is not None:
            found = child in (parent.orelse if said else parent.body)
    return found is True


def _found_after(statement: ast.AST, is_value: Says) -> bool | None:
    """What holds behind a statement: True that the value is there, False that it is missing, None neither."""
    if not isinstance(statement, ast.If) or not leaves(statement.body[-1:]):
        return None
    return _said_surely(statement.test, is_value)


def _said_surely(test: ast.expr, is_value: Says) -> bool | None:
    """What `missing_in` says, where nothing else decides as well; None where it may be otherwise."""
    match test:
        case ast.BoolOp(op=ast.Or(), values=values):
            return True if any(_said_surely(each, is_value) is True for each in values) else None
        case ast.BoolOp(values=values):
            return False if any(_said_surely(each, is_value) is False for each in values) else None
        case ast.Compare(ops=[ast.Eq() | ast.NotEq()], comparators=[right]) if not _is_none(right):
            return None
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            said = _said_surely(inner, is_value)
            return None if said is None else not said
        case _:
            return missing_in(test, is_value)


def _is_none(expr: ast.expr) -> bool:
    return isinstance(expr, ast.Constant) and expr.value is None


def _is_where_missing(parent: ast.AST, child: ast.AST, module: Module, is_value: Says) -> bool:
    """Whether a node's part is reached where a value is missing."""
    match parent:
        case ast.If(test=test, body=body, orelse=orelse):
            said = missing_in(test, is_value)
            return said is not None and child in (body if said else orelse)
        case ast.IfExp(test=test, body=one, orelse=other):
            said = missing_in(test, is_value)
            return said is not None and child is (one if said else other)
        case ast.While(test=test, body=body):
            return missing_in(test, is_value) is True and child in body
        case ast.ExceptHandler():
            tried = module.parents[parent]
            return isinstance(tried, (ast.Try, ast.TryStar)) and any(_holds(each, is_value) for each in tried.body)
        case _:
            return False


def _blocks(node: ast.AST) -> Iterator[list[ast.AST]]:
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if isinstance(block, list):
            yield block


def _left_before(  # noqa: C901, PLR0911 - a case for each sort of statement
    statements: Sequence[ast.AST], is_value: Says
) -> bool:
    """Whether one of these statements leaves the block where the value is there."""
    for each in statements:
        match each:
            case ast.If(test=test, body=body, orelse=orelse):
                said = missing_in(test, is_value)
                if said is False and _returns_somewhere(body):
                    return True
                if said is True and orelse and _returns_somewhere(orelse):
                    return True
                if said is None and (_left_before(body, is_value) or _gives(body, is_value)):
                    return True
            case ast.Try(body=body) | ast.TryStar(body=body):
                if _left_before(body, is_value):
                    return True
                if any(
                    isinstance(inner, ast.Return) and inner.value is not None and _holds(inner.value, is_value)
                    for inner in body
                ):
                    return True
                if _left_before(each.orelse, is_value) or (
                    each.orelse and leaves(each.orelse) and any(_holds(inner, is_value) for inner in body)
                ):
                    return True
            case ast.With(body=body) | ast.AsyncWith(body=body):
                if _left_before(body, is_value):
                    return True
            case _:
                pass
    return False


def _gives(block: Sequence[ast.AST], is_value: Says) -> bool:
    """Whether a block ends with the value: `if is_good(found): return found`."""
    match block:
        case [*_, ast.Return(value=ast.Name() as value)]:
            return is_value(value)
        case _:
            return False


def _returns_somewhere(block: Sequence[ast.AST]) -> bool:
    """Whether a block may be the end: it leaves, or it does so where the value is good enough."""
    return leaves(block) or any(isinstance(node, ast.Return) for each in block for node in ast.walk(each))


def leaves(block: Sequence[ast.AST]) -> bool:
    """Whether a block leaves what is around it: it returns, raises or goes on with the loop."""
    match block:
        case []:
            return False
        case [*_, ast.Expr(value=ast.Call(func=function))]:
            found = ast.unparse(function) in _LEAVING_CALLS
        case [*_, ast.Try(body=body, orelse=orelse) | ast.TryStar(body=body, orelse=orelse)]:
            found = leaves(body) or leaves(orelse)
        case [*_, ast.With(body=body) | ast.AsyncWith(body=body)]:
            found = leaves(body)
        case [*_, ast.If(body=body, orelse=orelse)]:
            found = leaves(body) and (leaves(orelse) or any(isinstance(each, _LEAVES) for each in block))
        case _:
            found = any(isinstance(each, _LEAVES) for each in block)
    return found


def _holds(node: ast.AST, is_value: Says) -> bool:
    return any(is_value(each) for each in ast.walk(node))


def locks_around(node: ast.AST, scope: Scope) -> Iterator[ast.AST]:
    """The `with` blocks of locks in which a node stands."""
    for parent, _ in ancestors(node, scope.module):
        if isinstance(parent, (ast.With, ast.AsyncWith)) and any(_is_lock(item.context_expr) for item in parent.items):
            yield parent


def _is_lock(expr: ast.expr) -> bool:
    return "lock" in ast.unparse(expr).lower() or "mutex" in ast.unparse(expr).lower()
