"""Calls that walk the keyspace, and what becomes of the keys that they find.

The keys are followed through names, loops, batches, pipelines, results, helpers and callers to a call that deletes
them. Scripts are texts: one that calls KEYS or SCAN walks, and one that calls DEL or UNLINK as well deletes.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple

from unstale.tools.audit.code.cache_calls import CacheCall, CacheCalls
from unstale.tools.audit.code.callers import Callers
from unstale.tools.audit.code.derivation import Asked, Carried, Derivation
from unstale.tools.audit.code.kinds import Function, Method
from unstale.tools.audit.code.project import called_name
from unstale.tools.audit.code.scopes import Scope
from unstale.tools.audit.code.verbs import REMOVES, Verb

MOST_STATES: Final = 300
DELETES: Final = frozenset(
    {"delete", "unlink", "delete_many", "adelete", "adelete_many", "delete_keys", "multi_delete"}
)
_ANSWERS: Final = frozenset({Verb.GET, Verb.GET_MANY, Verb.FIELDS_GET, Verb.HAS, Verb.EXPIRE, Verb.COUNT})
_SCRIPT_WALKS: Final = re.compile(r"""redis\s*\.\s*p?call\s*\(\s*['"](?:keys|scan)['"]""", re.IGNORECASE)
_SCRIPT_DELETES: Final = re.compile(
    r"""['"](?:del|unlink)['"]|['"]p?expire['"]\s*,[^()]*,\s*['"]?0['"]?\s*\)""", re.IGNORECASE
)
_RAW_WALKS: Final = frozenset({"KEYS", "SCAN"})
_RAW_DELETES: Final = frozenset({"DEL", "UNLINK"})


class Fate(Enum):
    """What becomes of walked keys."""

    DELETED = "deleted"
    READ = "read"


class Walk(NamedTuple):
    """A call that walks the keyspace.

    Attributes:
        call: the call; the text of a script that no call is seen to run.
        scope: where it stands.
        pattern: what it looks for.
        fate: what becomes of the keys.
        how: the command or method.
        also: what else belongs to it: a script's text.
    """

    call: ast.expr
    scope: Scope
    pattern: ast.expr | None
    fate: Fate
    how: str
    also: tuple[ast.AST, ...] = ()


class Walks:
    """All of a project."""

    def __init__(self, calls: CacheCalls, derivation: Derivation, callers: Callers) -> None:
        """Take what is known of the project."""
        self._calls = calls
        self._derivation = derivation
        self._callers = callers
        self._inference = derivation.inference
        self._found: list[Walk] | None = None

    def __iter__(self) -> Iterator[Walk]:
        """Every walk, found once."""
        if self._found is None:
            self._found = list(self._all())
        return iter(self._found)

    def _all(self) -> Iterator[Walk]:
        for each in self._calls:
            if each.verb is Verb.PATTERN:
                yield Walk(each.call, each.scope, each.key, Fate.DELETED, each.method)
            elif each.verb is Verb.WALK or (each.verb is Verb.RAW and raw_command(each.call) in _RAW_WALKS):
                pattern = each.key if each.verb is Verb.WALK else _raw_pattern(each.call)
                yield Walk(each.call, each.scope, pattern, self._fate(each), each.method)
            elif each.verb is Verb.SCRIPT:
                yield from self._script(each)
        yield from self._texts_elsewhere()

    def _texts_elsewhere(self) -> Iterator[Walk]:
        """Scripts that no call is seen to run."""
        run = {node for each in self._calls if each.verb is Verb.SCRIPT for node, _ in self._given_texts(each)}
        for module in self._inference.project.modules:
            for node, text in module.scripts:
                if node not in run and _SCRIPT_WALKS.search(text):
                    fate = Fate.DELETED if _SCRIPT_DELETES.search(text) else Fate.READ
                    yield Walk(node, module.scope, None, fate, "a script")

    def _given_texts(self, each: CacheCall) -> Iterator[tuple[ast.Constant, str]]:
        for given in (*each.call.args[:1], *[keyword.value for keyword in each.call.keywords]):
            yield from self._texts(given, each.scope)

    def _script(self, each: CacheCall) -> Iterator[Walk]:
        if not each.call.args and not each.call.keywords:
            return
        text = each.call.args[0] if each.call.args else each.call.keywords[0].value
        if self.is_script_walk(text, each.scope) and each.method != "evalsha":
            texts = list(self._texts(text, each.scope))
            deletes = any(_SCRIPT_DELETES.search(said) for _, said in texts)
            yield Walk(
                each.call,
                each.scope,
                None,
                Fate.DELETED if deletes else Fate.READ,
                each.method,
                tuple(node for node, _ in texts),
            )

    def is_script_walk(self, text: ast.expr, scope: Scope) -> bool:
        """Whether a script's text walks the keyspace."""
        return any(_SCRIPT_WALKS.search(said) for _, said in self._texts(text, scope))

    def _texts(self, text: ast.expr, scope: Scope) -> Iterator[tuple[ast.Constant, str]]:
        """The texts that an expression is made of."""
        waiting: list[tuple[ast.expr, Scope]] = [(text, scope)]
        for _ in range(20):
            if not waiting:
                return
            each, where = waiting.pop()
            for node in ast.walk(each):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node, node.value
                elif isinstance(node, (ast.Name, ast.Attribute)):
                    for bound in self._inference.bindings_of(node, where):
                        expr = getattr(bound, "expr", None)
                        if isinstance(expr, (ast.Constant, ast.JoinedStr, ast.BinOp, ast.Call)):
                            waiting.append((expr, getattr(bound, "scope", where)))

    def _fate(self, walk: CacheCall) -> Fate:
        """Follow the keys."""
        waiting: list[tuple[Scope, frozenset[ast.AST], frozenset[str]]] = [
            (walk.scope, frozenset({walk.call}), frozenset())
        ]
        seen: set[tuple[Scope, frozenset[ast.AST], frozenset[str]]] = set()
        while waiting and len(seen) < MOST_STATES:
            state = waiting.pop(0)
            if state in seen:
                continue
            seen.add(state)
            scope, seeds, names = state
            carried = self._derivation.carried(scope, seeds, names, self._hands_on_keys)
            if any(self._deletes(call, scope, carried) for call in scope.calls):
                return Fate.DELETED
            for child in scope.children:
                if child.is_function:
                    own = {each.name for each in child.parameters}
                    waiting.append((child, seeds, frozenset(carried.names - own)))
            waiting += self._handed_on(scope, carried)
            if any(carried.has(expr) for expr in (*scope.returns, *scope.yields)):
                waiting += [(site.scope, frozenset({site.call}), frozenset()) for site in self._callers.direct(scope)]
                if scope.name == "<lambda>" and scope.parent is not None:
                    waiting.append((scope.parent, frozenset({scope.node}), frozenset()))
        return Fate.READ

    def _hands_on_keys(self, node: Asked, scope: Scope) -> bool:
        """Whether a call gives keys on; what is stored under them is something else."""
        del scope
        known = self._calls.of.get(node) if isinstance(node, ast.Call) else None
        return known is None or known.verb not in _ANSWERS

    def _deletes(self, call: ast.Call, scope: Scope, carried: Carried) -> bool:
        given = [*call.args, *[each.value for each in call.keywords]]
        if not given or not any(carried.has(each) for each in given):
            return False
        known = self._calls.of.get(call)
        if known is not None:
            return known.verb in REMOVES or (known.verb is Verb.RAW and raw_command(call) in _RAW_DELETES)
        name = called_name(call)
        if name in DELETES and not self._inference.targets(call, scope):
            return True
        return any(
            isinstance(kind, Method) and kind.name in DELETES
            for each in given
            for kind in self._method_kinds(each, scope)
        ) and name in {"map", "to_thread", "run_in_threadpool", "gather", "submit", "partial", "run_sync"}

    def _method_kinds(self, expr: ast.expr, scope: Scope) -> frozenset[object]:
        return frozenset(self._inference.kinds(expr, scope)) if isinstance(expr, ast.Attribute) else frozenset()

    def _handed_on(self, scope: Scope, carried: Carried) -> Iterator[tuple[Scope, frozenset[ast.AST], frozenset[str]]]:
        """Helpers that are given the keys."""
        for call in scope.calls:
            if call in self._calls.of:
                continue
            given: list[tuple[int | str, ast.expr]] = [
                *enumerate(call.args),
                *[(each.arg or "", each.value) for each in call.keywords],
            ]
            which = [at for at, expr in given if carried.has(expr)]
            if not which:
                continue
            if called_name(call) in {"map", "filter", "for_each"}:
                kinds = [kind for arg in call.args[:1] for kind in self._inference.kinds(arg, scope)]
                for kind in kinds:
                    if isinstance(kind, Function):
                        names = {each.name for each in kind.scope.parameters if each.name not in {"self", "cls"}}
                        yield kind.scope, frozenset(), frozenset(names)
            for target in self._inference.likely(call, scope):
                bound = any(
                    isinstance(kind, Function) and kind.bound for kind in self._inference.kinds(call.func, scope)
                )
                names = {
                    each.name for each in target.parameters for at in which
                    if each.name == at or (isinstance(at, int) and (each.position == at + bound or each.many == "*"))
                }  # fmt: skip
                if names:
                    yield target, frozenset(), frozenset(names)


def raw_command(call: ast.Call) -> str:
    """The command of `execute_command("KEYS", …)`, in capitals; "" if it is not written there."""
    for arg in call.args[:1]:
        if isinstance(arg, ast.Constant) and isinstance(arg.value, (str, bytes)):
            text = arg.value.decode(errors="replace") if isinstance(arg.value, bytes) else arg.value
            return text.split(" ")[0].upper() if text else ""
    return ""


def _raw_pattern(call: ast.Call) -> ast.expr | None:
    if raw_command(call) == "KEYS":
        return call.args[1] if len(call.args) > 1 else None
    for at, arg in enumerate(call.args[:-1]):
        if isinstance(arg, ast.Constant) and str(arg.value).upper() == "MATCH":
            return call.args[at + 1]
    return None
