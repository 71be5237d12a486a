"""UNS004 before-commit: the cache is changed before the transaction's COMMIT.

Bad::

    from django.core.cache import cache
    from django.db import transaction

    def rename(user, name):
        with transaction.atomic():
            user.name = name
            user.save()
            cache.delete(f"user:{user.pk}")

Bad::

    from django.core.cache import cache
    from django.db.models.signals import post_save
    from django.dispatch import receiver

    @receiver(post_save)
    def saved(sender, instance, **kwargs):
        cache.delete(f"user:{instance.pk}")

Good::

    from django.core.cache import cache
    from django.db import transaction

    def rename(user, name):
        with transaction.atomic():
            user.name = name
            user.save()
            transaction.on_commit(lambda: cache.delete(f"user:{user.pk}"))

Good::

    from django.core.cache import cache
    from django.db import transaction

    def rename(user, name):
        with transaction.atomic():
            user.save()
        cache.delete(f"user:{user.pk}")
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from unstale.tools.audit.code.guards import ancestors
from unstale.tools.audit.code.keys import written
from unstale.tools.audit.code.kinds import External, Function
from unstale.tools.audit.code.project import called_name
from unstale.tools.audit.code.scopes import Scope
from unstale.tools.audit.code.understood import Code
from unstale.tools.audit.code.verbs import Verb
from unstale.tools.audit.code.words import VERSION, any_of
from unstale.tools.audit.code.wrappers import Deed
from unstale.tools.audit.results import Level
from unstale.tools.audit.rules.base import Hit, Rule
from unstale.tools.audit.rules.fill_race import fills
from unstale.tools.audit.rules.key_from_input import NO_CACHE

SIGNALS: Final = frozenset({"post_save", "pre_save", "post_delete", "pre_delete", "m2m_changed"})
_CHANGES: Final = frozenset(
    {Verb.DELETE, Verb.DELETE_MANY, Verb.PATTERN, Verb.CLEAR, Verb.SET, Verb.SET_MANY, Verb.COUNT}
)
SHORT: Final = 5
"""A function with no more calls than these does one thing."""
_SAYS_CACHE: Final = re.compile(
    r"cache|redis|invalidat|purge|evict|flush|bust|expire|forget|clear|refresh|bump", re.IGNORECASE
)
_WRITES: Final = frozenset({
    "save", "create", "bulk_create", "update", "get_or_create", "update_or_create", "bulk_update", "commit", "asave",
    "acreate",
})  # fmt: skip
"""Methods by which a function changes the database."""
_LOCK: Final = any_of("lock", "mutex", "throttl", "rate_limit", "ratelimit")


def find(code: Code) -> Iterator[Hit]:
    """Every change of the cache within a transaction or a model's signal."""
    connected = _connected(code)
    for scope in code.project.scopes:
        if not scope.is_function:
            continue
        receiver = scope in connected or _is_receiver(scope, code)
        atomic = any(_is_atomic(each, scope.parent or scope, code) for each in scope.decorators)
        if not (receiver or atomic or _has_atomic(scope, code)):
            continue
        stores = {fill.store.call for fill in fills(code, scope)}
        seen: set[ast.Call] = set()
        for deed in code.wrappers.deeds(scope):
            if deed.call in seen or deed.call in stores or not _changes(deed):
                continue
            within = atomic or _within_atomic(deed.call, scope, code)
            if not (receiver or (within and deed.depth <= 1)) or _is_put_off(deed.call, scope):
                continue
            if deed.depth == 0 or _is_about_caches(deed.call, scope, code):
                seen.add(deed.call)
                where = "a signal of the model" if receiver and not within else "a transaction"
                yield Hit(
                    deed.call,
                    scope,
                    f"This runs within {where}, before COMMIT: until then others load the old rows again and "
                    "store them, and after a rollback the cache was changed for nothing.",
                    by_name=deed.inner.by_name,
                )


