"""Django's cache API on the backend: what each verb does, synchronous and asynchronous, on real servers."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.cache import caches
from servers import Server

from unstale import remembering
from unstale.contrib.django import UnstaleCache
from unstale.errors import ConfigurationError, InvalidTagError, NotACounterError

Call = Callable[..., Any]
PAGE = "user:42:page"


@pytest.fixture(autouse=True)
def in_a_request() -> Iterator[None]:
    """What one test remembers is not the next one's."""
    with remembering():
        yield


def caller(cache: Any, kind: str) -> Call:
    """Calls verbs by their names, of one kind."""

    def call(verb: str, *arguments: Any, **named: Any) -> Any:
        if kind == "sync":
            return getattr(cache, verb)(*arguments, **named)
        return async_to_sync(getattr(cache, "a" + verb))(*arguments, **named)

    return call


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which half of the API."""
    return request.param


@pytest.fixture(params=["valkey", "redis", "memory"])
def location(request: pytest.FixtureRequest, session_servers: Callable[[str], Server]) -> str:
    """Where entries are."""
    if request.param == "memory":
        return "memory://"
    chosen = session_servers(request.param)
    with chosen.client as client:
        client.flushall()
    return chosen.url


@pytest.fixture
def make(location: str) -> Callable[..., UnstaleCache]:
    """Makes backends as Django does."""

    def make_one(params: dict[str, Any] | None = None, **options: Any) -> UnstaleCache:
        given = {"TAG_PATTERNS": ["user:{id}:*"], "SOCKET_TIMEOUT": 5, **options}
        return UnstaleCache(location, {"OPTIONS": given, **(params or {})})

    return make_one


@pytest.fixture
def cache(make: Callable[..., UnstaleCache]) -> UnstaleCache:
    """A backend with one declared pattern, emptied."""
    made = make()
    made.clear()
    return made


@pytest.fixture
def call(cache: UnstaleCache, kind: str) -> Call:
    """Calls its verbs."""
    return caller(cache, kind)


# What each verb does


@pytest.mark.parametrize(
    "value",
    [
        "text",
        b"bytes",
        0,
        1,
        -7,
        2**53 - 1,
        1 - 2**53,
        2**53,
        -(2**80),
        True,
        False,
        None,
        1.5,
        [1, {"a": (2, 3)}],
        {1},
    ],
    ids=repr,
)
def test_values_come_back(call: Call, value: Any) -> None:
    """Each value comes back equal and of its own type; a None is a value."""
    call("set", "k", value)
    found = call("get", "k", "missing")
    assert (found, type(found)) == (value, type(value))


def test_default(call: Call) -> None:
    """What is not there is the default, None by default."""
    assert [call("get", "k"), call("get", "k", "default"), call("get", "k", default=3)] == [None, "default", 3]


def test_add(call: Call) -> None:
    """Add stores only where nothing is."""
    assert [call("add", "k", 1), call("add", "k", 2), call("get", "k")] == [True, False, 1]


def test_set_says_whether_it_stored(call: Call) -> None:
    """Set with nx and xx."""
    assert [call("set", "k", 1, xx=True), call("set", "k", 2, nx=True), call("set", "k", 3, nx=True)] == [
        False,
        True,
        False,
    ]
    assert [call("set", "k", 4, xx=True), call("get", "k")] == [True, 4]


def test_many(call: Call) -> None:
    """Many keys at a time: what is not there is left out."""
    assert call("set_many", {"a": 1, "b": 2, "user:42:c": 3}) == []
    assert call("get_many", ["a", "x", "user:42:c"]) == {"a": 1, "user:42:c": 3}
    assert [call("delete_many", ["a", "x"]), call("get_many", ["a", "b"])] == [1, {"b": 2}]


def test_many_of_nothing(call: Call) -> None:
    """No keys are no trip and no error."""
    assert [call("set_many", {}), call("get_many", []), call("delete_many", [])] == [[], {}, None]


def test_keys_that_are_made_the_same_are_one(call: Call) -> None:
    """1 and "1" are one key; 1.0 and True, which equal 1, are others, as Django makes them."""
    for key in (1, 1.0, True):
        call("set", key, repr(key))
    assert [call("get", key) for key in (1, "1", 1.0, "1.0", True, "True")] == ["1", "1", "1.0", "1.0", "True", "True"]


def test_versions_that_are_written_otherwise(call: Call) -> None:
    """A version that equals another but is written otherwise does not take its place for later calls."""
    call("set", "k", "other", version=True)
    call("set", "k", "one", version=1)
    assert call("get", "k") == "one"


def test_get_or_set(call: Call) -> None:
    """A value or a function, and a None is stored as well."""
    runs: list[int] = []

    def load() -> None:
        runs.append(1)

    assert [call("get_or_set", "k", 1), call("get_or_set", "k", 2)] == [1, 1]
    assert [call("get_or_set", "n", load), call("get_or_set", "n", load), len(runs)] == [None, None, 1]


def test_get_or_set_with_a_timeout_of_nothing(call: Call) -> None:
    """The value is given, and not kept."""
    assert [call("get_or_set", "k", 1, 0), call("get", "k")] == [1, None]


def test_has_key_and_in(cache: UnstaleCache, call: Call) -> None:
    """has_key, and `in`."""
    call("set", "k", None)
    assert [call("has_key", "k"), call("has_key", "x"), "k" in cache, "x" in cache] == [True, False, True, False]


def test_delete(call: Call) -> None:
    """Delete says whether there was something."""
    call("set", "k", 1)
    assert [call("delete", "k"), call("delete", "k"), call("get", "k")] == [True, False, None]


def test_clear(call: Call) -> None:
    """Clear takes all versions and all tags."""
    call("set", "k", 1)
    call("set", PAGE, 1, version=2)
    assert call("clear") is True
    assert [call("get", "k"), call("get", PAGE, version=2)] == [None, None]


def test_incr_and_decr(call: Call) -> None:
    """Integers count, below zero too, with tags or without."""
    for key in ("n", "user:42:n"):
        call("set", key, 1)
        assert [call("incr", key), call("incr", key, 10), call("decr", key, 20), call("get", key)] == [2, 12, -8, -8]


@pytest.mark.parametrize("verb", ["incr", "decr", "incr_version", "decr_version"])
def test_incr_of_nothing(call: Call, verb: str) -> None:
    """There must be something."""
    with pytest.raises(ValueError, match="'n' not found"):
        call(verb, "n")


@pytest.mark.parametrize("value", ["5", 1.5, True, 2**53, [1]])
def test_incr_of_another_kind(call: Call, value: Any) -> None:
    """Only integers up to 2**53 - 1 count, and what is there stays."""
    call("set", "n", value)
    with pytest.raises(TypeError):
        call("incr", "n")
    assert call("get", "n") == value


def test_incr_beyond_its_range(call: Call) -> None:
    """A count that would leave the range is refused."""
    call("set", "n", 2**53 - 1)
    with pytest.raises(NotACounterError):
        call("incr", "n")
    assert [call("get", "n"), call("decr", "n")] == [2**53 - 1, 2**53 - 2]


def test_incr_without_a_look(call: Call) -> None:
    """ignore_key_check begins from zero, for good."""
    assert [call("incr", "n", 5, ignore_key_check=True), call("incr", "n", ignore_key_check=True)] == [5, 6]
    assert call("ttl", "n") is None


def test_versions(call: Call) -> None:
    """A version is a key space of its own, and a value can move to another."""
    call("set", "k", "one")
    call("set", "k", "two", version=2)
    assert [call("get", "k"), call("get", "k", version=2), call("get", "k", version=3)] == ["one", "two", None]
    assert [call("incr_version", "k", 2), call("get", "k"), call("get", "k", version=3)] == [3, None, "one"]
    assert [call("decr_version", "k", version=2), call("get", "k")] == [1, "two"]


def test_incr_version_keeps_the_timeout(call: Call) -> None:
    """A value that moves has as long to live as it had; one without limit has none."""
    call("set", "k", 1, 1000)
    call("set", "f", 1, None)
    call("incr_version", "k")
    call("incr_version", "f")
    assert 990 < call("ttl", "k", version=2) <= 1000
    assert call("ttl", "f", version=2) is None


def test_version_of_the_alias(make: Callable[..., UnstaleCache], kind: str) -> None:
    """VERSION is the version where none is said."""
    call = caller(make({"VERSION": 7}), kind)
    call("set", "k", 1)
    assert [call("get", "k"), call("get", "k", version=7), call("get", "k", version=1)] == [1, 1, None]


# Timeouts


@pytest.mark.parametrize("timeout", [0, -1, -0.5, timedelta(0), timedelta(seconds=-3)])
def test_no_time_deletes(call: Call, timeout: Any) -> None:
    """0 and less remove what was there, by set, set_many and touch."""
    for store in ("set", "set_many", "touch"):
        call("set", "k", 1)
        call(store, *{"set": ("k", 2), "set_many": ({"k": 2},), "touch": ("k",)}[store], timeout)
        assert call("get", "k") is None


@pytest.mark.parametrize(
    ("timeout", "left"), [(1000, 1000), (1000.4, 1000), ("1000", 1000), (timedelta(hours=1), 3600), (10**12, None)]
)
def test_timeouts(call: Call, timeout: Any, left: int | None) -> None:
    """Seconds as a number or a timedelta; more than a server can count is as long as it can."""
    call("set", "k", 1, timeout)
    found = call("ttl", "k")
    assert (left or 10**8) - 5 < found <= (left or 10**12)


def test_default_timeout(make: Callable[..., UnstaleCache], kind: str) -> None:
    """TIMEOUT is the timeout where none is said; touch without one gives it anew."""
    call = caller(make({"TIMEOUT": 50}), kind)
    call("set", "k", 1)
    call("set", "long", 1, 5000)
    call("touch", "long")
    assert [45 < call("ttl", key) <= 50 for key in ("k", "long")] == [True, True]


def test_timeout_of_none(make: Callable[..., UnstaleCache], kind: str) -> None:
    """TIMEOUT None is no limit, and so is a timeout of None."""
    call = caller(make({"TIMEOUT": None}), kind)
    call("set", "k", 1)
    call("set", "short", 1, 100)
    assert [call("ttl", "k"), call("touch", "short", None), call("ttl", "short")] == [None, True, None]


def test_touch(call: Call) -> None:
    """Touch gives a new timeout where there is something."""
    call("set", "k", 1, 100)
    assert [call("touch", "k", 1000), call("touch", "x", 1000), call("get", "k")] == [True, False, 1]
    assert 990 < call("ttl", "k") <= 1000


# Keys

STRANGE = [
    "with space",
    "tab\tand\nline",
    "\x00nul\x7f\x80\x9f",
    "ü-\u2028-\U0001f600",
    "lone \udc80 surrogate",
    "",
    "%",
    "%~",
    "%~%3A1%3Atab%09",
    "%#" + "0" * 48,
    "a:b:c:d",
    "*?[a-z]\\{x}",
    "x" * 249,
    "x" * 250,
    "x" * 251,
    "x" * 1400,
    "x" * 5000,
    "x" * 65536,
    "ü" * 32768,
    "\x01" * 65536,
    "x" * 65535 + "y",
]


@pytest.mark.filterwarnings("ignore::django.core.cache.backends.base.CacheKeyWarning")
def test_strange_keys(call: Call) -> None:
    """Whatever is a str is a key: each comes back, and none is another."""
    for number, key in enumerate(STRANGE):
        call("set", key, number)
    assert [call("get", key) for key in STRANGE] == list(range(len(STRANGE)))
    assert call("get_many", STRANGE) == {key: number for number, key in enumerate(STRANGE)}
    assert [call("delete", key) for key in STRANGE] == [True] * len(STRANGE)


@pytest.mark.filterwarnings("ignore::django.core.cache.backends.base.CacheKeyWarning")
@pytest.mark.parametrize("key", [[1, 2], {"a": 1}, {1, 2}])
def test_keys_without_a_hash(call: Call, key: Any) -> None:
    """As with Django's own backends a key is what it is formatted as."""
    assert [call("set", key, 1), call("get", key), call("get", str(key)), call("incr", key)] == [True, 1, 1, 2]
    assert [call("touch", key, 60), call("add", key, 1), call("has_key", key)] == [True, False, True]
    assert [call("get_or_set", key, 3), call("delete", key), call("delete_many", [key])] == [2, True, 0]


