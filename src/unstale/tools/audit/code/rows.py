"""Whether two keys are one: `user:{user_id}`, and `user:{user.id}` of the row that was loaded by that id.

Only keys of one value each, the same text around it, and a field that is called as the value was: `user_id` and
`user.id`, `email` and `user.email`. Keys of several values are never taken for one: which is which cannot be told.
"""

from __future__ import annotations

import ast
import re
from typing import Final

from unstale.tools.audit.code.keys import Form, Hole
from unstale.tools.audit.code.scopes import Scope, Value

_DOTTED: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_IDS: Final = frozenset({"id", "pk"})


def is_by_its_row(scope: Scope, asked: Form, stored: Form) -> bool:
    """Whether a key that is stored names the row that was loaded by what another key was made of.

    Args:
        scope: the function in which both stand.
        asked: the key that was read.
        stored: the key that is stored.
    """
    value, field = _only_value(asked), _only_value(stored)
    if value is None or field is None or _around(asked) != _around(stored) or "." not in field:
        return False
    row, _, name = field.rpartition(".")
    return _is_called(value, name) and row.partition(".")[0] in _found_by(scope, value.partition(".")[0])


def _only_value(key: Form) -> str | None:
    """The one value of a key, if it is a name or a dotted one, and there is text beside it."""
    holes = [part.text for part in key if isinstance(part, Hole)]
    return holes[0] if len(holes) == 1 and len(key) > 1 and _DOTTED.fullmatch(holes[0]) else None


def _around(key: Form) -> list[str | None]:
    return [part if isinstance(part, str) else None for part in key]


def _is_called(value: str, name: str) -> bool:
    """Whether a value is called as a field is: `user_id` as `id` or `pk`, `email` as `email`."""
    last = value.rpartition(".")[2]
    return any(last == each or last.endswith(f"_{each}") for each in (_IDS if name in _IDS else {name}))


def _found_by(scope: Scope, name: str) -> set[str]:
    """The names in a function for what was found by a value: in a query, too, that compares with it."""
    found: set[str] = set()
    waiting = {name}
    while waiting:
        found |= waiting
        waiting = {
            each
            for each, bindings in scope.bindings.items()
            if each not in found and any(isinstance(one, Value) and _names_in(one.expr) & found for one in bindings)
        }
    return found - {name}


def _names_in(expr: ast.expr) -> set[str]:
    return {each.id for each in ast.walk(expr) if isinstance(each, ast.Name)}
