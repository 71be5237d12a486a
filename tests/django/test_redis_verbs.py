"""What django-redis's users have: each verb against our backend on real servers, and beside django-redis itself."""

from __future__ import annotations

import inspect
import pickle
import secrets
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import django_redis
import pytest
from asgiref.sync import async_to_sync
from django.core.cache import caches
from django.db import transaction
from django.test import override_settings
from django_redis.cache import RedisCache
from redis import Redis
from servers import Server

from unstale.contrib.django import UnstaleCache, notices
from unstale.contrib.django.backend.members import UNREADABLE, Members
from unstale.contrib.django.backend.redis_side import TIDY_EVERY
from unstale.contrib.django.backend.redis_verbs import NotAPatternError, UndeclaredPatternError, get_redis_connection
from unstale.contrib.django.notices import UnstaleWarning
from unstale.core.codecs import Pickle
from unstale.core.signing import Signer
from unstale.errors import ConfigurationError

KEY = bytes(range(32))
STRUCTURE_VERBS = sorted(
    name
    for name in vars(RedisCache)
    if name.startswith(("h", "s", "z")) and name not in ("has_key", "set", "set_many") and not name.startswith("_")
)


class Colour(Enum):
    """Something that only pickle carries."""

    RED = 1


class Blue(str):
    """A subclass, which is no plain text."""

    __slots__ = ()


@pytest.fixture(autouse=True)
def said() -> Iterator[None]:
    """Nothing has been said yet."""
    notices.forget()
    yield
    notices.forget()


@pytest.fixture
def theirs(server: Server) -> Iterator[Any]:
    """django-redis's backend on another database of the test's server."""
    one = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": server.url.replace("/0", "/5")}
    with override_settings(CACHES={"default": one}):
        yield caches["default"]


# Signatures


def parameters_of(kind: type, name: str) -> list[tuple[str, Any]]:
    """What a verb can be given, in order, with the defaults."""
    every = inspect.signature(getattr(kind, name)).parameters.values()
    return [(one.name, one.default) for one in every]


@pytest.mark.parametrize("name", [*STRUCTURE_VERBS, "lock", "delete_pattern", "persist", "ttl", "pttl", "iter_keys"])
def test_verbs_take_what_django_redis_takes(name: str) -> None:
    """The same names in the same order with the same defaults."""
    from django_redis.client import DefaultClient

    assert parameters_of(UnstaleCache, name) == parameters_of(DefaultClient, name)


def test_there_are_all_verbs_of_django_redis() -> None:
    """Whatever its backend has in public, ours has."""
    public = {name for name in vars(RedisCache) if not name.startswith("_") and name != "logger"}
    assert {name for name in public if not hasattr(UnstaleCache, name)} == set()


# delete_pattern


def test_a_declared_pattern_is_one_write(backend: Any) -> None:
    """Its keys are absent, others are not."""
    backend.set_many({"user:42:orders": 1, "user:42:cart": 2, "user:43:orders": 3})
    assert backend.delete_pattern("user:42:*") == 1
    assert backend.get_many(["user:42:orders", "user:42:cart", "user:43:orders"]) == {"user:43:orders": 3}


def test_a_declared_pattern_that_nothing_carries(backend: Any) -> None:
    """0, and nothing is left behind."""
    assert backend.delete_pattern("user:42:*") == 0
    assert list(get_redis_connection().scan_iter("django:s:*")) == []


def test_a_declared_pattern_writes_no_entry(backend: Any, server: Server) -> None:
    """The entry's bytes stay until a refill: nothing is scanned, nothing deleted."""
    backend.set("user:42:orders", 1)
    with server.client as client:
        before = client.info("commandstats")
        backend.delete_pattern("user:42:*")
        after = client.info("commandstats")
    assert after.get("cmdstat_scan") == before.get("cmdstat_scan")
    assert after.get("cmdstat_unlink") == before.get("cmdstat_unlink")


def test_a_declared_pattern_has_a_version(backend: Any) -> None:
    """Another version's keys are others."""
    backend.set("user:42:orders", 1, version=1)
    backend.set("user:42:orders", 2, version=2)
    backend.delete_pattern("user:42:*", version=2)
    assert (backend.get("user:42:orders", version=1), backend.get("user:42:orders", version=2)) == (1, None)


