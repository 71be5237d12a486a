"""The project's own helpers: what a function of the project does to a cache, seen from a call of it.

A helper that reads, stores or deletes under a key that its caller names is as good as the cache's own method. So each
call is given its acts: the cache's, with the key written as the caller would.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from unstale.tools.audit.code.cache_calls import CacheCall, CacheCalls
from unstale.tools.audit.code.calling import TASK_CALLS, argument_of, arguments_for
from unstale.tools.audit.code.derivation import Asked, Carried, Passes, reaching
from unstale.tools.audit.code.inferring import Inference
from unstale.tools.audit.code.keys import Form, Keys, Known
from unstale.tools.audit.code.kinds import Function
from unstale.tools.audit.code.project import called_name
from unstale.tools.audit.code.scopes import Scope
from unstale.tools.audit.code.verbs import Verb

MOST_DEEP: Final = 3
_SERVED: Final = frozenset(
    {Verb.DELETE, Verb.DELETE_MANY, Verb.PATTERN, Verb.CLEAR, Verb.COUNT, Verb.WALK, Verb.EXPIRE}
)
MOST_TARGETS: Final = 8
_FORMS: Final = re.compile(
    r"dump|encod|serial|pack|compress|json|pickle|bytes|to_|wrap|^(?:str|dict|list|tuple|int|set|copy|format)$",
    re.IGNORECASE,
)


def _is_form(node: Asked, scope: Scope) -> bool:
    """Whether a call gives what it is given in another form, and does not compute another value from it."""
    del scope
    return not isinstance(node, ast.Call) or _FORMS.search(called_name(node)) is not None


@dataclass(frozen=True, slots=True)
class Deed:
    """What a call does to a cache.

    Attributes:
        call: the call, as it stands in `scope`.
        scope: where it stands.
        verb: what is done.
        key: under which key, as it is written there.
        key_given: the expression that makes the key there; None if the caller does not say it.
        value: what is stored, as it stands there; None if the caller does not say.
        inner: the call of the cache itself, which is the same one where there is no helper.
        depth: how many helpers lie between.
        later: whether it is put off: by a task queue, or until the transaction is committed.
        within: what the helper does itself; None where there is none.
    """

    call: ast.Call
    scope: Scope
    verb: Verb
    key: Form
    key_given: ast.expr | None
    value: ast.expr | None
    inner: CacheCall
    depth: int
    later: bool = False
    within: Deed | None = None


class Wrappers:
    """Asks a project."""

    def __init__(self, inference: Inference, calls: CacheCalls, keys: Keys) -> None:
        """Take what is known of the project."""
        self.inference = inference
        self.calls = calls
        self.keys = keys
        self._of_scope: dict[Scope, list[Deed]] = {}
        self._active: set[Scope] = set()
        self._touches: dict[tuple[Scope, int], bool] = {}

    def deeds(self, scope: Scope, depth: int = MOST_DEEP) -> list[Deed]:
        """What the calls of a function do, its own and those of helpers.

        Args:
            scope: the function.
            depth: how many helpers deep.
        """
        if depth == MOST_DEEP and scope in self._of_scope:
            return self._of_scope[scope]
        found = list(self._deeds(scope, {}, depth))
        if depth == MOST_DEEP:
            self._of_scope[scope] = found
        return found

    def _deeds(self, scope: Scope, known: Known, depth: int) -> Iterator[Deed]:
        if scope in self._active:
            return
        self._active.add(scope)
        try:
            for call in scope.calls:
                if (own := self.calls.of.get(call)) is not None:
                    key = self.keys.form(own.key, scope, known) if own.key is not None else ()
                    yield Deed(call, scope, own.verb, key, own.key, own.value, own, 0)
                elif depth > 0:
                    yield from self._helped(call, scope, known, depth)
        finally:
            self._active.discard(scope)

    def _helped(self, call: ast.Call, scope: Scope, known: Known, depth: int) -> Iterator[Deed]:
        targets = self.inference.likely(call, scope)
        if not 0 < len(targets) <= MOST_TARGETS:
            return
        reaching = [target for target in targets if self._reaches(target, depth - 1)]
        for target in reaching[:1]:
            inner_known = self.keys.filled(call, scope, target, known)
            later = called_name(call) in TASK_CALLS or self._is_after_commit(target)
            deeds = list(self._deeds(target, inner_known, depth - 1))
            for each in deeds:
                if self._serves(each, target, deeds):
                    key = self._given(call, scope, target, each.key_given)
                    value = self._given(call, scope, target, each.value, _is_form)
                    put_off = later or each.later
                    yield Deed(call, scope, each.verb, each.key, key, value, each.inner, each.depth + 1, put_off, each)

    def given_for_key(self, deed: Deed, passes: Passes | None = None) -> list[ast.expr]:
        """All that a call gives of which the key is made.

        Args:
            deed: what the call does.
            passes: what of it counts: whether a call hands on what it is given. By default everything does.
        """
        if deed.within is None:
            return [deed.key_given] if deed.key_given is not None else []
        target = deed.within.scope
        names = reaching(target, self.given_for_key(deed.within, passes), passes)
        return arguments_for(deed.call, target, names, self.inference.shift(deed.call, deed.scope, target))

    def _is_after_commit(self, function: Scope) -> bool:
        """Whether a decorator of the project puts a function off until COMMIT."""
        around = function.parent or function
        return any(
            called_name(call) == "on_commit"
            for each in function.decorators
            for kind in self.inference.kinds(each.func if isinstance(each, ast.Call) else each, around)
            if isinstance(kind, Function)
            for scope in _and_within(kind.scope)
            for call in scope.calls
        )

    def _reaches(self, function: Scope, depth: int) -> bool:
        """Whether a function calls a cache, itself or by helpers."""
        key = (function, depth)
        if key not in self._touches:
            self._touches[key] = False  # while it is asked
            self._touches[key] = bool(self.calls.in_scope[function]) or (
                depth > 0
                and any(
                    self._reaches(target, depth - 1)
                    for call in function.calls
                    for target in self.inference.likely(call, function)[:MOST_TARGETS]
                )
            )
        return self._touches[key]

    def _serves(self, deed: Deed, target: Scope, deeds: list[Deed]) -> bool:
        """Whether a function is a helper for this, and not one that has purposes of its own."""
        if deed.verb in {Verb.GET, Verb.HAS, Verb.FIELDS_GET}:
            stores = any(each.verb in {Verb.SET, Verb.ADD, Verb.GET_OR_SET} for each in deeds)
            carried = Carried(target, frozenset({deed.call}), set())
            carried.spread()
            return not stores and any(map(carried.has, target.returns))
        if deed.verb in {Verb.SET, Verb.SET_MANY, Verb.FIELDS_SET}:
            return not any(each.verb in {Verb.GET, Verb.FIELDS_GET} for each in deeds)
        return deed.verb in _SERVED

    def _given(
        self, call: ast.Call, scope: Scope, target: Scope, inner: ast.expr | None, passes: Passes | None = None
    ) -> ast.expr | None:
        """What the caller gives for an expression within a function."""
        if inner is None:
            return None
        shift = self.inference.shift(call, scope, target)
        for parameter in target.parameters:
            carried = Carried(target, frozenset(), {parameter.name}, passes)
            carried.spread()
            if carried.has(inner):
                given = argument_of(call, parameter, shift)
                if given is not None:
                    return given
        return None


def _and_within(scope: Scope) -> Iterator[Scope]:
    """A function and those within it."""
    yield scope
    for child in scope.children:
        yield from _and_within(child)
