"""UNS008 unsigned-pickle: what comes from a cache is unpickled without proof of who wrote it.

Bad::

    import pickle
    import redis

    client = redis.Redis()

    def orders(user_id):
        raw = client.get(f"orders:{user_id}")
        return pickle.loads(raw) if raw else None

Bad::

    CACHES = {"default": {"OPTIONS": {"SERIALIZER": "django_redis.serializers.pickle.PickleSerializer"}}}

Good::

    import json
    import redis

    client = redis.Redis()

    def orders(user_id):
        raw = client.get(f"orders:{user_id}")
        return json.loads(raw) if raw else None

Good::

    import pickle
    from pathlib import Path

    def model():
        return pickle.loads(Path("model.bin").read_bytes())
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from unstale.tools.audit.code.kinds import External, Instance, Kind, Object
from unstale.tools.audit.code.project import called_name
from unstale.tools.audit.code.scopes import Scope, Value
from unstale.tools.audit.code.understood import Code
from unstale.tools.audit.code.verbs import Verb
from unstale.tools.audit.results import Level
from unstale.tools.audit.rules.base import Hit, Rule

_LOADS: Final = re.compile(
    r"(?:_?pickle|cPickle|cloudpickle|dill|joblib)(?:\.\w+)*\.loads?|six\.moves\.cPickle\.loads?|django\.utils\.six\.moves\.cPickle\.loads?"
)
_UNPICKLER: Final = re.compile(r"(?:_?pickle|cPickle|cloudpickle|dill)\.Unpickler")
_READS: Final = frozenset({Verb.GET, Verb.GET_MANY, Verb.FIELDS_GET, Verb.RAW, Verb.SCRIPT})
_OTHER_READS: Final = frozenset(
    {
        "lrange",
        "lpop",
        "rpop",
        "blpop",
        "brpop",
        "smembers",
        "zrange",
        "hvals",
        "hscan_iter",
        "getdel",
        "lindex",
        "get_message",
        "spop",
    }
)
_SERIALIZERS: Final = re.compile(
    r"(?:\w+\.)*(?:serializers?|coder|serializer)\.(?:\w+\.)*Pickle\w*|(?:\w+\.)*Pickle(?:Serializer|Coder)"
)
_PICKLES: Final = frozenset({"pickle", "_pickle", "cloudpickle", "dill", "cPickle", "pk", "joblib"})
_CACHE_NAMES: Final = re.compile(r"redis|valkey|cache|aiocache|cashews", re.IGNORECASE)
_VERIFIES: Final = frozenset({"compare_digest", "unsign", "verify", "unsign_object", "constant_time_compare"})


def find(code: Code) -> Iterator[Hit]:
    """Every load of a pickle out of a cache, and every setting that names a pickle serializer of one."""
    for scope in code.project.scopes:
        pickles = not _PICKLES.isdisjoint(scope.module.scope.bindings)
        for call in scope.calls:
            if (pickles or called_name(call) in {"loads", "load"}) and call.args and _is_pickle(call, scope, code):
                if _from_cache(call.args[0], scope, code) and not _is_verified(call, scope):
                    yield Hit(call, scope)
            elif _names_serializer(call, scope, code) or any(
                _from_cache(each, where, code) for each, where in _unpickled(call, scope, code)
            ):
                yield Hit(call, scope)
    for module in code.project.modules:
        yield from _settings(module.scope)
        yield from _passed(module.scope, code)


def _is_pickle(call: ast.Call, scope: Scope, code: Code) -> bool:
    return any(
        isinstance(kind, External) and _LOADS.fullmatch(kind.name) for kind in code.inference.kinds(call.func, scope)
    )


def _unpickled(call: ast.Call, scope: Scope, code: Code) -> Iterator[tuple[ast.expr, Scope]]:
    """What `Unpickler(file).load()` reads, of pickle's own class or of one that inherits from it."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr != "load":
        return
    made = [(call.func.value, scope)]
    if isinstance(call.func.value, ast.Name):
        bindings = code.inference.home(call.func.value.id, scope)[1]
        made = [(each.expr, each.scope) for each in bindings if isinstance(each, Value)]
    for expr, where in made:
        if isinstance(expr, ast.Call) and any(
            _UNPICKLER.fullmatch(name) for kind in code.inference.kinds(expr, where) for name in _names_of(kind, code)
        ):
            yield from ((each, where) for each in (*expr.args, *[word.value for word in expr.keywords]))


