"""UNS007 counter-version: a version that is counted up and can expire.

Bad::

    from django.core.cache import cache

    def orders_key(user):
        version = cache.get(f"version:{user.pk}") or 1
        return f"orders:{user.pk}:{version}"

    def changed(user):
        try:
            cache.incr(f"version:{user.pk}")
        except ValueError:
            cache.set(f"version:{user.pk}", 1)

    def orders(user):
        return cache.get(orders_key(user))

Good::

    from django.core.cache import cache

    def visits(page):
        cache.add(f"visits:{page}", 0, 60)
        return cache.incr(f"visits:{page}")
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from unstale.tools.audit.code.kinds import Family
from unstale.tools.audit.code.project import called_name
from unstale.tools.audit.code.scopes import Scope
from unstale.tools.audit.code.understood import Code
from unstale.tools.audit.code.verbs import Verb
from unstale.tools.audit.code.wrappers import Deed
from unstale.tools.audit.results import Level
from unstale.tools.audit.rules.base import Hit, Rule
from unstale.tools.audit.rules.time_stamp_version import shape

_READS: Final = frozenset({Verb.GET, Verb.GET_OR_SET, Verb.COUNT})
_KEYED: Final = frozenset({Verb.GET, Verb.SET, Verb.GET_OR_SET, Verb.ADD, Verb.HAS, Verb.DELETE})
_DRAWN: Final = frozenset({
    "uuid4", "uuid1", "token_hex", "token_urlsafe", "randint", "random", "get_random_string", "time", "now",
    "time_ns", "utcnow", "hex", "getrandbits",
})  # fmt: skip


def find(code: Code) -> Iterator[Hit]:
    """Every call that counts a version up, or draws one, whose key can expire."""
    versions = _versions(code)
    if not versions:
        return
    deeds = [
        deed
        for scope in code.project.scopes
        for deed in code.wrappers.deeds(scope)
        if shape(deed.key) in versions and deed.depth == 0
    ]
    for key in versions:
        own = [each for each in deeds if shape(each.key) == key]
        if not _can_expire(own):
            continue
        counting = [each for each in own if each.verb is Verb.COUNT]
        drawing = [each for each in own if each.verb is Verb.SET and _is_next(each, code)]
        for each in (*counting, *drawing):
            also = tuple(
                other.call
                for other in own
                if other.verb in {Verb.SET, Verb.ADD} and other.scope.module is each.scope.module
            )
            yield Hit(each.call, each.scope, also=also, by_name=each.inner.by_name)


def _versions(code: Code) -> set[str]:
    """The shapes of keys whose values are part of other keys."""
    found: set[str] = set()
    for scope in code.project.scopes:
        if not scope.is_function:
            continue
        for deed in code.wrappers.deeds(scope):
            if (
                deed.verb in _READS
                and deed.key
                and deed.depth == 0
                and _is_in_a_key(deed.call, scope, code, shape(deed.key))
            ):
                found.add(shape(deed.key))
    return {each for each in found if each.strip("*")}


def _is_in_a_key(  # noqa: C901 - three ways on
    call: ast.Call, scope: Scope, code: Code, own: str
) -> bool:
    """Follow what was read, through names and results, to another cache key."""
    waiting: list[tuple[Scope, frozenset[ast.AST], frozenset[str]]] = [(scope, frozenset({call}), frozenset())]
    seen: set[object] = set()
    while waiting and len(seen) < 60:  # noqa: PLR2004 - far enough
        state = waiting.pop(0)
        if state in seen:
            continue
        seen.add(state)
        where, seeds, names = state
        carried = code.derivation.carried(where, seeds, names)
        for other in code.calls.in_scope[where]:
            is_used = other.verb in _KEYED and other.call not in seeds and any(map(carried.has, other.keys))
            if is_used and shape(code.keys.form(other.keys[0], where)) != own:
                return True
        for used in where.calls:
            if used in code.calls.of:
                continue
            for target in code.inference.targets(used, where)[:2]:
                given = {
                    p.name
                    for p in target.parameters
                    for at, arg in enumerate(used.args)
                    if p.position in {at, at + (target.owner is not None)}
                    and carried.has(arg)
                    and p.name not in {"self", "cls"}
                }
                if given:
                    waiting.append((target, frozenset(), frozenset(given)))
        if any(carried.has(each) for each in where.returns):
            if _is_key_bit(where, code):
                return True
            waiting += [(site.scope, frozenset({site.call}), frozenset()) for site in code.callers.direct(where)]
    return False


def _is_key_bit(scope: Scope, code: Code) -> bool:
    """Whether drf-extensions puts what a method returns into its keys."""
    owner = scope.owner
    return (
        scope.name == "get_data"
        and owner is not None
        and any(base.name.endswith("KeyBitBase") for base in code.inference.externals_of(owner))
    )


def _can_expire(own: list[Deed]) -> bool:
    """Whether some call gives the version's key an end."""
    for each in own:
        timeout = each.inner.timeout
        given = timeout is not None and not (isinstance(timeout, ast.Constant) and timeout.value is None)
        if each.verb is Verb.EXPIRE and each.inner.method != "persist" and given:
            return True
        if each.verb in {Verb.SET, Verb.ADD, Verb.GET_OR_SET}:
            if given:
                return True
            if timeout is None and each.inner.family in {Family.DJANGO, Family.FLASK}:
                return True
    return False


def _is_next(deed: Deed, code: Code) -> bool:
    """Whether what is stored is the next one, or was drawn."""
    if deed.value is None:
        return False
    carried = code.derivation.carried(
        deed.scope, [each.call for each in code.calls.in_scope[deed.scope] if each.verb is Verb.GET]
    )
    for node in ast.walk(deed.value):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and carried.has(node):
            return True
        if isinstance(node, ast.Call) and called_name(node) in _DRAWN:
            return True
        if isinstance(node, ast.Name):
            for source in code.derivation.sources(node, deed.scope):
                if isinstance(source.node, ast.Call) and called_name(source.node) in _DRAWN:
                    return True
            home, bindings = code.inference.home(node.id, deed.scope)
            for binding in bindings if home is deed.scope else []:
                expr = getattr(binding, "expr", None)
                if isinstance(expr, ast.BinOp) and isinstance(expr.op, ast.Add) and carried.has(expr):
                    return True
    return False


RULE = Rule(
    "UNS007",
    "counter-version",
    Level.ERROR,
    "A version that is part of other keys can expire or be evicted. Then it begins anew, and old values under old "
    "numbers come back.",
    "A tag: its stamp is never used twice, and a lost one makes its values stale. Else store the version "
    "with timeout=None.",
    find,
    __doc__,
)