@pytest.mark.filterwarnings("ignore::django.core.cache.backends.base.CacheKeyWarning")
@pytest.mark.parametrize("key", STRANGE, ids=range(len(STRANGE)))
def test_strange_keys_carry_their_tags(make: Callable[..., UnstaleCache], key: str) -> None:
    """A key is made stale by its pattern, however it has to travel."""
    cache = make(TAG_PATTERNS=["mine{kind}:*"])
    cache.set("mine1:" + key, 1)
    cache.set("mine2:" + key, 2)
    assert cache.delete_pattern("mine1:*") == 1
    assert [cache.get("mine1:" + key), cache.get("mine2:" + key)] == [None, 2]


@pytest.mark.filterwarnings("ignore::django.core.cache.backends.base.CacheKeyWarning")
def test_a_key_function_that_escapes_as_we_do(make: Callable[..., UnstaleCache]) -> None:
    """Keys that look like escaped or hashed ones are not taken for them."""
    cache = make({"KEY_FUNCTION": "test_backend.bare"})
    forms = ["\n", "%~%0A", "%~%~%0A", "", "%~", "%", "%25", "%#", *STRANGE]
    for key in forms:
        cache.set(key, key)
    assert [cache.get(key) for key in forms] == forms


def bare(key: str, prefix: str, version: int) -> str:
    """A KEY_FUNCTION that adds nothing."""
    del prefix, version
    return key