def _names_of(kind: Kind, code: Code) -> list[str]:
    """What a library calls something: its own name, or those of the classes that it inherits from."""
    if isinstance(kind, Object):
        return [base.name for base in code.inference.externals_of(kind.scope)]
    return [kind.name] if isinstance(kind, Instance) else []


def _from_cache(expr: ast.expr, scope: Scope, code: Code) -> bool:
    for source in code.derivation.sources(expr, scope, callers=3, results=3):
        if isinstance(source.node, ast.Call):
            known = code.calls.of.get(source.node)
            if known is not None and known.verb in _READS:
                return True
            if (
                known is None
                and called_name(source.node) in _OTHER_READS
                and isinstance(source.node.func, ast.Attribute)
            ) and _CACHE_NAMES.search(ast.unparse(source.node.func.value)):
                return True
    return False


def _is_verified(call: ast.Call, scope: Scope) -> bool:
    return any(called_name(each) in _VERIFIES and each.lineno <= call.lineno for each in scope.calls)


def _names_serializer(call: ast.Call, scope: Scope, code: Code) -> bool:
    """`PickleSerializer()` of a cache's library."""
    return called_name(call).startswith("Pickle") and any(
        isinstance(kind, External)
        and _CACHE_NAMES.search(kind.name)
        and kind.name.rpartition(".")[2] in {"PickleSerializer", "PickleCoder"}
        for kind in code.inference.kinds(call.func, scope)
    )


def _settings(scope: Scope) -> Iterator[Hit]:
    """`"SERIALIZER": "….PickleSerializer"`, and the same in other libraries' settings."""
    for node in scope.module.dicts:
        for key, value in zip(node.keys, node.values, strict=True):
            name = str(key.value).lower() if isinstance(key, ast.Constant) else ""
            if name != "class" and "serializer" not in name:
                continue
            for text in ast.walk(value):
                if not isinstance(text, ast.Constant) or not isinstance(text.value, str) or isinstance(value, ast.Dict):
                    continue
                if _SERIALIZERS.fullmatch(text.value) or (name == "class" and text.value.endswith("PickleSerializer")):
                    yield Hit(text, scope)


def _passed(scope: Scope, code: Code) -> Iterator[Hit]:
    """`coder=PickleCoder`: the class itself is given, or kept under a name."""
    for each in scope.module.scopes.values():
        given = [word for call in each.calls for word in (*call.args, *[keyword.value for keyword in call.keywords])]
        for bindings in each.bindings.values():
            given += [binding.expr for binding in bindings if isinstance(binding, Value)]
        given += [one.default for one in each.parameters if one.default is not None]
        yield from (Hit(expr, each) for expr in given if _is_coder(expr, each, code))


def _is_coder(expr: ast.expr, scope: Scope, code: Code) -> bool:
    name = expr.id if isinstance(expr, ast.Name) else expr.attr if isinstance(expr, ast.Attribute) else ""
    return name in {"PickleCoder", "PickleSerializer"} and any(
        isinstance(kind, External) and _CACHE_NAMES.search(kind.name) for kind in code.inference.kinds(expr, scope)
    )


RULE = Rule(
    "UNS008",
    "unsigned-pickle",
    Level.ERROR,
    "Whatever stands in the cache is unpickled: who can write to Redis can run code in this process.",
    "JSON or MessagePack; or let unstale sign what it pickles (signing_keys), so that only what was signed is opened.",
    find,
    __doc__,
)
