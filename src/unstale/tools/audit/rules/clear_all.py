"""UNS003 clear-all: a whole shared cache is emptied.

Bad::

    from django.core.cache import cache

    def deployed():
        cache.clear()

Bad::

    import redis

    def reset():
        redis.Redis().flushdb()

Good::

    def reset():
        seen = {}
        seen.clear()

Good::

    from functools import lru_cache

    @lru_cache
    def settings(): ...

    def reset():
        settings.cache_clear()
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from unstale.tools.audit.code.cache_calls import CacheCall
from unstale.tools.audit.code.kinds import Family
from unstale.tools.audit.code.understood import Code
from unstale.tools.audit.code.verbs import Verb
from unstale.tools.audit.code.walks import raw_command
from unstale.tools.audit.results import Level
from unstale.tools.audit.rules.base import Hit, Rule


def find(code: Code) -> Iterator[Hit]:
    """Every call that empties a cache or a database."""
    for each in code.calls:
        if each.verb is Verb.CLEAR or (each.verb is Verb.RAW and raw_command(each.call) in {"FLUSHDB", "FLUSHALL"}):
            why, remedy = _OF_UNSTALE if _is_unstale(each, code) else ("", "")
            yield Hit(each.call, each.scope, why, remedy, reached_by=each.scope, by_name=each.by_name)


def _is_unstale(call: CacheCall, code: Code) -> bool:
    return call.family is Family.DJANGO and not call.by_name and code.caches.on_unstale(call.aliases)


_OF_UNSTALE: Final = (
    "Every entry of this cache is stale at once, and every reader loads anew.",
    "Invalidate the tags of what has changed; or make them stale little by little: cache.later().clear(over=60).",
)


RULE = Rule(
    "UNS003",
    "clear-all",
    Level.WARNING,
    "A whole cache is emptied: what others keep in the same database goes as well, and every reader loads anew "
    "at once.",
    "Invalidate the tags of what has changed. To make all of one cache stale, unstale's clear() is one write, leaves "
    "what is not its own, and can be spread over a time (over=60).",
    find,
    __doc__,
)