def test_a_declared_pattern_waits_for_commit(backend: Any) -> None:
    """It answers 1, since it will have been done."""
    backend.set("user:42:orders", 1)
    with transaction.atomic():
        assert backend.delete_pattern("user:42:*") == 1
        assert caches.create_connection("default").core.get(":1:user:42:orders", tags=(":1:user:42",)) == 1
    assert backend.get("user:42:orders") is None


def test_an_undeclared_pattern_works_and_warns(backend: Any) -> None:
    """As before: how many entries were removed; and the line to add, once."""
    backend.set_many({"page:1:a": 1, "page:1:b": 2, "page:2:a": 3})
    with pytest.warns(UnstaleWarning, match=r'TAG_PATTERNS: "page:\{id\}:\*"'):
        assert backend.delete_pattern("page:1:*") == 2
    assert backend.get_many(["page:1:a", "page:2:a"]) == {"page:2:a": 3}
    assert backend.delete_pattern("page:1:*") == 0


def test_values_of_one_shape_warn_once(configure: Callable[..., Any]) -> None:
    """Twenty numbers need one line, which is said once; another shape is said again."""
    backend = configure(NAMESPACE=secrets.token_hex(4))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for number in range(20):
            backend.delete_pattern(f"page:{number}:*")
            async_to_sync(backend.adelete_pattern)(f"group_{number}*")
    assert [each.category for each in caught] == [UnstaleWarning] * 2


@pytest.mark.parametrize("pattern", [42, None, b"page:*", ["page:*"]])
def test_a_pattern_is_a_str(backend: Any, pattern: object) -> None:
    """Anything else is an error that says so, before a server is asked."""
    for verb in (backend.delete_pattern, async_to_sync(backend.adelete_pattern)):
        with pytest.raises(NotAPatternError, match="a glob as a str"):
            verb(pattern)
    assert issubclass(NotAPatternError, TypeError)


def test_a_wider_pattern_is_undeclared(backend: Any) -> None:
    """A glob where the placeholder is."""
    backend.set("user:42:orders", 1)
    with pytest.warns(UnstaleWarning, match="not declared"):
        assert backend.delete_pattern("user:*:orders") == 1
    assert backend.get("user:42:orders") is None


def test_another_prefix_is_undeclared(backend: Any) -> None:
    """Its keys carry other tags."""
    backend.set("user:42:orders", 1)
    with pytest.warns(UnstaleWarning, match="not declared") as caught:
        assert backend.delete_pattern("user:42:*", prefix="other") == 0
    assert backend.get("user:42:orders") == 1
    assert "With another prefix than its own it never is" in str(caught[0].message)
    assert "TAG_PATTERNS" not in str(caught[0].message)
    assert backend.delete_pattern("user:43:*", prefix="other") == 0


def test_prefix_and_version_are_taken_by_the_letter(configure: Callable[..., Any]) -> None:
    """A glob character in KEY_PREFIX matches itself."""
    other = configure("other", params={"KEY_PREFIX": "ab"}, NAMESPACE="shared")
    starred = configure(params={"KEY_PREFIX": "a*"}, NAMESPACE="shared")
    other.set("k", 1)
    starred.set("k", 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnstaleWarning)
        assert starred.delete_pattern("k*") == 1
    assert other.get("k") == 1


def test_strict_patterns(configure: Callable[..., Any]) -> None:
    """An undeclared pattern is an error that names the line to add, and nothing is removed."""
    backend = configure(STRICT_PATTERNS=True)
    backend.set("page:1:a", 1)
    with pytest.raises(UndeclaredPatternError, match="TAG_PATTERNS") as caught:
        backend.delete_pattern("page:1:*")
    assert backend.get("page:1:a") == 1
    assert "nothing was done" in str(caught.value)
    assert "scans" not in str(caught.value)
    with pytest.raises(UndeclaredPatternError, match=r'TAG_PATTERNS: "page:\{id\}:\*"'):
        backend.delete_pattern("page:2:*")
    with pytest.raises(UndeclaredPatternError, match="another prefix"):
        backend.delete_pattern("page:1:*", prefix="other")


