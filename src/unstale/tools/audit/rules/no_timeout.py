"""UNS009 no-timeout: a cache entry without an end.

Bad::

    from django.core.cache import cache

    def keep(product, rows):
        cache.set(f"rows:{product.pk}", rows, timeout=None)

Bad::

    import json
    import redis

    client = redis.Redis()

    def product(pk):
        found = client.get(f"product:{pk}")
        if found is None:
            found = json.dumps(load(pk))
            client.set(f"product:{pk}", found)
        return json.loads(found)

Good::

    import redis

    client = redis.Redis()

    def enqueue(job):
        client.set(f"job:{job.id}", job.payload)
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from unstale.tools.audit.code.cache_calls import CacheCall
from unstale.tools.audit.code.guards import ancestors
from unstale.tools.audit.code.keys import written
from unstale.tools.audit.code.kinds import Family
from unstale.tools.audit.code.scopes import Module, Scope
from unstale.tools.audit.code.understood import Code
from unstale.tools.audit.code.verbs import TIMEOUT_NAMES, Verb
from unstale.tools.audit.code.words import VERSION, any_of
from unstale.tools.audit.results import Level
from unstale.tools.audit.rules.base import Hit, Rule
from unstale.tools.audit.rules.fill_race import fills
from unstale.tools.audit.rules.time_stamp_version import shape

_DJANGO: Final = frozenset({Verb.SET, Verb.SET_MANY, Verb.ADD, Verb.GET_OR_SET})
_REDIS: Final = frozenset({Verb.SET, Verb.SET_MANY, Verb.FIELDS_SET})
_CACHE: Final = re.compile(r"(?:^|[^a-z])cach(?:e|ed|es|ing)(?:$|[^a-z])|[a-z]Cache|^Cache", re.IGNORECASE)
_STORE: Final = any_of(
    "lock", "queue", "session", "token", "count", "config", "setting", "registry", "state", "status", "job", "task",
    "subscri", "offset", "cursor", "last_", "lease", "limit", "otp", "nonce", "heartbeat", "progress", "history",
    "message", "flag", "online",
)  # fmt: skip


def find(code: Code) -> Iterator[Hit]:
    """Every store of a cache entry without a time-out."""
    every = [fill.store for scope in code.project.scopes if scope.is_function for fill in fills(code, scope)]
    filled = {store.inner.call for store in every}
    shapes = {shape(store.key) for store in every} - {"*"}
    for scope in code.project.scopes:
        for each in code.calls.in_scope[scope]:
            if each.is_redis:
                if (
                    each.verb in _REDIS
                    and not _has_timeout(each, code)
                    and (each.call in filled or _is_cache(each, code, shapes))
                ):
                    yield Hit(each.call, scope, by_name=each.by_name)
            elif (
                each.verb in _DJANGO
                and each.family is Family.DJANGO
                and isinstance(each.timeout, ast.Constant)
                and each.timeout.value is None
                and not _is_version(each, code)
            ):
                yield Hit(each.call, scope, by_name=each.by_name)
    for module in code.project.modules:
        for node in module.dicts:
            yield from _settings(node, module.scope)


def _is_version(each: CacheCall, code: Code) -> bool:
    """Whether it is a version that is counted: UNS007 asks that it never ends."""
    key = written(code.keys.form(each.key, each.scope)) if each.key is not None else ""
    is_number = not isinstance(each.value, (ast.Dict, ast.List, ast.ListComp, ast.DictComp, ast.Tuple))
    return is_number and any(VERSION.search(f"{name}_") for name in (key, each.scope.name))


def _settings(node: ast.Dict, scope: Scope) -> Iterator[Hit]:
    """`"TIMEOUT": None` beside a BACKEND."""
    names = {
        key.value: (key, value)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant)
    }
    is_cache = "BACKEND" in names or (None in node.keys and _is_in_caches(node, scope.module))
    if is_cache and "TIMEOUT" in names:
        key, value = names["TIMEOUT"]
        if isinstance(value, ast.Constant) and value.value is None:
            yield Hit(key, scope)


def _is_in_caches(node: ast.Dict, module: Module) -> bool:
    """Whether a dict is one of `CACHES = {…}`: `{**others, "TIMEOUT": None}`."""
    return any(
        isinstance(parent, ast.Assign)
        and any(isinstance(each, ast.Name) and each.id == "CACHES" for each in parent.targets)
        for parent, _ in ancestors(node, module)
    )


def _has_timeout(each: CacheCall, code: Code) -> bool:
    """Whether it has an end: of its own, or by `expire` of the same key in the same function."""
    if each.method == "getset":
        return True
    given = {keyword.arg for keyword in each.call.keywords}
    if None in given or given & set(TIMEOUT_NAMES):
        return True
    if each.timeout is not None and each.verb is Verb.SET:
        return True
    wanted = written(code.keys.form(each.key, each.scope)) if each.key is not None else None
    for other in code.calls.in_scope[each.scope]:
        ends = other.verb is Verb.EXPIRE and other.method != "persist"
        if ends and other.key is not None and wanted in {None, written(code.keys.form(other.key, each.scope))}:
            return True
    return any(isinstance(arg, ast.Starred) for arg in each.call.args)


def _is_cache(each: CacheCall, code: Code, shapes: set[str]) -> bool:
    """Whether what is stored is a cache's: it is filled elsewhere, or the key, the function or the class says so."""
    if each.value is None and each.verb is Verb.SET:
        return False
    key = written(code.keys.form(each.key, each.scope)) if each.key is not None else ""
    if each.key is not None and shape(code.keys.form(each.key, each.scope)) in shapes:
        return True
    names = [key, each.scope.qualified]
    if _STORE.search(key) or _STORE.search(each.scope.name):
        return False
    return any(_CACHE.search(name) for name in names)


RULE = Rule(
    "UNS009",
    "no-timeout",
    Level.WARNING,
    "A cache entry that never ends: what is missed by an invalidation stays for good, and memory only grows.",
    "Give it a time-out, as long as a stale answer could be borne: it is the last resort where an invalidation was "
    "missed.",
    find,
    __doc__,
)
