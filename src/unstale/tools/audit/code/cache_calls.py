"""The calls of caches and Redis clients in a project: which verb, on which key.

A receiver is a cache by where it comes from. Where that cannot be found, by its name, if the method fits; such calls
say `by_name`. What is known to be something else (a dict, a session, a library's object) is never taken for one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from unstale.tools.audit.code.inferring import Inference
from unstale.tools.audit.code.kinds import (
    NO_CACHES,
    REDIS_LIBRARIES,
    Class,
    Client,
    External,
    Family,
    Function,
    Instance,
    Kinds,
    Method,
    Object,
    Package,
    Plain,
)
from unstale.tools.audit.code.project import called_name
from unstale.tools.audit.code.scopes import Imported, Module, Scope
from unstale.tools.audit.code.verbs import (
    ACTS,
    AS_DICTS,
    ONLY_CACHES,
    TIMEOUT_NAMES,
    UNMISTAKEN,
    VALUE_NAMES,
    Act,
    Verb,
)

_CALLED_LIKE_ONE: Final = re.compile(
    r"_*(?:\w+_)?(?:redis|cache|valkey|rdb)"
    r"(?:_?(?:client|conn|connection|db|service|manager|backend|store|instance|cli|server|async|sync|master|cache|helper))?\d*",
    re.IGNORECASE,
)
_CLASS_LIKE_ONE: Final = re.compile(
    r"(?:[A-Z][a-zA-Z]*)?(?:Redis|Cache|Valkey)"
    r"(?:Client|Service|Manager|Backend|Store|Helper|Cache|Connection|Util|Utils|Handler|Provider|Adapter|Wrapper|Proxy)?"
)
_NOT_SHARED: Final = re.compile(
    r"local|lru|memory|mem_|file|disk|http|dict|browser|template|model|index|token_cache|kv_cache|img|image",
    re.IGNORECASE,
)
_IN_PROCESS: Final = re.compile(r"(?:V?TTL|LRU|LFU|FIFO|RR|TLRU|Dict|Memory)Cache")
_HELD_BY_UNKNOWNS: Final = frozenset(
    {"state", "app", "g", "current_app", "extensions", "request", "ctx", "context", "bot"}
)
_IN_THREADS: Final = re.compile(
    r"(asyncio|anyio)\.to_thread(\.run_sync)?|(starlette|fastapi)\.concurrency\.run_in_threadpool"
)


@dataclass(frozen=True, slots=True, eq=False)
class CacheCall:
    """One call of a cache.

    Attributes:
        call: the expression.
        scope: where it stands.
        family: whose methods the receiver has.
        method: the method's name.
        verb: what it does.
        key: the key, keys or pattern.
        value: what is stored.
        timeout: the time-out that was given.
        by_name: the receiver is a cache by its name only.
    """

    call: ast.Call
    scope: Scope
    family: Family
    method: str
    verb: Verb
    key: ast.expr | None = None
    value: ast.expr | None = None
    timeout: ast.expr | None = None
    by_name: bool = False

    @property
    def module(self) -> Module:
        """The file."""
        return self.scope.module

    @property
    def is_redis(self) -> bool:
        """Whether it speaks to Redis itself, where nothing has a time-out unless it is given."""
        return self.family in {Family.REDIS, Family.PIPELINE}

    @property
    def keys(self) -> list[ast.expr]:
        """Every argument that is a key."""
        act = ACTS[self.family].get(self.method)
        if act is not None and act.many:
            return list(self.call.args)
        return [self.key] if self.key is not None else []


class CacheCalls:
    """All of a project, found once."""

    def __init__(self, inference: Inference, own_names: frozenset[str] = frozenset()) -> None:
        """Look at every call.

        Args:
            inference: of the project.
            own_names: names that the project's caches have, from its configuration.
        """
        self._inference = inference
        self._own_names = own_names
        self.of: dict[ast.Call, CacheCall] = {}
        self.in_scope: dict[Scope, list[CacheCall]] = {}
        for scope in inference.project.scopes:
            found = [each for call in scope.calls if (each := self._look(call, scope))]
            self.in_scope[scope] = found
            self.of |= {each.call: each for each in found}

    def __iter__(self) -> Iterator[CacheCall]:
        """In the order of the files and scopes."""
        return iter(self.of.values())

    def _look(self, call: ast.Call, scope: Scope) -> CacheCall | None:
        func = call.func
        if isinstance(func, ast.Attribute):
            if func.attr in _METHODS:
                return self._of_receiver(call, func, scope)
            if func.attr not in {"to_thread", "run_in_threadpool", "run_sync"}:
                return None
        if isinstance(func, ast.Call) and len(func.args) == 1 and called_name(func) != "partial":
            return self._of_method(call, func.args[0], scope)
        is_taken = isinstance(func, ast.Call) and called_name(func) == "getattr"
        if is_taken or isinstance(func, (ast.Name, ast.Attribute)):
            for kind in self._inference.kinds(func, scope):
                if isinstance(kind, Method) and (act := ACTS[kind.client.family].get(kind.name)):
                    return made(call, scope, kind.client.family, kind.name, act)
                if isinstance(kind, External) and _IN_THREADS.fullmatch(kind.name) and call.args:
                    return self._in_thread(call, scope)
        return None

    def _of_method(self, call: ast.Call, method: ast.expr, scope: Scope) -> CacheCall | None:
        """`sync_to_async(cache.get)(key)`, and the same of the project's own such function."""
        for kind in self._inference.kinds(method, scope) if isinstance(method, ast.Attribute) else ():
            if isinstance(kind, Method) and (act := ACTS[kind.client.family].get(kind.name)):
                return made(call, scope, kind.client.family, kind.name, act)
        return None

    def _in_thread(self, call: ast.Call, scope: Scope) -> CacheCall | None:
        for kind in self._inference.kinds(call.args[0], scope):
            if isinstance(kind, Method) and (act := ACTS[kind.client.family].get(kind.name)):
                return made(call, scope, kind.client.family, kind.name, act, skip=1)
        return None

    def _of_receiver(self, call: ast.Call, func: ast.Attribute, scope: Scope) -> CacheCall | None:
        kinds = self._inference.kinds(func.value, scope)
        whole = self._inference.kinds(func, scope)
        clients = [kind for kind in kinds if isinstance(kind, Client)]
        clients += [kind.client for kind in whole if isinstance(kind, Method)]
        if any(isinstance(kind, Function) for kind in whole) and not clients:
            return None  # the project's own method
        for client in sorted(set(clients), key=lambda each: each.family):
            if act := ACTS[client.family].get(func.attr):
                return made(call, scope, client.family, func.attr, act)
            if client.family is Family.DJANGO and (act := ACTS[Family.REDIS].get(func.attr)):
                return made(call, scope, Family.REDIS, func.attr, act)  # django-redis hands on what is not Django's
        if clients or not self._may_be_one(func, call, kinds, scope):
            return None
        family = (
            Family.REDIS
            if func.attr in ACTS[Family.REDIS] and func.attr not in ACTS[Family.DJANGO]
            else _family_by_name(func, scope)
        )
        act = ACTS[family].get(func.attr) or next(
            (ACTS[each][func.attr] for each in Family if func.attr in ACTS[each]), None
        )
        if act is None:
            return None
        if func.attr not in ACTS[family]:
            family = next(each for each in Family if func.attr in ACTS[each])
        return made(call, scope, family, func.attr, act, by_name=True)

    def _may_be_one(  # noqa: PLR0911 - one reason after the other
        self, func: ast.Attribute, call: ast.Call, kinds: Kinds, scope: Scope
    ) -> bool:
        """Whether a receiver that is no known client is one by its name, or by what only caches have."""
        if any(isinstance(kind, (Object, Class, Function, Package)) for kind in kinds) and not _is_open(
            kinds, self._inference
        ):
            return False
        if func.attr in ONLY_CACHES:
            return not any(isinstance(kind, Plain) for kind in kinds) and not self._is_the_projects(func.attr)
        if any(isinstance(kind, Plain) for kind in kinds):
            return False
        name = _name_of(func.value)
        known = [kind.name for kind in kinds if isinstance(kind, (External, Instance))]
        unknown = [each for each in known if each.partition(".")[0] not in NO_CACHES]
        if not kinds and _is_unmistaken(call, func) and _imports_redis(scope.module):
            return True
        if not (name in self._own_names or _is_like_one(name) or any(map(_is_like_one, map(_last, unknown)))):
            return False
        is_no_cache = known and not unknown and not _passes_unknowns(func.value)
        if is_no_cache or any(_IN_PROCESS.fullmatch(each.rpartition(".")[2]) for each in known):
            return False
        if any(each.partition(".")[0] in REDIS_LIBRARIES for each in known):
            return True
        if self._used_as_dict(func.value, scope):
            return False
        if not known:
            return func.attr not in AS_DICTS and not (func.attr == "keys" and not (call.args or call.keywords))
        return True

    def _is_the_projects(self, method: str) -> bool:
        """Whether a class of the project has a method of this name: then an unknown receiver may be that class."""
        return any(each.owner is not None for each in self._inference.project.functions.get(method, ()))

    def _used_as_dict(self, receiver: ast.expr, scope: Scope) -> bool:
        wanted = ast.dump(receiver)
        for node in ast.walk(scope.outermost.node):
            if isinstance(node, ast.Subscript) and ast.dump(node.value) == wanted:
                return True
        return False