def reversed_key(key: str, prefix: str, version: int) -> str:
    """A KEY_FUNCTION of a project's own."""
    return f"{key}|{version}|{prefix}"


def key_of(made: str) -> str:
    """Its REVERSE_KEY_FUNCTION."""
    return made.split("|", maxsplit=1)[0]


def test_key_functions(make: Callable[..., UnstaleCache], kind: str) -> None:
    """KEY_FUNCTION makes the key; patterns see the project's own, and REVERSE_KEY_FUNCTION gives it back."""
    params = {"KEY_FUNCTION": reversed_key, "KEY_PREFIX": "p", "VERSION": 3}
    cache = make({**params, "REVERSE_KEY_FUNCTION": "test_backend.key_of"})
    call = caller(cache, kind)
    call("set", PAGE, 1)
    assert cache.core.get("user:42:page|3|p") == 1
    assert call("keys", "user:*") == [PAGE]
    call("invalidate", "user:42")
    assert call("get", PAGE) is None


@pytest.mark.parametrize("prefix", ["p", "a:b", "%", "with space", "ü", "x" * 100, "tab\t", "*", "{a}", "e", "r"])
@pytest.mark.filterwarnings("ignore::django.core.cache.backends.base.CacheKeyWarning")
def test_prefixes(make: Callable[..., UnstaleCache], prefix: str) -> None:
    """Whatever KEY_PREFIX is, keys and their tags are its own."""
    mine, other = make({"KEY_PREFIX": prefix}), make({"KEY_PREFIX": prefix + "2"})
    mine.set(PAGE, 1)
    other.set(PAGE, 2)
    mine.invalidate("user:42")
    assert [mine.get(PAGE), other.get(PAGE)] == [None, 2]
    mine.set(PAGE, 3)
    other.clear()
    assert [mine.get(PAGE), other.get(PAGE)] == [3, None]


