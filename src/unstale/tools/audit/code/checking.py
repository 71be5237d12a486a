"""Whether a text was compared with what may be before a statement is reached, and whatever else it is turned away.

`if word not in WORDS: raise`, `if word in WORDS: …`, `if not word.isdigit(): word = "1"`,
`word if word in WORDS else "new"`, `"".join(each for each in text if each.isdigit())`.
"""

from __future__ import annotations

import ast
from collections.abc import Set as AbstractSet
from typing import Final

from unstale.tools.audit.code.guards import Says, ancestors, leaves
from unstale.tools.audit.code.project import called_name
from unstale.tools.audit.code.scopes import Scope, Value

_CHECKS: Final = frozenset(
    {"isdigit", "isdecimal", "isnumeric", "isalnum", "isidentifier", "match", "fullmatch", "is_valid", "exists"}
)
"""Calls that say of a text whether it is one of those that may be."""


def is_checked(node: ast.AST, scope: Scope, names: AbstractSet[str]) -> bool:
    """Whether a node is reached only with a text that may be.

    Args:
        node: what is reached.
        scope: where it stands.
        names: what the text is called there.
    """

    def has_it(part: ast.AST) -> bool:
        return any(isinstance(each, ast.Name) and each.id in names for each in ast.walk(part))

    for parent, child in ancestors(node, scope.module):
        within = parent.test if isinstance(parent, ast.If) and child in parent.body else None
        if within is not None and _says(_opened(within, scope), has_it, is_one=True):
            return True
        for name in ("body", "orelse", "finalbody"):
            block = getattr(parent, name, None)
            if isinstance(block, list) and child in block:
                before = block[: block.index(child)]
                if any(isinstance(each, ast.If) and _turns_away(each, scope, has_it, names) for each in before):
                    return True
    return False


def is_one_of(part: ast.expr, choice: ast.IfExp) -> bool:
    """Whether one of the two parts of `word if word in WORDS else "new"` is given only where it is one that may be."""
    wanted = ast.dump(part)

    def has_it(within: ast.AST) -> bool:
        return any(ast.dump(each) == wanted for each in ast.walk(within))

    return _says(choice.test, has_it, is_one=part is choice.body)


def is_sifted(made: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> bool:
    """Whether a comprehension has nothing in it but what may be: `each for each in text if each.isdigit()`."""
    names = {each.id for each in ast.walk(made.elt) if isinstance(each, ast.Name)}
    checked = {
        loop.target.id
        for loop in made.generators
        if isinstance(loop.target, ast.Name) and any(_says_of(test, loop.target.id) for test in loop.ifs)
    }
    return names <= checked


def _says_of(test: ast.expr, name: str) -> bool:
    def has_it(part: ast.AST) -> bool:
        return any(isinstance(each, ast.Name) and each.id == name for each in ast.walk(part))

    return _says(test, has_it, is_one=True)


def _opened(test: ast.expr, scope: Scope) -> ast.expr:
    """A test with what was found out before in the place of its name: `found = WORD.match(text)`, `if not found:`."""
    match test:
        case ast.UnaryOp(op=ast.Not() as op, operand=inner):
            return ast.UnaryOp(op, _opened(inner, scope))
        case ast.BoolOp(op=either, values=values):
            return ast.BoolOp(either, [_opened(each, scope) for each in values])
        case ast.Compare(left=left, ops=[ast.Is() | ast.IsNot() as op], comparators=[ast.Constant(value=None)]):
            found = _opened(left, scope)
            return found if isinstance(op, ast.IsNot) else ast.UnaryOp(ast.Not(), found)
        case ast.NamedExpr(value=inner):
            return inner
        case ast.Name(id=name):
            bound = scope.bindings.get(name, [])
            return bound[0].expr if len(bound) == 1 and isinstance(bound[0], Value) and not bound[0].steps else test
        case _:
            return test


def _says(test: ast.expr, has_it: Says, *, is_one: bool) -> bool:
    """Whether a test says of a text that it is one of those that may be, or that it is none."""
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            return _says(inner, has_it, is_one=not is_one)
        case ast.BoolOp(op=op, values=values):
            return isinstance(op, ast.And) is is_one and any(_says(each, has_it, is_one=is_one) for each in values)
        case ast.Compare(left=left, ops=[ast.In() | ast.NotIn() as op]):
            return isinstance(op, ast.In) is is_one and has_it(left)
        case ast.Compare(left=left, ops=[ast.Eq() | ast.NotEq() as op], comparators=[right]):
            is_empty = isinstance(right, ast.Constant) and not right.value
            return isinstance(op, ast.Eq) is is_one and not is_empty and (has_it(left) or has_it(right))
        case ast.Call(func=func, args=args):
            return is_one and called_name(test) in _CHECKS and (has_it(func) or any(map(has_it, args)))
        case _:
            return False


def _turns_away(statement: ast.If, scope: Scope, has_it: Says, names: AbstractSet[str]) -> bool:
    """Whether what is none of those leaves, or becomes another text."""
    return _says(_opened(statement.test, scope), has_it, is_one=False) and (
        leaves(statement.body[-1:]) or any(_is_set(each, names) for each in statement.body)
    )


def _is_set(statement: ast.stmt, names: AbstractSet[str]) -> bool:
    return isinstance(statement, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id in names for target in statement.targets
    )
