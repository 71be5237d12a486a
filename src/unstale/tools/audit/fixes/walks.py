"""The shapes in which keys are walked only to be deleted, each of which is one `delete_pattern`.

    cache.delete_many(cache.keys(pattern))
    keys = cache.keys(pattern)                     # and then
    cache.delete_many(keys)
    for key in cache.iter_keys(pattern):
        cache.delete(key)
    [cache.delete(key) for key in cache.iter_keys(pattern)]

Each of them exactly: the same cache, nothing but the pattern given to the walk, and nothing but the key to the delete.
"""

from __future__ import annotations

from typing import NamedTuple

import libcst as cst
from libcst import matchers as m

_WALK = m.Call(func=m.Attribute(attr=m.Name("keys") | m.Name("iter_keys")), args=[m.Arg(keyword=None, star="")])


class WalkedDelete(NamedTuple):
    """A walk and the delete of what it finds.

    Attributes:
        walk: `cache.keys(pattern)`.
        delete: `cache.delete_many(…)` or `cache.delete(key)`.
    """

    walk: cst.Call
    delete: cst.Call

    @property
    def pattern_delete(self) -> cst.Call:
        """What does the same."""
        func = cst.ensure_type(self.walk.func, cst.Attribute)
        return self.walk.with_changes(func=func.with_changes(attr=cst.Name("delete_pattern")))


def of_expression(node: cst.BaseExpression) -> WalkedDelete | None:
    """Of an expression that is a statement."""
    match node:
        case cst.Call(args=[cst.Arg(value=cst.Call() as walk, keyword=None, star="")]):
            return _checked(walk, node, "delete_many")
        case cst.ListComp(
            elt=cst.Call(args=[cst.Arg(value=cst.Name(value=given), keyword=None, star="")]) as delete,
            for_in=cst.CompFor(
                target=cst.Name(value=key), iter=cst.Call() as walk, ifs=[], inner_for_in=None, asynchronous=None
            ),
        ) if key == given:
            return _checked(walk, delete, "delete")
        case _:
            return None


def of_loop(node: cst.For) -> WalkedDelete | None:
    """Of a loop that does nothing else."""
    match node:
        case cst.For(
            target=cst.Name(value=key),
            iter=cst.Call() as walk,
            body=cst.IndentedBlock(body=[cst.SimpleStatementLine(body=[cst.Expr(value=cst.Call() as delete)])])
            | cst.SimpleStatementSuite(body=[cst.Expr(value=cst.Call() as delete)]),
            orelse=None,
            asynchronous=None,
        ) if not m.findall(node.body, m.Comment()) and m.matches(
            delete, m.Call(args=[m.Arg(value=m.Name(key), keyword=None, star="")])
        ):
            return _checked(walk, delete, "delete")
        case _:
            return None


def of_two(first: cst.BaseStatement, second: cst.BaseStatement) -> tuple[WalkedDelete, str] | None:
    """Of two statements, with the name that the keys have in between."""
    match first, second:
        case (
            cst.SimpleStatementLine(
                body=[cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))], value=cst.Call() as walk)]
            ),
            cst.SimpleStatementLine(
                body=[
                    cst.Expr(
                        value=cst.Call(args=[cst.Arg(value=cst.Name(value=given), keyword=None, star="")]) as delete
                    )
                ],
                leading_lines=[],
            ),
        ) if name == given and (found := _checked(walk, delete, "delete_many")):
            return found, name
        case _:
            return None


def _checked(walk: cst.Call, delete: cst.Call, method: str) -> WalkedDelete | None:
    if not m.matches(walk, _WALK) or not m.matches(delete.func, m.Attribute(attr=m.Name(method))):
        return None
    one, other = cst.ensure_type(walk.func, cst.Attribute), cst.ensure_type(delete.func, cst.Attribute)
    return WalkedDelete(walk, delete) if one.value.deep_equals(other.value) else None