def test_no_two_prefixes_share_a_tag(make: Callable[..., UnstaleCache]) -> None:
    """One that looks like another's hash is another."""
    long = "x" * 100
    hashed = make({"KEY_PREFIX": long}).tag("t").partition(":")[0]
    names = {make({"KEY_PREFIX": one}).tag("t") for one in (long, hashed, long + "x", "a:1", "a", "a%3A1")}
    assert len(names) == 6


def test_a_prefix_that_changes(cache: UnstaleCache) -> None:
    """A prefix, a version or a key function that is set later counts from then on."""
    cache.set("k", "first")
    cache.key_prefix = "late"
    assert cache.get("k") is None
    cache.set("k", "second")
    cache.version = 2
    assert cache.get("k") is None
    cache.key_func = bare
    assert cache.get("k") is None
    cache.key_prefix, cache.version, cache.key_func = "", 1, UnstaleCache("memory://", {}).key_func
    assert cache.get("k") == "first"


def test_warnings_of_keys(cache: UnstaleCache) -> None:
    """Django's warning of what memcached would refuse, each time."""
    from django.core.cache import CacheKeyWarning

    for _ in range(2):
        with pytest.warns(CacheKeyWarning):
            cache.set("with space", 1)


# Tags


def test_tags_that_the_caller_names(call: Call) -> None:
    """Tags beside those of TAG_PATTERNS."""
    for key in ("k", PAGE):
        call("set", key, 1, tags=["product:9"])
        call("invalidate", "product:9")
        assert call("get", key) is None