def test_itersize_is_the_count_of_each_scan(backend: Any, server: Server) -> None:
    """Smaller steps are more commands."""
    backend.set_many({f"page:{number}": number for number in range(200)})

    def scans(itersize: int) -> int:
        with server.client as client, warnings.catch_warnings():
            warnings.simplefilter("ignore", UnstaleWarning)
            before = client.info("commandstats").get("cmdstat_scan", {"calls": 0})["calls"]
            backend.delete_pattern("nothing*", itersize=itersize)
            return int(client.info("commandstats")["cmdstat_scan"]["calls"]) - int(before)

    assert scans(10) > scans(5000)


def test_adelete_pattern(backend: Any) -> None:
    """Declared and undeclared."""
    backend.set_many({"user:42:orders": 1, "page:1": 2})
    assert async_to_sync(backend.adelete_pattern)("user:42:*") == 1
    with pytest.warns(UnstaleWarning, match="not declared"):
        assert async_to_sync(backend.adelete_pattern)("page:*") == 1
    assert backend.get_many(["user:42:orders", "page:1"]) == {}


# Keys


def test_keys(configure: Callable[..., Any]) -> None:
    """The project's own keys, of this version and prefix, fresh ones only."""
    backend = configure(params={"KEY_PREFIX": "shop"}, TAG_PATTERNS=["user:{id}:*"])
    backend.set_many({"user:42:a": 1, "user:43:a": 2, "page": 3})
    backend.set("user:44:a", 4, version=2)
    backend.delete_pattern("user:43:*")
    assert sorted(backend.keys("*")) == ["page", "user:42:a"]
    assert list(backend.iter_keys("user:*", itersize=5)) == ["user:42:a"]
    assert async_to_sync(backend.akeys)("user:*") == ["user:42:a"]


def test_keys_by_a_reverse_function(configure: Callable[..., Any]) -> None:
    """REVERSE_KEY_FUNCTION undoes KEY_FUNCTION."""
    params = {"KEY_FUNCTION": f"{__name__}.made", "REVERSE_KEY_FUNCTION": f"{__name__}.unmade"}
    backend = configure(params=params)
    backend.set("k", 1)
    assert backend.keys("*") == ["k"]


def made(key: str, prefix: str, version: int) -> str:
    """A KEY_FUNCTION."""
    return f"{key}/{prefix}/{version}"


def unmade(key: str) -> str:
    """And back."""
    return key.rsplit("/", 2)[0]


# Times to live


def test_ttl(backend: Any) -> None:
    """Seconds; None for no limit, 0 for nothing."""
    backend.set("k", 1, 100)
    backend.set("forever", 1, None)
    assert (backend.ttl("k"), backend.ttl("forever"), backend.ttl("absent")) == (100, None, 0)
    assert 99_000 < backend.pttl("k") <= 100_000
    assert (backend.pttl("forever"), backend.pttl("absent")) == (None, 0)


def test_what_is_stale_has_no_ttl(backend: Any) -> None:
    """It is absent."""
    backend.set("user:42:a", 1, 100)
    backend.delete_pattern("user:42:*")
    assert backend.ttl("user:42:a") == 0
    assert not backend.persist("user:42:a")
    assert not backend.expire("user:42:a", 50)


def test_what_is_invalidated_in_a_transaction_has_no_ttl(backend: Any) -> None:
    """In it, it is absent."""
    backend.set("user:42:a", 1, 100)
    with transaction.atomic():
        backend.delete_pattern("user:42:*")
        assert backend.ttl("user:42:a") == 0
        assert not backend.expire("user:42:a", 50)


def test_persist(backend: Any) -> None:
    """Whether there was a limit to take away."""
    backend.set("k", 1, 100)
    assert backend.persist("k")
    assert backend.ttl("k") is None
    assert not backend.persist("k")
    assert not backend.persist("absent")


