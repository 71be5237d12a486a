"""What the methods of caches and Redis clients do, and which of their arguments is the key. Tables, by family.

Sources: Django's `BaseCache`, django-redis 7's `RedisCache`, redis-py's commands (aioredis has the same names), cashews
7's `Cache`, aiocache 0.12's `BaseCache`, fastapi-cache2 0.2's `FastAPICache` and `Backend`, Flask-Caching's `Cache`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from unstale.tools.audit.code.kinds import Family


class Verb(StrEnum):
    """What a call does."""

    GET = "get"
    GET_MANY = "get many"
    HAS = "has"
    SET = "set"
    SET_MANY = "set many"
    ADD = "add"
    """It stores what is not there yet: a lock, a first one."""
    GET_OR_SET = "get or set"
    DELETE = "delete"
    DELETE_MANY = "delete many"
    COUNT = "count"
    EXPIRE = "expire"
    WALK = "walk"
    """It answers keys that it finds by walking all of them."""
    PATTERN = "pattern delete"
    CLEAR = "clear"
    RAW = "raw command"
    SCRIPT = "script"
    FIELDS_SET = "set fields"
    """It stores into a hash, list or set."""
    FIELDS_GET = "get fields"


class Act(NamedTuple):
    """How a method is called.

    Attributes:
        verb: what it does.
        key: the position of the key, of the keys, or of the pattern; None if there is none.
        key_names: its names.
        value: the position of the value.
        timeout: the position of the time-out.
        many: whether every argument by position is a key.
    """

    verb: Verb
    key: int | None = 0
    key_names: tuple[str, ...] = ("key", "name")
    value: int | None = None
    timeout: int | None = None
    many: bool = False


VALUE_NAMES: Final = ("value", "data", "default", "mapping", "pairs")
TIMEOUT_NAMES: Final = (
    "timeout", "ttl", "expire", "ex", "px", "exat", "pxat", "time", "keepttl", "pexpire", "expire_in", "expiration",
    "seconds",
)  # fmt: skip
PATTERN_NAMES: Final = ("pattern", "match", "search", "namespace", "key")

_GET, _HAS = Act(Verb.GET), Act(Verb.HAS)
_GET_MANY = Act(Verb.GET_MANY, key_names=("keys",))
_DELETE, _DELETES = Act(Verb.DELETE), Act(Verb.DELETE, key_names=("names",), many=True)
_DELETE_MANY = Act(Verb.DELETE_MANY, key_names=("keys",))
_SET = Act(Verb.SET, value=1, timeout=2)
_ADD = Act(Verb.ADD, value=1, timeout=2)
_SET_MANY = Act(Verb.SET_MANY, key=None, key_names=(), value=0, timeout=1)
_COUNT, _EXPIRE = Act(Verb.COUNT, value=1), Act(Verb.EXPIRE, timeout=1)
_CLEAR = Act(Verb.CLEAR, key=None, key_names=())
_WALK = Act(Verb.WALK, key_names=PATTERN_NAMES)
_WALK_AT_1 = Act(Verb.WALK, key=1, key_names=PATTERN_NAMES)
_PATTERN = Act(Verb.PATTERN, key_names=PATTERN_NAMES)
_GET_OR_SET = Act(Verb.GET_OR_SET, value=1, timeout=2)
_FIELDS_SET, _FIELDS_GET = Act(Verb.FIELDS_SET, value=1), Act(Verb.FIELDS_GET)

_DJANGO: Final = {
    "get": _GET, "get_many": _GET_MANY, "set": _SET, "add": _ADD, "set_many": _SET_MANY, "get_or_set": _GET_OR_SET,
    "touch": _EXPIRE, "delete": _DELETE, "delete_many": _DELETE_MANY, "clear": _CLEAR, "has_key": _HAS, "incr": _COUNT,
    "decr": _COUNT, "incr_version": _COUNT, "decr_version": _COUNT, "delete_pattern": _PATTERN, "keys": _WALK,
    "iter_keys": _WALK, "expire": _EXPIRE, "persist": _EXPIRE, "delete_by_pattern": _PATTERN,
}  # fmt: skip
_REDIS: Final = {
    "get": _GET, "getex": _GET, "mget": _GET_MANY, "exists": _HAS, "set": Act(Verb.SET, value=1, timeout=2),
    "setex": Act(Verb.SET, value=2, timeout=1), "psetex": Act(Verb.SET, value=2, timeout=1), "setnx": _ADD,
    "mset": _SET_MANY, "msetnx": _SET_MANY, "getset": Act(Verb.SET, value=1), "delete": _DELETES, "unlink": _DELETES,
    "keys": _WALK, "scan": _WALK_AT_1, "scan_iter": _WALK, "iscan": _WALK, "incr": _COUNT, "incrby": _COUNT,
    "decr": _COUNT, "decrby": _COUNT, "incrbyfloat": _COUNT, "hincrby": _COUNT, "expire": _EXPIRE, "pexpire": _EXPIRE,
    "expireat": _EXPIRE, "pexpireat": _EXPIRE, "persist": _EXPIRE, "flushdb": _CLEAR, "flushall": _CLEAR,
    "flush_db": _CLEAR, "flush_all": _CLEAR, "execute_command": Act(Verb.RAW), "execute": Act(Verb.RAW),
    "eval": Act(Verb.SCRIPT), "evalsha": Act(Verb.SCRIPT), "register_script": Act(Verb.SCRIPT),
    "script_load": Act(Verb.SCRIPT), "hset": _FIELDS_SET, "hmset": _FIELDS_SET, "hsetnx": _FIELDS_SET,
    "hmset_dict": _FIELDS_SET, "hget": _FIELDS_GET, "hgetall": _FIELDS_GET, "hexists": _FIELDS_GET,
    "hmget": _FIELDS_GET,
}  # fmt: skip
_CASHEWS: Final = {
    "get": _GET, "get_many": Act(Verb.GET_MANY, many=True), "set": _SET, "set_many": _SET_MANY, "exists": _HAS,
    "get_or_set": _GET_OR_SET, "incr": _COUNT, "expire": _EXPIRE, "delete": _DELETE, "delete_match": _PATTERN,
    "delete_many": _DELETES, "clear": _CLEAR, "scan": _WALK, "keys_match": _WALK, "get_match": _WALK,
}  # fmt: skip
_AIOCACHE: Final = {
    "get": _GET, "multi_get": _GET_MANY, "set": _SET, "multi_set": _SET_MANY, "add": _ADD, "exists": _HAS,
    "increment": _COUNT, "expire": _EXPIRE, "delete": _DELETE, "clear": _CLEAR, "raw": Act(Verb.RAW),
}  # fmt: skip
_FASTAPI: Final = {"get": _GET, "get_with_ttl": _GET, "set": _SET, "clear": _CLEAR}
_FLASK: Final = {
    "get": _GET, "get_many": Act(Verb.GET_MANY, many=True), "set": _SET, "add": _ADD, "set_many": _SET_MANY,
    "delete": _DELETE, "delete_many": _DELETES, "clear": _CLEAR, "has": _HAS, "inc": _COUNT, "dec": _COUNT,
}  # fmt: skip

ACTS: Final[dict[Family, dict[str, Act]]] = {
    Family.DJANGO: _DJANGO | {f"a{name}": act for name, act in _DJANGO.items()},
    Family.REDIS: _REDIS,
    Family.PIPELINE: _REDIS,
    Family.CASHEWS: _CASHEWS,
    Family.AIOCACHE: _AIOCACHE,
    Family.FASTAPI: _FASTAPI,
    Family.FASTAPI_BACKEND: _FASTAPI,
    Family.FLASK: _FLASK,
}

ONLY_CACHES: Final = frozenset({
    "delete_pattern", "adelete_pattern", "iter_keys", "scan_iter", "flushdb", "flushall", "delete_match",
})  # fmt: skip
"""Methods that nothing else has: enough, whatever they are called on."""
UNMISTAKEN: Final = frozenset({"setex", "psetex", "mget", "hgetall", "execute_command", "register_script"})
"""Methods that little else has: enough in a module that imports a Redis library."""
AS_DICTS: Final = frozenset(
    {"clear", "add", "has", "exists", "execute", "raw", "scan", "has_key", "expire", "inc", "dec"}
)
"""Methods that say nothing of a receiver that is only known by its name."""

REMOVES: Final = frozenset({Verb.DELETE, Verb.DELETE_MANY})
STORES: Final = frozenset({Verb.SET, Verb.SET_MANY, Verb.FIELDS_SET})