_METHODS: Final = frozenset(name for acts in ACTS.values() for name in acts)


def made(  # noqa: PLR0913 - what a call is made of
    call: ast.Call, scope: Scope, family: Family, method: str, act: Act, *, by_name: bool = False, skip: int = 0
) -> CacheCall:
    """A call of a cache, with its arguments found."""
    given = call.args[skip:]
    key = _given(given, call, act.key, act.key_names)
    value = _given(given, call, act.value, VALUE_NAMES) if act.value is not None else None
    if act.verb is Verb.FIELDS_SET and len(given) > 2:  # noqa: PLR2004 - hset(name, field, value)
        value = given[2]
    timeout = _given(given, call, act.timeout, TIMEOUT_NAMES) if act.verb is not Verb.COUNT else None
    verb = act.verb
    keywords = {each.arg: each.value for each in call.keywords}
    if verb is Verb.SET and any(_is_true(keywords.get(name)) for name in ("nx", "exist")):
        verb = Verb.ADD
    if verb is Verb.CLEAR and family in {Family.FASTAPI, Family.FASTAPI_BACKEND, Family.AIOCACHE}:
        namespace = keywords.get("namespace") or (given[0] if given else None)
        one_key = keywords.get("key") or (given[1] if len(given) > 1 else None)
        if one_key is not None and not _is_none(one_key):
            verb, key = Verb.DELETE, one_key
        elif namespace is not None and not _is_none(namespace):
            verb, key = Verb.PATTERN, namespace
    return CacheCall(call, scope, family, method, verb, key, value, timeout, by_name)


