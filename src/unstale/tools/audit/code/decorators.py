"""What a function's decorators make of it, by their names."""

from __future__ import annotations

import ast
from typing import Final

from unstale.tools.audit.code.scopes import Scope

PROPERTIES: Final = frozenset(
    {"property", "cached_property", "classproperty", "lazy_property", "reify", "async_property"}
)


def decorator_names(scope: Scope) -> list[str]:
    """The last part of each decorator's name."""
    found = []
    for each in scope.decorators:
        expr = each.func if isinstance(each, ast.Call) else each
        found.append(expr.attr if isinstance(expr, ast.Attribute) else expr.id if isinstance(expr, ast.Name) else "")
    return found


def is_property(function: Scope) -> bool:
    """Whether reading it calls it."""
    return not PROPERTIES.isdisjoint(decorator_names(function))


def is_static(function: Scope) -> bool:
    """Whether it takes neither `self` nor `cls`."""
    return "staticmethod" in decorator_names(function)


def is_class_method(function: Scope) -> bool:
    """Whether it takes `cls`."""
    return "classmethod" in decorator_names(function) or function.name in {
        "__new__",
        "__init_subclass__",
        "__class_getitem__",
    }