@pytest.mark.parametrize(
    ("verb", "limit"),
    [
        ("expire", lambda: 50),
        ("expire", lambda: timedelta(seconds=50)),
        ("pexpire", lambda: 50_000),
        ("pexpire", lambda: timedelta(seconds=50)),
        ("expire_at", lambda: int(time.time()) + 50),
        ("expire_at", lambda: datetime.now() + timedelta(seconds=50)),  # noqa: DTZ005 - as redis-py takes it
        ("pexpire_at", lambda: int(time.time() * 1000) + 50_000),
        ("pexpire_at", lambda: datetime.now() + timedelta(seconds=50)),  # noqa: DTZ005
    ],
)
@pytest.mark.parametrize("kind", ["entry", "structure"])
def test_expire(backend: Any, verb: str, limit: Callable[[], Any], kind: str) -> None:
    """A new limit, of an entry and of a structure; False where there is nothing."""
    {"entry": backend.set, "structure": backend.sadd}[kind]("k", 1)
    assert getattr(backend, verb)("k", limit())
    assert 48 <= backend.ttl("k") <= 50
    assert not getattr(backend, verb)("absent", limit())


def test_asynchronous_times_to_live(backend: Any) -> None:
    """The twins, for entries."""
    backend.set("k", 1, 100)

    async def all_of_them() -> list[Any]:
        done = [await backend.aexpire("k", 50), await backend.attl("k"), await backend.apexpire("k", 60_000)]
        done += [await backend.attl("k"), await backend.aexpire_at("k", time.time() + 70), await backend.attl("k")]
        done += [await backend.apexpire_at("k", (time.time() + 80) * 1000), await backend.attl("k")]
        return [*done, await backend.apersist("k"), await backend.apttl("k"), await backend.attl("absent")]

    assert async_to_sync(all_of_them)() == [True, 50, True, 60, True, 70, True, 80, True, None, 0]


def test_a_structure_has_a_time_to_live(backend: Any) -> None:
    """As with any key of Redis."""
    backend.sadd("seen", 1)
    assert backend.ttl("seen") is None
    backend.expire("seen", 100)
    assert backend.ttl("seen") == 100
    assert backend.persist("seen")
    assert backend.ttl("seen") is None


# The client, and locks


def test_get_redis_connection(backend: Any) -> None:
    """By our function, by django-redis's, and by the cache's client: redis-py's, on the same server."""
    clients = [get_redis_connection("default"), django_redis.get_redis_connection("default")]
    clients += [backend.client.get_client(write=True), backend.get_client()]
    assert all(isinstance(client, Redis) for client in clients)
    assert len({id(client) for client in clients}) == 1
    assert clients[0].ping()


def test_the_client_has_the_verbs(backend: Any) -> None:
    """`cache.client.set` and its like, as with django-redis."""
    assert backend.client.set("k", 1)
    assert backend.client.get("k") == 1
    assert "k" in backend.client
    assert backend.client.make_key("k") == ":1:k"
    assert backend.client.make_pattern("k*") == ":1:k*"


@pytest.mark.parametrize(
    "verb",
    [
        lambda backend: backend.lock("k"),
        lambda backend: backend.sadd("k", 1),
        lambda backend: backend.zcard("k"),
        lambda backend: backend.get_client(),
    ],
)
def test_without_a_server(configure: Callable[..., Any], verb: Callable[[Any], Any]) -> None:
    """memory:// says that it has none."""
    backend = configure(params={"LOCATION": "memory://"})
    with pytest.raises(ConfigurationError, match="memory://"):
        verb(backend)


def test_without_a_server_entries_have_their_verbs(configure: Callable[..., Any]) -> None:
    """Times to live, keys, patterns, clear."""
    backend = configure(params={"LOCATION": "memory://"}, TAG_PATTERNS=["user:{id}:*"])
    backend.set("user:42:a", 1, 100)
    assert (backend.ttl("user:42:a"), backend.ttl("absent"), backend.keys("*")) == (100, 0, ["user:42:a"])
    assert backend.delete_pattern("user:42:*") == 1
    assert backend.clear()