def _is_about_caches(call: ast.Call, scope: Scope, code: Code) -> bool:
    """Whether a helper is there for the cache, and not a step of the program that changes the cache as well."""
    for target in code.inference.likely(call, scope):
        names = (target.name, target.owner.name if target.owner is not None else "")
        if any(_SAYS_CACHE.search(name) for name in names):
            return True
        if len(target.calls) <= SHORT and _WRITES.isdisjoint(map(called_name, target.calls)):
            return True
    return False


def _changes(deed: Deed) -> bool:
    text = written(deed.key)
    if deed.inner.is_redis and NO_CACHE.search(text):
        return False
    if deed.verb not in _CHANGES or _LOCK.search(text) or deed.later:
        return False
    return deed.verb is not Verb.COUNT or VERSION.search(text) is not None


def _connected(code: Code) -> set[Scope]:
    """Functions that are connected to a signal by a call: `post_save.connect(saved)`."""
    found: set[Scope] = set()
    for call, scope in code.project.calls.get("connect", ()):
        if isinstance(call.func, ast.Attribute) and _is_signal(call.func.value, scope, code):
            given = [*call.args[:1], *[each.value for each in call.keywords if each.arg == "receiver"]]
            found |= {
                kind.scope for each in given for kind in code.inference.kinds(each, scope) if isinstance(kind, Function)
            }
    return found


def _is_receiver(scope: Scope, code: Code) -> bool:
    around = scope.parent or scope
    for each in scope.decorators:
        if isinstance(each, ast.Call) and _last(each.func) == "receiver" and each.args:
            signals = each.args[0].elts if isinstance(each.args[0], (ast.List, ast.Tuple)) else [each.args[0]]
            if any(_is_signal(signal, around, code) for signal in signals):
                return True
        if (
            isinstance(each, ast.Call)
            and _last(each.func) == "connect"
            and isinstance(each.func, ast.Attribute)
            and _is_signal(each.func.value, around, code)
        ):
            return True
    return False


def _is_signal(expr: ast.expr, scope: Scope, code: Code) -> bool:
    if _last(expr) in SIGNALS:
        return True
    return any(
        isinstance(kind, External) and kind.name.rpartition(".")[2] in SIGNALS
        for kind in code.inference.kinds(expr, scope)
    )


def _is_atomic(expr: ast.expr, scope: Scope, code: Code) -> bool:
    if isinstance(expr, ast.Call):
        if _last(expr.func) == "method_decorator":
            return any(_is_atomic(each, scope, code) for each in expr.args[:1])
        return _is_atomic(expr.func, scope, code)
    names = {kind.name for kind in code.inference.kinds(expr, scope) if isinstance(kind, External)}
    if names:
        return any(name.startswith("django.db") and name.endswith((".atomic", ".commit_on_success")) for name in names)
    return isinstance(expr, ast.Attribute) and expr.attr == "atomic" and _last(expr.value) == "transaction"


def _has_atomic(scope: Scope, code: Code) -> bool:
    return any(_is_atomic(item.context_expr, scope, code) for each in scope.withs for item in each.items)


def _within_atomic(node: ast.AST, scope: Scope, code: Code) -> bool:
    for parent, child in ancestors(node, scope.module):
        items = parent.items if isinstance(parent, (ast.With, ast.AsyncWith)) and child in parent.body else []
        if any(_is_atomic(item.context_expr, scope, code) for item in items):
            return True
    return False


def _is_put_off(node: ast.AST, scope: Scope) -> bool:
    """Whether a call is an argument of `on_commit`, or of what runs it later."""
    return any(
        isinstance(parent, ast.Call) and called_name(parent) in {"on_commit", "run_on_commit", "run_after_commit"}
        for parent, _ in ancestors(node, scope.module)
    )


def _last(expr: ast.expr) -> str:
    match expr:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


RULE = Rule(
    "UNS004",
    "before-commit",
    Level.ERROR,
    "The cache is changed before the transaction's COMMIT: until then others load the old rows again and store "
    "them, and they stay.",
    "Do it after COMMIT: transaction.on_commit(lambda: …). unstale's Django backend does so by itself for tags and "
    "declared patterns, and invalidates(Model, …) needs no signal.",
    find,
    __doc__,
)
