"""UNS006 time-stamp-version: a time is stored to be compared with another time.

Bad::

    import time
    from django.core.cache import cache

    def changed(user):
        cache.set(f"user:{user.pk}:changed", time.time())

    def orders(user):
        found = cache.get(f"orders:{user.pk}")
        if found and found["stored_at"] > cache.get(f"user:{user.pk}:changed", 0):
            return found["orders"]
        return None

Good::

    import time
    from django.core.cache import cache

    def seen(user):
        cache.set(f"seen:{user.pk}", time.time())

    def last_seen(user):
        return cache.get(f"seen:{user.pk}")

Good::

    import time
    from django.core.cache import cache

    def is_blocked(address):
        last = cache.get(f"tries:{address}")
        if last and time.time() - last < 60:
            return True
        cache.set(f"tries:{address}", time.time())
        return False
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from unstale.tools.audit.code.keys import Form
from unstale.tools.audit.code.kinds import Function
from unstale.tools.audit.code.project import called_name
from unstale.tools.audit.code.scopes import Parameter, Scope
from unstale.tools.audit.code.understood import Code
from unstale.tools.audit.code.verbs import Verb
from unstale.tools.audit.code.wrappers import Deed
from unstale.tools.audit.results import Level
from unstale.tools.audit.rules.base import Hit, Rule

_TIMES: Final = re.compile(
    r"updated|modified|changed|invalidat|timestamp|_at$|last_|mtime|stamp|since|created|_ts$|^ts$|version",
    re.IGNORECASE,
)
_NOW: Final = re.compile(r"now|current|expir", re.IGNORECASE)
_ORDERS: Final = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
_STORES: Final = frozenset({Verb.SET, Verb.ADD, Verb.FIELDS_SET, Verb.SET_MANY})
_READS: Final = frozenset({Verb.GET, Verb.FIELDS_GET, Verb.GET_MANY})


class Comparison(NamedTuple):
    """Two times compared, one at least from a cache.

    Attributes:
        node: the comparison.
        scope: where it stands.
        reads: the shapes of the keys from which its times come.
    """

    node: ast.Compare
    scope: Scope
    reads: frozenset[str]


def find(code: Code) -> Iterator[Hit]:
    """Every store of a time that is compared with another one, which is not now."""
    stamped = [
        (deed.call, scope, shape(deed.key), deed.inner.by_name)
        for scope in code.project.scopes
        for deed in code.wrappers.deeds(scope)
        if deed.verb in _STORES
        and deed.value is not None
        and deed.depth <= 1
        and code.origins.clock_in(deed.value, scope) is not None
    ]
    if not stamped:
        return
    reading = {
        scope.module for scope in code.project.scopes if any(deed.verb in _READS for deed in code.wrappers.deeds(scope))
    }
    comparisons = [each for module in reading for scope in module.scopes.values() for each in _comparisons(scope, code)]
    seen: set[ast.Call] = set()
    for call, scope, key, by_name in stamped:
        for each in comparisons:
            is_its = key in each.reads if key.strip("*") else _is_near(each.scope, scope)
            if call not in seen and is_its:
                seen.add(call)
                also = (each.node,) if each.scope.module is scope.module else ()
                yield Hit(call, scope, also=also, by_name=by_name)


def _is_near(one: Scope, other: Scope) -> bool:
    """Whether two functions are one, or of one class: where nothing is known of their keys, these may be the same."""
    return one is other or (one.owner is not None and one.owner is other.owner)


def shape(key: Form) -> str:
    """A key with `*` for its values."""
    return "".join(part if isinstance(part, str) else "*" for part in key)


def _comparisons(scope: Scope, code: Code) -> Iterator[Comparison]:
    for node in scope.compares:
        if len(node.ops) != 1 or not isinstance(node.ops[0], _ORDERS):
            continue
        left, right = _Side(node.left, scope, code), _Side(node.comparators[0], scope, code)
        is_one = (left.reads and right.is_time) or (right.reads and left.is_time)
        is_order = not isinstance(node.ops[0], (ast.Eq, ast.NotEq))
        if is_one and not any(
            each.is_now and not (is_order and _is_kept(each.expr, scope, code)) for each in (left, right)
        ):
            yield Comparison(node, scope, frozenset(left.reads | right.reads))


def _is_kept(expr: ast.expr, scope: Scope, code: Code) -> bool:
    """Whether a time is stored as it is compared: then it is a stamp, and not now."""
    if not isinstance(expr, ast.Name):
        return False
    carried = code.derivation.carried(scope, (), [expr.id], code.origins.keeps_time)
    stores = (each for each in code.wrappers.deeds(scope) if each.verb in _STORES and each.value is not None)
    return any(carried.has(each.value) for each in stores if each.value is not None)


class _Side:
    """One side of a comparison: what it comes from."""

    def __init__(self, expr: ast.expr, scope: Scope, code: Code) -> None:
        self.expr = expr
        self.reads: set[str] = set()
        self.is_now = False
        self.is_time = not isinstance(expr, ast.Constant) and any(_is_time(_said(node)) for node in ast.walk(expr))
        if isinstance(expr, ast.Constant):
            return
        for source in code.derivation.sources(expr, scope, callers=1):
            if isinstance(source.node, ast.Call):
                self.reads |= {shape(deed.key) for deed in _read_by(source.node, source.scope, code)}
                self.is_now = self.is_now or code.origins.is_clock(source.node, source.scope)
            is_function = isinstance(source.node, ast.Name) and any(
                isinstance(kind, Function) for kind in code.inference.kinds(source.node, source.scope)
            )
            self.is_time = self.is_time or (_is_time(_said(source.node)) and not is_function)
        if self.reads and self.is_now:  # what was read is older, unless the clock is asked beside it
            clocks = [call for call in scope.calls if code.origins.is_clock(call, scope)]
            self.is_now = code.derivation.carried(scope, clocks).has(expr)
        self.is_time = self.is_time or bool(self.reads) or (self.is_now and _is_kept(expr, scope, code))


def _read_by(call: ast.Call, scope: Scope, code: Code) -> Iterator[Deed]:
    return (deed for deed in code.wrappers.deeds(scope) if deed.call is call and deed.verb in _READS)


def _is_time(name: str) -> bool:
    return _TIMES.search(name) is not None and _NOW.search(name) is None


def _said(node: ast.AST | Parameter) -> str:
    """What something is called."""
    match node:
        case Parameter(name=name) | ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case ast.Call():
            return called_name(node)
        case _:
            return ""


RULE = Rule(
    "UNS006",
    "time-stamp-version",
    Level.ERROR,
    "Whether a value is fresh is decided by comparing times. Clocks differ between hosts, and a value that was loaded "
    "before a change and stored after it has the newer time: it is served, stale.",
    "A tag: its stamp is random and is observed before the load, so no clock decides.",
    find,
    __doc__,
)
