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

from unstale.tools.audit.code.checking import is_checked
from unstale.tools.audit.code.derivation import Source
from unstale.tools.audit.code.keys import written
from unstale.tools.audit.code.scopes import Parameter, Scope
from unstale.tools.audit.code.understood import Code
from unstale.tools.audit.code.verbs import Verb
from unstale.tools.audit.code.words import any_of
from unstale.tools.audit.code.wrappers import Deed
from unstale.tools.audit.results import Level
from unstale.tools.audit.rules.base import Hit, Rule
from unstale.tools.audit.rules.fill_race import is_known

_STORES: Final = frozenset({Verb.SET, Verb.GET_OR_SET, Verb.SET_MANY, Verb.ADD})
_READS: Final = frozenset({Verb.GET, Verb.HAS, Verb.FIELDS_GET})
NO_CACHE: Final = any_of(
    "limit", "throttl", "lock", "session", "token", "otp", "attempt", "nonce", "captcha", "login", "block", "csrf",
    "verif", "queue", "rate_", "rate-", "rate:", "ratelimit", "blacklist", "ban_", "ban:", "banned",
)  # fmt: skip
_BOUNDED: Final = any_of(
    "limit", "throttl", "lock", "session", "token", "attempt", "login", "block", "csrf", "queue", "rate_", "rate-",
    "rate:", "ratelimit", "blacklist", "ban_", "ban:", "banned",
)  # fmt: skip
"""What is kept of each client anyway. A code that is sent to whoever asks is not."""


def find(code: Code) -> Iterator[Hit]:
    """Every store under a key with a request's text in it."""
    by_helper: set[ast.Call] = set()
    own: list[Deed] = []
    for scope in code.project.scopes:
        for deed in code.wrappers.deeds(scope):
            if deed.verb not in _STORES or deed.key_given is None or _BOUNDED.search(_literal(deed)):
                continue
            if deed.depth == 0:
                own.append(deed)
            elif deed.value is not None and (found := code.origins.input_of(deed.key_given, scope)) is not None:
                by_helper.add(deed.inner.call)
                if _is_raw(code, deed, found):
                    yield _hit(deed, found.node)
    for deed in own:
        if deed.call in by_helper or deed.key_given is None:
            continue
        found = code.origins.input_of(deed.key_given, deed.scope, callers=2)
        if found is not None and _is_raw(code, deed, found):
            yield _hit(deed, found.node)


def _is_raw(code: Code, deed: Deed, found: Source) -> bool:
    """Whether nothing says that such a key may be, before something is stored under it."""
    if deed.verb is Verb.ADD and isinstance(deed.inner.value, ast.Constant):
        return False  # a mark: done once, seen once
    return not _was_there(code, deed) and not _is_checked(code, deed.call, deed.scope, found)


def _was_there(code: Code, deed: Deed) -> bool:
    """Whether it is stored only where something was under the same key before."""
    reads = {
        each.call
        for each in code.wrappers.deeds(deed.scope)
        if each.verb in _READS and each.call is not deed.call and written(each.key) == written(deed.key)
    }
    return bool(reads) and is_known(code, deed.scope, deed, reads)


def _is_checked(code: Code, call: ast.Call, scope: Scope, found: Source) -> bool:
    """Whether the text was compared with what may be, and whatever else it is was turned away."""
    return is_checked(call, scope.module, _names_of(code, scope, found))


def _names_of(code: Code, scope: Scope, found: Source) -> set[str]:
    """What a request's text is called in a function."""
    if isinstance(found.node, Parameter):
        return {found.node.name} if found.node.scope is scope else {each.name for each in scope.parameters}
    if found.scope is not scope:
        return {each.name for each in scope.parameters}
    return code.derivation.carried(scope, [found.node]).names


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