def test_a_reader_may_ask_for_tags(call: Call) -> None:
    """An entry that does not record a tag is no answer for one who names it."""
    call("set", "k", 1)
    assert [call("get", "k"), call("get", "k", tags=["product:9"])] == [1, None]


@pytest.mark.parametrize("tags", ["user:42", [""], ["a//b"], ["x" * 300], ["a\n"]])
def test_bad_tags(call: Call, tags: Any) -> None:
    """A str in place of a list, or a tag that is none, is an error for readers, writers and who invalidates."""
    for verb, arguments in (("get", ("k",)), ("set", ("k", 1)), ("get_or_set", ("k", 1))):
        with pytest.raises(InvalidTagError):
            call(verb, *arguments, tags=tags)


@pytest.mark.parametrize("tag", ["", "a//b", "x" * 300, "a\n"])
def test_bad_tags_are_not_invalidated(call: Call, tag: str) -> None:
    """Invalidating what is no tag is an error, not nothing."""
    with pytest.raises(InvalidTagError):
        call("invalidate", tag)


def test_a_version_has_its_own_tags(call: Call) -> None:
    """An invalidation is of one version."""
    call("set", PAGE, 1)
    call("set", PAGE, 2, version=2)
    call("invalidate", "user:42", version=2)
    assert [call("get", PAGE), call("get", PAGE, version=2)] == [1, None]


def test_more_bindings_than_a_key_may_have(make: Callable[..., UnstaleCache], kind: str) -> None:
    """Such a key is not stored, and says so once."""
    cache = make(TAG_PATTERNS=["*:{any}:*"], NAMESPACE=secrets.token_hex(4))
    key = ":".join("abcdefghijklm")
    call = caller(cache, kind)
    with pytest.warns(UserWarning, match="pattern"):
        assert call("set", key, 1) is False
    assert [call("get", key, 7), call("get_or_set", key, 3), call("add", key, 1), call("has_key", key)] == [
        7,
        3,
        False,
        False,
    ]
    assert [call("set_many", {key: 1}), call("get_many", [key]), call("touch", key), call("ttl", key)] == [
        [key],
        {},
        False,
        0,
    ]
    with pytest.raises(ValueError, match="not found"):
        call("incr", key)
    assert call("delete", key) is False


# Aliases


def test_aliases_with_the_same_place_share(configure: Callable[..., Any]) -> None:
    """Two aliases with one LOCATION and KEY_PREFIX are one cache."""
    first, second = configure("default"), configure("second", {"TIMEOUT": 5})
    first.set("k", 1)
    assert second.get("k") == 1
    second.clear()
    assert first.get("k") is None