def _given(args: list[ast.expr], call: ast.Call, position: int | None, names: tuple[str, ...]) -> ast.expr | None:
    for keyword in call.keywords:
        if keyword.arg in names:
            return keyword.value
    if position is None or position >= len(args) or any(isinstance(each, ast.Starred) for each in args[:position]):
        return None
    return args[position]


def _is_true(expr: ast.expr | None) -> bool:
    return isinstance(expr, ast.Constant) and expr.value is True


def _is_none(expr: ast.expr | None) -> bool:
    return isinstance(expr, ast.Constant) and expr.value is None


def _name_of(receiver: ast.expr) -> str:
    """What a receiver is called: `self.redis_client`, `get_redis()`, `app["redis"]`."""
    match receiver:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Call(func=func):
            return _name_of(func).removeprefix("get_").removeprefix("_get_")
        case ast.Subscript(slice=ast.Constant(value=str() as name)):
            return name
        case ast.Await(value=inner):
            return _name_of(inner)
        case _:
            return ""


def _is_unmistaken(call: ast.Call, func: ast.Attribute) -> bool:
    """Whether a call of something unknown is one of Redis, in a module that imports Redis: dicts have no such call."""
    if func.attr == "keys":
        return bool(call.args)
    return func.attr in UNMISTAKEN or (func.attr == "scan" and any(each.arg == "match" for each in call.keywords))


def _imports_redis(module: Module) -> bool:
    return any(
        isinstance(each, Imported) and not each.level and each.module.partition(".")[0] in REDIS_LIBRARIES
        for bindings in module.scope.bindings.values() for each in bindings
    )  # fmt: skip


def _is_like_one(name: str) -> bool:
    """Whether something is called as caches are."""
    return bool(_CALLED_LIKE_ONE.fullmatch(name) or _CLASS_LIKE_ONE.fullmatch(name)) and not _NOT_SHARED.search(name)


def _last(dotted: str) -> str:
    """The last part of a dotted name, without what a function that gives something begins with."""
    return dotted.rpartition(".")[2].removeprefix("get_").removeprefix("make_").removeprefix("create_")


def _passes_unknowns(receiver: ast.expr) -> bool:
    """Whether a receiver hangs on what anything can be put on: `request.app.state.redis`."""
    node = receiver.value if isinstance(receiver, (ast.Attribute, ast.Subscript)) else None
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name in _HELD_BY_UNKNOWNS


def _is_open(kinds: Kinds, inference: Inference) -> bool:
    """Whether a class of the project inherits from a library's that no table knows: it may have any method."""
    return any(
        isinstance(kind, (Object, Class))
        and any("ache" in base.name or "edis" in base.name for base in inference.externals_of(kind.scope))
        for kind in kinds
    )


def _family_by_name(func: ast.Attribute, scope: Scope) -> Family:
    name = _name_of(func.value).lower()
    if "redis" in name or "valkey" in name or name.endswith("rdb"):
        return Family.REDIS
    root = scope.module.scope.bindings
    return Family.FLASK if "current_app" in root or "Flask" in root else Family.DJANGO
