"""What little is known of the order of statements: whether a parameter's name was bound again before it is used.

`data = serializer.validated_data`: what is read as `data` behind it is not what the caller gave. Only a statement that
surely runs before the use counts: one in the same block, or in one around it.
"""

from __future__ import annotations

import ast

from unstale.tools.audit.code.scopes import Parameter, Scope


def is_bound_again(name: ast.Name, function: Scope) -> bool:
    """Whether a name is a parameter's that surely stands for something else where it is used.

    Args:
        name: where it is used, in the function or in one within it.
        function: the name is its parameter.
    """
    bindings = function.bindings.get(name.id, ())
    if len(bindings) < 2 or not any(isinstance(each, Parameter) for each in bindings):  # noqa: PLR2004 - and another
        return False
    child: ast.AST = name
    while child is not function.node:
        parent = function.module.parents[child]
        for field in ("body", "orelse", "finalbody"):
            block = getattr(parent, field, None)
            before = block[: block.index(child)] if isinstance(block, list) and child in block else []
            if any(_binds(each, name.id) for each in before):
                return True
        child = parent
    return False


def _binds(statement: ast.AST, name: str) -> bool:
    match statement:
        case ast.Assign(targets=targets):
            return any(isinstance(each, ast.Name) and each.id == name for each in targets)
        case ast.AnnAssign(target=ast.Name(id=target), value=value):
            return target == name and value is not None
        case _:
            return False