def test_a_backend_without_a_client(configure: Callable[..., Any]) -> None:
    """The same error as django-redis's."""
    configure("ours")
    with pytest.raises(NotImplementedError, match="'default'"):
        get_redis_connection("default")


def test_a_lock_excludes(backend: Any) -> None:
    """One holder at a time; it is no entry, and none is in its way."""
    backend.set("import", 1)
    with backend.lock("import", timeout=10):
        assert not backend.lock("import", timeout=10).acquire(blocking=False)
        assert backend.get("import") == 1
        backend.clear()
        assert not backend.lock("import", timeout=10).acquire(blocking=False)
    assert backend.lock("import", timeout=10).acquire(blocking=False)


# Structures, beside django-redis


MEMBERS = [1, -5, "text", "käse", "42", b"bytes", 1.5, True, None, (1, "a"), Colour.RED, frozenset({1})]

SCRIPTS: dict[str, Callable[[Any], Any]] = {
    "hset": lambda c: [
        c.hset("h", "a", 1),
        c.hset("h", "a", 2),
        c.hset("h", mapping={"b": "x", "c": None}),
        c.hlen("h"),
    ],
    "hdel": lambda c: [c.hset("h", "a", 1), c.hdel("h", "a"), c.hdel("h", "a"), c.hkeys("h")],
    "hkeys": lambda c: [
        c.hset("h", mapping={"a": 1, "ä": 2}),
        sorted(c.hkeys("h")),
        c.hexists("h", "ä"),
        c.hexists("h", "b"),
    ],
    "sadd": lambda c: [c.sadd("s", *MEMBERS), c.sadd("s", *MEMBERS), c.scard("s"), c.smembers("s") == set(MEMBERS)],
    "srem": lambda c: [c.sadd("s", 1, "a"), c.srem("s", "a", "b"), c.smembers("s")],
    "sismember": lambda c: [c.sadd("s", *MEMBERS), [c.sismember("s", one) for one in MEMBERS], c.sismember("s", "no")],
    "smismember": lambda c: [c.sadd("s", 1, (1, 2)), c.smismember("s", 1, 2, (1, 2), "1")],
    "sets": lambda c: [
        *(c.sadd("a", 1, 2, "x"), c.sadd("b", 2, "x", "y")),
        *(c.sdiff("a", "b"), c.sinter("a", "b"), c.sunion("a", "b")),
        *(c.sdiffstore("d", "a", "b"), c.smembers("d"), c.sinterstore("d", "a", "b"), c.smembers("d")),
        *(c.sunionstore("d", "a", "b"), c.smembers("d")),
    ],
    "versions": lambda c: [
        *(
            c.sadd("a", 1, version=2),
            c.sadd("b", 1, 2, version=2),
            c.sdiffstore("d", "b", "a", version_dest=3, version_keys=2),
        ),
        *(c.smembers("d", version=3), c.smembers("d"), c.smembers("a")),
    ],
    "smove": lambda c: [
        c.sadd("a", "m"),
        c.smove("a", "b", "m"),
        c.smove("a", "b", "m"),
        c.smembers("a"),
        c.smembers("b"),
    ],
    "spop": lambda c: [c.sadd("s", "m"), c.spop("s"), c.spop("s"), c.sadd("s", 1, 2), c.spop("s", 5), c.spop("s", 5)],
    "srandmember": lambda c: [c.srandmember("s"), c.sadd("s", "m"), c.srandmember("s"), c.srandmember("s", 3)],
    "sscan": lambda c: [c.sadd("s", 1, "a"), c.sscan("s"), set(c.sscan_iter("s", count=1))],
    "zadd": lambda c: [
        *(
            c.zadd("z", {"a": 1, "b": 2.5, (1, 2): 3}),
            c.zadd("z", {"a": 5}, nx=True),
            c.zadd("z", {"a": 4}, xx=True, ch=True),
        ),
        *(
            c.zcard("z"),
            c.zscore("z", "a"),
            c.zscore("z", "no"),
            c.zadd("z", {"a": 1}, incr=True),
            c.zadd("z", {"a": 1}, gt=True),
        ),
    ],
    "zrange": lambda c: [
        *(c.zadd("z", {"a": 1, "b": 2, "c": 3}), c.zrange("z", 0, -1), c.zrange("z", 0, 1, desc=True, withscores=True)),
        *(
            c.zrange("z", 0, 0, withscores=True, score_cast_func=int),
            c.zrevrange("z", 0, -1),
            c.zrevrange("z", 0, 0, withscores=True),
        ),
    ],
    "zrangebyscore": lambda c: [
        *(c.zadd("z", {"a": 1, "b": 2, "c": 3}), c.zcount("z", "-inf", 2), c.zrangebyscore("z", 2, "+inf")),
        *(c.zrangebyscore("z", 1, 3, start=1, num=1, withscores=True), c.zrevrangebyscore("z", 3, 2)),
        *(
            c.zrevrangebyscore("z", 3, 1, start=0, num=1, withscores=True),
            c.zremrangebyscore("z", 1, 2),
            c.zrange("z", 0, -1),
        ),
    ],
    "zpop": lambda c: [
        *(
            c.zadd("z", {"a": 1, "b": 2, "c": 3}),
            c.zpopmax("z"),
            c.zpopmin("z", 1),
            c.zpopmin("z"),
            c.zpopmin("z"),
            c.zpopmax("z", 2),
        ),
    ],
    "zrank": lambda c: [
        c.zadd("z", {"a": 1, "b": 2}),
        c.zrank("z", "b"),
        c.zrank("z", "no"),
        c.zincrby("z", 5, "a"),
        c.zrank("z", "a"),
        c.zrem("z", "a", "no"),
    ],
    "integers": lambda c: [c.zadd("z", {7: 1}), c.zscore("z", 7), c.zrange("z", 0, -1)],
    "delete": lambda c: [c.sadd("s", 1), c.delete("s") or True, c.scard("s")],
    "set over a structure": lambda c: [c.sadd("s", 1), c.set("s", "value"), c.get("s")],
    "delete_many": lambda c: [
        c.sadd("a", 1),
        c.hset("b", "f", 1),
        bool(c.delete_many(["a", "b"])) or True,
        c.scard("a"),
        c.hlen("b"),
    ],
    "clear": lambda c: [
        c.sadd("s", 1),
        c.zadd("z", {"a": 1}),
        c.hset("h", "a", 1),
        c.clear() or True,
        c.scard("s"),
        c.zcard("z"),
        c.hlen("h"),
    ],
    "time to live": lambda c: [c.sadd("s", 1), c.ttl("s"), c.expire("s", 100), c.ttl("s"), c.persist("s"), c.ttl("s")],
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_structures_as_with_django_redis(name: str, backend: Any, theirs: Any, server: Server) -> None:
    """The same calls give the same answers."""
    expected = SCRIPTS[name](theirs)
    ours = UnstaleCache(server.url, {"OPTIONS": {}})
    assert SCRIPTS[name](ours) == expected


def test_sscan_matches_text(backend: Any) -> None:
    """A glob for members that are text, whatever they look like on the server."""
    backend.sadd("s", "apple", "apricot", "banana", 5, (1,))
    assert backend.sscan("s", match="ap*", count=100) == {"apple", "apricot"}
    assert set(backend.sscan_iter("s", match="*an*")) == {"banana"}


# Members


def test_a_member_without_a_signature_is_not_opened(backend: Any) -> None:
    """Whoever can write to Redis cannot run code here: it is left out."""
    backend.sadd("s", "good")
    client = get_redis_connection()
    [name] = client.keys("django:e:*")
    forged = pickle.dumps(Colour.RED)
    client.sadd(name, forged, b"\0\1" + bytes(20) + b"\4" + forged, b"\0\1", b"\0\2\xc1", b"")
    assert backend.smembers("s") == {"good"}


def test_an_entry_is_no_member() -> None:
    """What was signed as an entry is not opened as a member, nor with another cache's key."""
    signer, other = Signer(KEY, "shop"), Signer(KEY, "other")
    body = b"\4" + pickle.dumps("value", protocol=5)
    members = Members(Pickle(), signer)
    assert members.decode(b"\0\1" + signer.sign(b"\0member", body)) == "value"
    assert members.decode(b"\0\1" + signer.sign(b"\xf5\1" + bytes(62), body)) is UNREADABLE
    assert members.decode(b"\0\1" + other.sign(b"\0member", body)) is UNREADABLE


def test_no_pickle_is_opened_without_a_key() -> None:
    """A cache with another codec signs nothing, and takes no pickle for a member."""
    from unstale.core.codecs import codec_named

    members = Members(codec_named("json"), None)
    assert members.decode(members.encode(["a"])) == ["a"]
    assert members.decode(b"\0\1\4" + pickle.dumps("value")) is UNREADABLE


def test_equal_members_are_encoded_equally() -> None:
    """And what differs in type is another member."""
    members = Members(Pickle(), Signer(KEY, "shop"))
    assert members.encode((1, "a")) == members.encode((1, "a"))
    distinct = [1, True, "1", b"1", 1.0, Blue("1"), (1,)]
    assert len({members.encode(one) for one in distinct}) == len(distinct)
    assert [members.decode(members.encode(one)) for one in distinct] == distinct


def test_signed_members_after_a_change_of_the_key(configure: Callable[..., Any]) -> None:
    """They are read by SECRET_KEY_FALLBACKS; plain ones are found by value, too."""
    backend = configure()
    backend.sadd("s", "plain", (1, 2))
    old = "the-tests-have-a-key-of-fifty-characters-0123456789"
    with override_settings(SECRET_KEY="another-key-of-about-fifty-characters-9876543210", SECRET_KEY_FALLBACKS=[old]):
        again = caches.create_connection("default")
        assert again.smembers("s") == {"plain", (1, 2)}
        assert again.smismember("s", "plain", (1, 2)) == [True, False]


# What clear() does


def test_clear_leaves_what_is_not_its_own(configure: Callable[..., Any], server: Server) -> None:
    """Another cache's structures in the same database, and other keys, stay."""
    other = configure("other", params={"KEY_PREFIX": "other"})
    backend = configure()
    backend.sadd("s", 1)
    other.sadd("s", 2)
    with server.client as client:
        client.sadd("jobs", 3)
        backend.clear()
        assert client.scard("jobs") == 1
    assert (backend.scard("s"), other.scard("s")) == (0, 1)


def test_aclear_removes_structures(backend: Any) -> None:
    """As clear does."""
    backend.sadd("s", 1)
    async_to_sync(backend.aclear)()
    assert backend.scard("s") == 0


def test_clear_at_commit_removes_structures_at_commit(backend: Any) -> None:
    """A rollback keeps them."""
    backend.sadd("s", 1)
    with transaction.atomic():
        backend.clear()
        transaction.set_rollback(True)
    assert backend.scard("s") == 1
    with transaction.atomic():
        backend.clear()
        assert backend.scard("s") == 1
    assert backend.scard("s") == 0


def test_a_declared_pattern_leaves_structures(backend: Any) -> None:
    """No stamp covers them; an undeclared pattern removes them, as it did."""
    backend.sadd("user:42:seen", 1)
    backend.delete_pattern("user:42:*")
    assert backend.scard("user:42:seen") == 1
    with pytest.warns(UnstaleWarning, match="not declared"):
        assert backend.delete_pattern("user:*:seen") == 1
    assert backend.scard("user:42:seen") == 0


def test_a_structure_is_no_entry(backend: Any) -> None:
    """`get`, `in` and `keys` do not see it, and a value takes its place."""
    backend.sadd("s", 1)
    assert backend.get("s") is None
    assert "s" not in backend
    assert backend.keys("*") == []
    assert backend.get_or_set("s", lambda: "loaded") == "loaded"


def test_names_of_structures_that_expired_are_forgotten(backend: Any) -> None:
    """So the register does not grow for ever."""
    client = get_redis_connection()
    client.sadd("django:x", *(f"django:e:gone{number}" for number in range(20)))
    for number in range(TIDY_EVERY * 3):
        backend.sadd("s", number)
    assert client.smembers("django:x") == {b"django:e::1:s"}
