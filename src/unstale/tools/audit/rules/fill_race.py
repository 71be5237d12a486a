"""UNS005 fill-race: read, missing, computed, stored.

Bad::

    from django.core.cache import cache

    def orders(user):
        found = cache.get(f"orders:{user.pk}")
        if found is None:
            found = list(user.orders.all())
            cache.set(f"orders:{user.pk}", found, 300)
        return found

Good::

    from django.core.cache import cache

    def orders(user):
        return cache.get_or_set(f"orders:{user.pk}", lambda: list(user.orders.all()), 300)

Good::

    from django.core.cache import cache

    def is_allowed(address):
        count = cache.get(f"limit:{address}", 0)
        if count >= 10:
            return False
        cache.set(f"limit:{address}", count + 1, 60)
        return True
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from unstale.tools.audit.code.derivation import Asked, Carried
from unstale.tools.audit.code.guards import Says, ancestors, is_after_found, is_after_miss, leaves, locks_around
from unstale.tools.audit.code.keys import written
from unstale.tools.audit.code.kinds import Client, Plain
from unstale.tools.audit.code.project import called_name
from unstale.tools.audit.code.rows import is_by_its_row
from unstale.tools.audit.code.scopes import Binding, Scope, Step, Value
from unstale.tools.audit.code.understood import Code
from unstale.tools.audit.code.verbs import Verb
from unstale.tools.audit.code.wrappers import Deed
from unstale.tools.audit.results import Level
from unstale.tools.audit.rules.base import Hit, Rule
from unstale.tools.audit.rules.refused_store import Deletes, is_refused

_READS: Final = frozenset({Verb.GET, Verb.HAS, Verb.FIELDS_GET})
_STORES: Final = frozenset({Verb.SET, Verb.FIELDS_SET})
_MADE_UP: Final = frozenset({
    "time", "now", "utcnow", "today", "uuid4", "uuid1", "token_hex", "token_urlsafe", "token_bytes", "randint",
    "random", "choice", "choices", "get_random_string", "int", "str", "float", "bool", "bytes", "dict", "list", "set",
    "tuple", "dumps", "loads", "encode", "decode", "isoformat", "timestamp", "timedelta", "total_seconds",
    "hexdigest", "strftime", "len", "max", "min", "round", "format", "join", "sha256", "sha1", "md5", "append",
    "range", "randrange", "time_ns", "strip", "lower", "upper", "abs", "print", "fromisoformat", "fromtimestamp",
    "datetime", "replace", "packb", "unpackb", "split", "sorted", "items", "keys", "values", "monotonic", "deque",
    "defaultdict", "OrderedDict", "isinstance", "sample",
})  # fmt: skip
"""Calls that compute nothing from data elsewhere."""

_MISSING_WORD: Final = re.compile(r"not_?-?found|missing|absent|negative|unknown|no_?such|none_?found", re.IGNORECASE)
"""What keys of marks that something is not there are called."""


class Fill(NamedTuple):
    """A read and the store that follows where it was missing."""

    read: Deed | None
    store: Deed
    also: tuple[ast.AST, ...]


def find(code: Code) -> Iterator[Hit]:
    """Every store that follows a miss of the same key in the same function."""
    deletes = Deletes(code)
    for scope in code.project.scopes:
        if scope.is_function:
            for fill in fills(code, scope):
                if is_refused(fill.read.inner if fill.read else None, fill.store, code, deletes):
                    continue
                yield Hit(
                    fill.store.call,
                    scope,
                    f"A value is loaded after a miss of {_said(fill.store)!r} and stored: what is invalidated between "
                    "load and store is put back, and stays.",
                    also=fill.also,
                    by_name=fill.store.inner.by_name,
                )


def _said(deed: Deed) -> str:
    return written(deed.key)[:80] or "the key"


def fills(code: Code, scope: Scope) -> Iterator[Fill]:
    """The fills of a function, each store once."""
    deeds = code.wrappers.deeds(scope)
    stores = [each for deed in deeds for each in _each_of_many(code, deed) if each.verb in _STORES and each.key]
    if not stores:
        return
    reads: dict[str, list[Deed]] = {}
    for each in deeds:
        if each.verb in _READS and each.key:
            reads.setdefault(written(each.key), []).append(each)
    seen: set[ast.Call] = set()
    for store in stores:
        if store.call in seen:
            continue
        key = written(store.key)
        same = [each for each in reads.get(key, ()) if each.call is not store.call]
        same = same or [each for many in reads.values() for each in many if is_by_its_row(scope, each.key, store.key)]
        tests = list(_memberships(code, scope, key))
        if not same and not tests:
            continue
        if _is_locked(store, same, scope, deeds) or not _is_fill(code, scope, store, same, tests):
            continue
        seen.add(store.call)
        yield Fill(same[0] if same else None, store, tuple(each.call for each in same))


def _each_of_many(code: Code, deed: Deed) -> Iterator[Deed]:
    """`set_many({key: value})` as one store for each key that is written out; other calls as they are."""
    if deed.verb is not Verb.SET_MANY or not isinstance(deed.value, ast.Dict):
        yield deed
        return
    for key, value in zip(deed.value.keys, deed.value.values, strict=True):
        if key is not None:
            form = code.keys.form(key, deed.scope)
            yield replace(deed, verb=Verb.SET, key=form, key_given=key, value=value)


def _memberships(code: Code, scope: Scope, key: str) -> Iterator[ast.Compare]:
    """`key in cache`."""
    for node in ast.walk(scope.node):
        if (
            isinstance(node, ast.Compare)
            and isinstance(node.ops[0], (ast.In, ast.NotIn))
            and (
                any(isinstance(kind, Client) for kind in code.inference.kinds(node.comparators[0], scope))
                and written(code.keys.form(node.left, scope)) == key
            )
        ):
            yield node


def _is_fill(code: Code, scope: Scope, store: Deed, reads: list[Deed], tests: list[ast.Compare]) -> bool:
    calls = {each.call for each in reads}
    read = {*calls, *tests}
    is_loaded = _is_computed(code, scope, store, calls) or _is_of_nothing(code, scope, store, calls)
    if not is_loaded or is_known(code, scope, store, read):
        return False
    is_value = value_of(code, scope, read)
    if is_after_miss(store.call, scope.module, is_value):
        return True
    return store.value is not None and _or_else(scope, store.value, is_value)


def is_known(code: Code, scope: Scope, store: Deed, reads: Collection[ast.AST]) -> bool:
    """Whether it is stored only where something was under the same key before, whenever that was read."""
    passed = [each for each in reads if not _leads_away(each, store.call, scope)]
    return bool(passed) and all(
        is_after_found(store.call, scope.module, value_of(code, scope, {each}, surely=True)) for each in passed
    )


def _leads_away(node: ast.AST, to: ast.AST, scope: Scope) -> bool:
    """Whether a node stands in a block that is left before another node is reached."""
    around = {parent for parent, _ in ancestors(to, scope.module)}
    return any(
        parent not in around and leaves((parent.body if child in parent.body else parent.orelse)[-1:])
        for parent, child in ancestors(node, scope.module)
        if isinstance(parent, ast.If) and child is not parent.test
    )


def value_of(code: Code, scope: Scope, reads: Collection[ast.AST], *, surely: bool = False) -> Says:
    """Whether an expression is what was read; `surely` if it is never anything else."""
    names = _sure_names(scope, reads) if surely else code.derivation.carried(scope, reads, (), _hands_on).names

    def is_value(node: ast.AST) -> bool:
        inner = node
        while isinstance(inner, (ast.Await, ast.NamedExpr)):
            inner = inner.value
        if inner in reads:
            return True
        if isinstance(inner, ast.Name):
            return inner.id in names
        if isinstance(inner, ast.Call) and called_name(inner) in {"bool", "len", "loads"}:
            return any(is_value(each) for each in inner.args)
        return isinstance(inner, (ast.Subscript, ast.Attribute)) and is_value(inner.value)

    return is_value


def _sure_names(scope: Scope, reads: Collection[ast.AST]) -> set[str]:
    """The names that are nothing but what was read, in whatever form."""
    carried = Carried(scope, frozenset(reads), set(), _hands_on)
    carried.spread()
    names = carried.names
    while others := {name for name in names if not _is_only(scope.bindings[name], carried)}:
        names -= others
    return names


def _is_only(bindings: Iterable[Binding], carried: Carried) -> bool:
    return all(isinstance(each, Value) and (Step.MADE_OF in each.steps or carried.has(each.expr)) for each in bindings)


def _hands_on(node: Asked, scope: Scope) -> bool:
    """Whether a call may give what it is given in another form: nothing else is given to it."""
    del scope
    if not isinstance(node, ast.Call):
        return True
    return sum(not isinstance(each, ast.Constant) and not _is_class(each) for each in node.args) <= 1


def _is_class(expr: ast.expr) -> bool:
    return isinstance(expr, ast.Name) and expr.id[:1].isupper()


def _or_else(scope: Scope, value: ast.expr, is_value: Says) -> bool:
    """`cache.get(key) or compute()`, that is stored afterwards."""
    exprs = [value]
    if isinstance(value, ast.Name):
        exprs = [each.expr for each in scope.bindings.get(value.id, ()) if isinstance(each, Value)]
    for expr in exprs:
        match expr:
            case ast.BoolOp(op=ast.Or(), values=[first, *_]) if is_value(first):
                return True
            case _:
                pass
    return False


def _is_computed(code: Code, scope: Scope, store: Deed, reads: set[ast.Call]) -> bool:
    """Whether what is stored comes from data elsewhere, and not from what was read, a clock or chance."""
    if store.value is None:
        return store.depth == 0 and store.verb is Verb.FIELDS_SET
    carried = code.derivation.carried(scope, reads)
    cached = reads | {each.call for each in code.calls.in_scope[scope] if each.verb is Verb.GET}
    exprs: list[ast.expr] = [store.value]
    seen: set[str] = set()
    while exprs:
        expr = exprs.pop()
        for node in _without(expr, cached):
            if isinstance(node, ast.Call) and _computes(node, scope, code, carried):
                return True
            if isinstance(node, ast.Await) and isinstance(node.value, ast.Name):
                return True
            if isinstance(node, ast.Name) and node.id not in seen:
                seen.add(node.id)
                exprs += [
                    each.expr
                    for each in code.inference.home(node.id, scope)[1]
                    if isinstance(each, Value) and each.scope.is_function
                ]
    return False


def _is_of_nothing(code: Code, scope: Scope, store: Deed, reads: set[ast.Call]) -> bool:
    """Whether an empty or made up value, or a mark, is stored because what was loaded is not there."""
    says_so = _MISSING_WORD.search(written(store.key)) is not None
    is_empty = isinstance(store.value, ast.Constant) and store.value.value in (None, "", b"")
    if not (says_so or is_empty or _is_written_out(store.value, scope)):
        return False

    def loads(node: ast.AST) -> bool:
        return any(
            isinstance(each, ast.Call) and each not in reads and each not in code.calls.of and _loads(each, scope, code)
            for each in ast.walk(node)
        )

    loaded = code.derivation.carried(scope, [each for each in scope.calls if each not in reads and loads(each)])
    for parent, child in ancestors(store.call, scope.module):
        if isinstance(parent, ast.If) and child is not parent.test and _names_of_test(parent.test) & loaded.names:
            return True
        if isinstance(parent, ast.ExceptHandler):
            tried = scope.module.parents[parent]
            return isinstance(tried, (ast.Try, ast.TryStar)) and any(map(loads, tried.body))
        block = getattr(parent, "body", None)
        if says_so and isinstance(block, list) and child in block:
            before = [each for each in block[: block.index(child)] if isinstance(each, ast.Try)]
            if any(leaves(each.body) and any(map(loads, each.body)) for each in before):
                return True
    return False


def _loads(call: ast.Call, scope: Scope, code: Code) -> bool:
    return _computes(call, scope, code, code.derivation.carried(scope, ()))


def _names_of_test(test: ast.expr) -> set[str]:
    return {each.id for each in ast.walk(test) if isinstance(each, ast.Name)}


def _is_written_out(value: ast.expr | None, scope: Scope) -> bool:
    """Whether a value is a list or a dict that is written out, with nothing but constants in it."""
    if isinstance(value, ast.Name):
        exprs = [each.expr for each in scope.bindings.get(value.id, ()) if isinstance(each, Value)]
        return bool(exprs) and all(_is_written_out(each, scope) for each in exprs if not isinstance(each, ast.Name))
    return isinstance(value, (ast.List, ast.Dict, ast.Tuple)) and not any(
        isinstance(each, (ast.Call, ast.Name)) for each in ast.walk(value)
    )


def _without(expr: ast.expr, reads: set[ast.Call]) -> Iterator[ast.AST]:
    """The nodes of an expression, without what was read and what it was read under."""
    waiting: list[ast.AST] = [expr]
    while waiting:
        node = waiting.pop()
        if node not in reads:
            yield node
            waiting += ast.iter_child_nodes(node)


def _computes(call: ast.Call, scope: Scope, code: Code, carried: Carried) -> bool:
    name = called_name(call)
    if name == "get" and isinstance(call.func, ast.Attribute):
        owner = call.func.value
        if carried.has(owner) or code.origins.input_of(owner, scope) is not None:
            return False
        return not any(isinstance(kind, Plain) for kind in code.inference.kinds(owner, scope))
    if call in code.calls.of and code.calls.of[call].verb is not Verb.FIELDS_GET:
        return False
    targets = code.inference.targets(call, scope)
    if targets and (all(_makes_up(each) for each in targets) or code.origins.is_time_only(call, scope)):
        return False
    return name not in _MADE_UP or bool(targets)


def _makes_up(function: Scope) -> bool:
    """Whether a function is given nothing, asks nobody and goes through nothing: a default, a code drawn by chance."""
    given = [each for each in function.parameters if each.name not in {"self", "cls"}]
    goes_through = any(isinstance(each, (ast.For, ast.AsyncFor)) for each in ast.walk(function.node))
    return not given and not goes_through and all(called_name(each) in _MADE_UP for each in function.calls)


def _is_locked(store: Deed, reads: list[Deed], scope: Scope, deeds: list[Deed]) -> bool:
    """Whether a lock is held around the store and a read."""
    around = set(locks_around(store.call, scope))
    if around and (not reads or any(around & set(locks_around(each.call, scope)) for each in reads)):
        return True
    key = written(store.key)
    taken = [each for each in deeds if each.verb is Verb.ADD and written(each.key) != key]
    taken_names = {called_name(call) for call in scope.calls}
    return bool(taken) or bool(taken_names & {"acquire", "acquire_lock", "aacquire"})


RULE = Rule(
    "UNS005",
    "fill-race",
    Level.ERROR,
    "A value is read, found missing, loaded and stored. What is invalidated between load and store is put back, and "
    "stays.",
    "get_or_set(key, loader, tags=…) of unstale: it observes the stamps before it loads, and one loader a key runs at "
    "a time.",
    find,
    __doc__,
)
