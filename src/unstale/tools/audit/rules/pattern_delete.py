"""UNS001 pattern-delete: keys are deleted by walking the keyspace.

Bad::

    from django.core.cache import cache

    def changed(user):
        cache.delete_pattern(f"user:{user.pk}:*")

Bad::

    import redis

    client = redis.Redis()

    def forget(prefix):
        for key in client.scan_iter(prefix + "*"):
            client.delete(key)

Good::

    from django.core.cache import cache

    def changed(user):
        cache.delete(f"user:{user.pk}:orders")

Good::

    def forget(cached: dict[str, int]):
        for key in list(cached.keys()):
            del cached[key]
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from unstale.tools.audit.code.cache_calls import CacheCall
from unstale.tools.audit.code.kinds import Family
from unstale.tools.audit.code.understood import Code
from unstale.tools.audit.code.walks import Fate
from unstale.tools.audit.results import Level
from unstale.tools.audit.rules.base import Hit, Rule
from unstale.tools.audit.tag_patterns import proposals


def find(code: Code) -> Iterator[Hit]:
    """Every walk whose keys are deleted."""
    for walk in code.walks:
        if walk.fate is Fate.DELETED:
            known = code.calls.of.get(walk.call) if isinstance(walk.call, ast.Call) else None
            if known is not None and is_declared(known, code):
                continue  # unstale's backend makes it one write
            yield Hit(
                walk.call,
                walk.scope,
                f"{walk.how} goes through every key of the database, whatever it finds: its cost grows with the "
                "keyspace, and the server does nothing else meanwhile.",
                also=walk.also,
                reached_by=walk.scope,
                pattern=walk.pattern,
                by_name=known is not None and known.by_name,
            )


def is_declared(call: CacheCall, code: Code) -> bool:
    """Whether it is a pattern delete of unstale's backend whose pattern the settings declare: one write."""
    is_one = call.family is Family.DJANGO and call.method in {"delete_pattern", "adelete_pattern"}
    if not is_one or call.by_name or call.key is None:
        return False
    if any(each.arg == "prefix" for each in call.call.keywords) or not code.caches.on_unstale(call.aliases):
        return False  # with a prefix of its own it is undeclared
    return code.caches.declare(call.aliases, proposals(code, call.key, call.scope))


RULE = Rule(
    "UNS001",
    "pattern-delete",
    Level.WARNING,
    "Keys are deleted by walking the keyspace: the cost grows with all keys that there are, not with those deleted.",
    "Give the values a tag, and invalidate the tag: one small write, whatever the size of the keyspace.",
    find,
    __doc__,
)
