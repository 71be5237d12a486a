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
from typing import Final, NamedTuple

from unstale.tools.audit.code.calling import argument_of
from unstale.tools.audit.code.checking import is_checked
from unstale.tools.audit.code.derivation import Source
from unstale.tools.audit.code.keys import Form, written
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
CALLERS: Final = 2
"""How many calls up a key is followed."""


def find(code: Code) -> Iterator[Hit]:
    """Every store under a key with a request's text in it."""
    deeds = [
        deed
        for scope in code.project.scopes
        for deed in code.wrappers.deeds(scope)
        if deed.verb in _STORES and deed.key_given is not None and not _BOUNDED.search(_text(deed.key))
    ]
    looked_at: set[ast.Call] = set()
    for deed in deeds:
        if deed.depth and deed.value is not None and (found := _given(code, deed)) is not None:
            looked_at |= _run_by(deed)
            if _is_raw(code, deed, found):
                yield _hit(deed, found.node, deed)
    for deed in deeds:
        if not deed.depth:
            yield from _own(code, deed, looked_at)


def _own(code: Code, deed: Deed, looked_at: set[ast.Call]) -> Iterator[Hit]:
    """A store without a helper, where its key is made; not in calls that others run which were looked at."""
    for made in _made(code, deed):
        if made.call in looked_at:
            continue
        found = code.origins.input_of(made.key_given, made.scope, callers=CALLERS - made.up)
        if found is None or not _is_raw(code, deed, found) or (made.up and _is_known_at(code, made, found)):
            continue
        looked_at.add(made.call)
        yield _hit(made, found.node, deed)


def _is_known_at(code: Code, made: _Made, found: Source) -> bool:
    """Whether the caller says that such a key may be."""
    text = _text(code.keys.form(made.key_given, made.scope))
    return _BOUNDED.search(text) is not None or _is_checked(code, made.call, made.scope, found)


class _Made(NamedTuple):
    """Where a key is made: the store, or the call of a helper that is given it."""

    call: ast.Call
    scope: Scope
    key_given: ast.expr
    up: int = 0


def _made(code: Code, deed: Deed) -> Iterator[_Made]:
    """Where the key of a store is made; at the calls of its function, if it is a parameter and nothing else."""
    waiting = [_Made(deed.call, deed.scope, deed.key_given)] if deed.key_given is not None else []
    while waiting:
        made = waiting.pop(0)
        if made.up == CALLERS or (parameter := _only_parameter(code, made)) is None:
            yield made
            continue
        waiting += [
            _Made(call, scope, given, made.up + 1)
            for call, scope in code.inference.calls_of(parameter.scope)
            if (given := argument_of(call, parameter, code.inference.shift(call, scope, parameter.scope))) is not None
        ]


def _only_parameter(code: Code, made: _Made) -> Parameter | None:
    """The parameter that a key is, just as the function was given it."""
    if not isinstance(made.key_given, ast.Name):
        return None
    _, bindings = code.inference.home(made.key_given.id, made.scope)
    match bindings:
        case [Parameter() as parameter] if not code.origins.is_input(Source(parameter, made.scope)):
            return parameter
        case _:
            return None


def _given(code: Code, deed: Deed) -> Source | None:
    """What of a request's text the caller of a helper gives for the key, and the helper does not hash."""
    for each in code.wrappers.given_for_key(deed, code.texts.keeps):
        if (found := code.origins.input_of(each, deed.scope)) is not None:
            return found
    return None


def _run_by(deed: Deed) -> set[ast.Call]:
    """The calls by which a helper does it."""
    found: set[ast.Call] = set()
    while deed.within is not None:
        deed = deed.within
        found.add(deed.call)
    return found


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
    return is_checked(call, scope, _names_of(code, scope, found))


def _names_of(code: Code, scope: Scope, found: Source) -> set[str]:
    """What a request's text is called in a function."""
    if isinstance(found.node, Parameter):
        return {found.node.name} if found.node.scope is scope else {each.name for each in scope.parameters}
    if found.scope is not scope:
        return {each.name for each in scope.parameters}
    return code.derivation.carried(scope, [found.node]).names


def _hit(place: Deed | _Made, node: object, deed: Deed) -> Hit:
    key = place.key_given
    also = [each for each in (node, key) if isinstance(each, ast.AST) and _is_near(each, place.scope)]
    return Hit(place.call, place.scope, also=tuple(also), by_name=deed.inner.by_name)


def _is_near(node: ast.AST, scope: Scope) -> bool:
    within = scope.node
    return isinstance(within, (ast.FunctionDef, ast.AsyncFunctionDef)) and within.lineno <= getattr(
        node, "lineno", 0
    ) <= (within.end_lineno or 0)


def _text(key: Form) -> str:
    """What of a key is written out."""
    return re.sub(r"\{[^}]*\}", "", written(key))


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
