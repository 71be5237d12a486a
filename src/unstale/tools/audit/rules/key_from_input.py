"""UNS010 key-from-input: text from a request is part of a cache key.

Bad::

    from django.core.cache import cache
    from django.http import HttpResponse

    def search(request):
        words = request.GET.get("q", "")
        body = render_results(words)
        cache.set(f"search:{words}", body, 60)
        return HttpResponse(body)

Good::

    import hashlib
    from django.core.cache import cache
    from django.http import HttpResponse

    def search(request):
        words = request.GET.get("q", "")
        body = render_results(words)
        cache.set("search:" + hashlib.sha256(words.encode()).hexdigest(), body, 60)
        return HttpResponse(body)

Good::

    from django.core.cache import cache

    def page(request, pk):
        number = int(request.GET.get("page", 1))
        cache.set(f"page:{pk}:{number}:{request.user.id}", render_page(pk, number), 60)
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from unstale.tools.audit.code.keys import written
from unstale.tools.audit.code.understood import Code
from unstale.tools.audit.code.verbs import Verb
from unstale.tools.audit.code.words import any_of
from unstale.tools.audit.code.wrappers import Deed
from unstale.tools.audit.results import Level
from unstale.tools.audit.rules.base import Hit, Rule

_STORES: Final = frozenset({Verb.SET, Verb.GET_OR_SET, Verb.SET_MANY})
NO_CACHE: Final = any_of(
    "limit", "throttl", "lock", "session", "token", "otp", "attempt", "nonce", "captcha", "login", "block", "csrf",
    "verif", "queue", "rate_", "rate-", "rate:", "ratelimit", "blacklist", "ban_", "ban:", "banned",
)  # fmt: skip


def find(code: Code) -> Iterator[Hit]:
    """Every store under a key with a request's text in it."""
    by_helper: set[ast.Call] = set()
    own: list[Deed] = []
    for scope in code.project.scopes:
        for deed in code.wrappers.deeds(scope):
            if deed.verb not in _STORES or deed.key_given is None or NO_CACHE.search(_literal(deed)):
                continue
            if deed.depth == 0:
                own.append(deed)
            elif deed.value is not None and (found := code.origins.input_of(deed.key_given, scope)) is not None:
                by_helper.add(deed.inner.call)
                yield _hit(deed, found.node)
    for deed in own:
        if deed.call in by_helper or deed.key_given is None:
            continue
        if (found := code.origins.input_of(deed.key_given, deed.scope, callers=2)) is not None:
            yield _hit(deed, found.node)


def _hit(deed: Deed, node: object) -> Hit:
    also = []
    if isinstance(node, ast.AST):
        also.append(node)
    if deed.key_given is not None:
        also.append(deed.key_given)
    return Hit(
        deed.call, deed.scope, also=tuple(each for each in also if _is_near(each, deed)), by_name=deed.inner.by_name
    )


def _is_near(node: ast.AST, deed: Deed) -> bool:
    within = deed.scope.node
    return isinstance(within, (ast.FunctionDef, ast.AsyncFunctionDef)) and within.lineno <= getattr(
        node, "lineno", 0
    ) <= (within.end_lineno or 0)


def _literal(deed: Deed) -> str:
    return re.sub(r"\{[^}]*\}", "", written(deed.key))


RULE = Rule(
    "UNS010",
    "key-from-input",
    Level.WARNING,
    "A cache key has text from a request in it, as it came: anybody can fill the cache with keys of any length, and a "
    "separator in it makes two different things one key.",
    "Validate it (a number, one of a list), or put a hash of it into the key.",
    find,
    __doc__,
)
