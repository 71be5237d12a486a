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

from unstale.tools.audit.code.declarations import nameless
from unstale.tools.audit.code.understood import Code
from unstale.tools.audit.code.verbs import Verb
from unstale.tools.audit.code.walks import Fate, Walk
from unstale.tools.audit.results import Level
from unstale.tools.audit.rules.base import Hit, Rule
from unstale.tools.audit.tag_patterns import proposals


def find(code: Code) -> Iterator[Hit]:
    """Every walk whose keys are deleted."""
    for walk in code.walks:
        if walk.fate is Fate.DELETED:
            known = code.calls.of.get(walk.call) if isinstance(walk.call, ast.Call) else None
            if known is not None and known.verb is Verb.PATTERN and _is_declared(walk, code):
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


def _is_declared(walk: Walk, code: Code) -> bool:
    if walk.pattern is None or not code.declared:
        return False
    needed = proposals(code, walk.pattern, walk.scope)
    return bool(needed) and {nameless(each) for each in needed} <= code.declared


RULE = Rule(
    "UNS001",
    "pattern-delete",
    Level.WARNING,
    "Keys are deleted by walking the keyspace: the cost grows with all keys that there are, not with those deleted.",
    "Give the values a tag, and invalidate the tag: one small write, whatever the size of the keyspace.",
    find,
    __doc__,
)