def test_aliases_apart(configure: Callable[..., Any]) -> None:
    """With two prefixes they are two, and neither clears the other."""
    first, second = configure("default"), configure("second", {"KEY_PREFIX": "second"})
    first.set("k", 1)
    second.set("k", 2)
    assert [first.get("k"), second.get("k")] == [1, 2]
    first.clear()
    assert [first.get("k"), second.get("k")] == [None, 2]


def test_an_alias_without_the_patterns(configure: Callable[..., Any]) -> None:
    """What an alias stored that knows no tags is no answer for one who declares them."""
    knowing, other = configure("default", TAG_PATTERNS=["user:{id}:*"]), configure("second")
    other.set(PAGE, 1)
    assert [other.get(PAGE), knowing.get(PAGE)] == [1, None]


def test_instances_share_what_is_the_processes_own(configure: Callable[..., Any]) -> None:
    """Django makes an instance for each thread: engine and plans are the same."""
    cache = configure("default")
    cache.get("k")
    again = caches.create_connection("default")
    assert again is not cache
    assert again._engine is cache._engine
    again.get("k")
    assert again._plans is cache._plans


# Nothing of the database but its own


@contextmanager
def others_in(server: Server) -> Iterator[None]:
    """Keys that are not ours stay as they are."""
    theirs = {b":1:k": b"django-redis", b"django": b"1", b"django:e": b"2", b"celery": b"3"}
    with server.client as client:
        client.mset(theirs)
        yield
        assert dict(zip(theirs, client.mget(list(theirs)), strict=True)) == theirs


@pytest.mark.parametrize("verb", ["clear", "aclear"])
def test_clear_leaves_the_database(backend: Any, server: Server, verb: str) -> None:
    """Clear flushes nothing: other keys of a shared database stay."""
    with others_in(server):
        backend.set("k", 1)
        caller(backend, "async" if verb[0] == "a" else "sync")("clear")
        assert backend.get("k") is None


def test_delete_pattern_leaves_the_database(backend: Any, server: Server) -> None:
    """Nor does a pattern for all keys."""
    with others_in(server):
        backend.set("k", 1)
        with pytest.warns(UserWarning, match="is not declared"):
            assert backend.delete_pattern("*") == 1
        assert backend.get("k") is None


@pytest.mark.parametrize(("named", "stored"), [({}, True), ({"tags": ["catalogue"]}, False)], ids=["unnamed", "named"])
def test_a_set_is_held_to_the_tags_that_the_get_named(
    cache: UnstaleCache, call: Call, named: dict[str, Any], stored: bool
) -> None:
    """A tag that no pattern gives is looked at only where the get names it, too; else it is taken as it stands."""
    assert call("get", "page", **named) is None
    Context().run(cache.invalidate, "catalogue")
    assert call("set", "page", "old", tags=["catalogue"]) is stored


def test_the_tags_of_patterns_are_always_looked_at(cache: UnstaleCache, call: Call) -> None:
    """What TAG_PATTERNS give is named by every get."""
    assert call("get", PAGE) is None
    Context().run(cache.invalidate, "user:42")
    assert call("set", PAGE, "old") is False


def test_values_that_cannot_be_pickled(call: Call) -> None:
    """It is a TypeError, as with Django's other backends, and nothing is stored."""
    for verb, arguments in (("set", ("k", test_default.__code__)), ("set_many", ({"k": test_default.__code__},))):
        with pytest.raises(TypeError, match="cannot be pickled"):
            call(verb, *arguments)
    assert call("get", "k") is None


def test_a_server_is_needed_for_what_is_redis_pys(make: Callable[..., UnstaleCache], location: str) -> None:
    """get_client is of a server: memory:// has none."""
    if location != "memory://":
        assert make().get_client().ping() is True
        return
    with pytest.raises(ConfigurationError):
        make().get_client()
