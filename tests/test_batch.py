"""`get_or_set_many`: one look, one load of what is missing, each key as race-safe as by `get_or_set`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from servers import Server

from unstale import Cache
from unstale.core.ports import Reading
from unstale.errors import (
    EncodeError,
    InvalidDurationError,
    InvalidKeyError,
    InvalidTagError,
    LoaderError,
    StoreClosedError,
    StoreError,
)
from unstale.events import Event, Failed, LoadFailed, Refused, StaleHit, Stored, Why
from unstale.options import make_keyspace

A = ["a"]


class Loads:
    """A loader of batches that knows a text for each key, and what it was asked for."""

    def __init__(self, text: str = "new") -> None:
        self.asked: list[list[str]] = []
        self.text = text
        self.before: Callable[[], Any] = lambda: None

    def __call__(self, keys: list[str]) -> dict[str, str]:
        self.asked.append(keys)
        self.before()
        return {key: f"{self.text} {key}" for key in keys}


@pytest.fixture
def load() -> Loads:
    """A loader."""
    return Loads()


def fail(keys: list[str]) -> dict[str, str]:
    """A loader that raises."""
    raise OSError("secret value")


def apart(cache: Cache, **options: Any) -> Cache:
    """The same cache as another process has it."""
    return Cache(cache._store, make_keyspace({"namespace": "test", **options}))


def trips_of(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The trips that a cache's store makes from now on, by name."""
    trips: list[str] = []
    for name in ("read", "open", "commit", "release", "peek"):
        method = getattr(cache._store, name)

        def counted(*arguments: Any, name: str = name, method: Any = method) -> Any:
            trips.append(name)
            return method(*arguments)

        monkeypatch.setattr(cache._store, name, counted)
    return trips


def test_loads_what_is_missing(cache: Cache, load: Loads) -> None:
    """What is there is served, what is not is loaded by one call, in the order of the keys."""
    cache.set_many({"b": "kept b", "d": "kept d"}, tags=A)
    found = cache.get_or_set_many(["d", "c", "b", "a"], load, tags=A)
    assert list(found.items()) == [("d", "kept d"), ("c", "new c"), ("b", "kept b"), ("a", "new a")]
    assert load.asked == [["c", "a"]]
    assert cache.get_many(["a", "c"], tags=A) == {"a": "new a", "c": "new c"}


def test_second_time_is_a_hit(cache: Cache, load: Loads) -> None:
    """What was loaded is there the next time, to get_or_set too."""
    cache.get_or_set_many(["k", "l"], load, tags=A)
    assert cache.get_or_set_many(["k", "l"], fail, tags=A) == {"k": "new k", "l": "new l"}
    assert cache.get_or_set("k", lambda: "no", tags=A) == "new k"


def test_trips(cache: Cache, load: Loads, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hit of many keys is one trip; a miss of many is three."""
    keys = [f"k{number}" for number in range(20)]
    trips = trips_of(cache, monkeypatch)
    cache.get_or_set_many(keys, load, tags=A)
    assert trips == ["read", "open", "commit"]
    trips.clear()
    cache.get_or_set_many(keys, fail, tags=A)
    assert trips == ["read"]


def test_no_keys(cache: Cache) -> None:
    """Of no keys nothing is asked."""
    assert cache.get_or_set_many([], fail) == {}


def test_keys_given_twice(cache: Cache, load: Loads) -> None:
    """A key that is given twice is loaded once."""
    assert cache.get_or_set_many(["k", "l", "k"], load) == {"k": "new k", "l": "new l"}
    assert load.asked == [["k", "l"]]


def test_keys_of_a_generator(cache: Cache, load: Loads) -> None:
    """The keys may come one by one."""
    assert cache.get_or_set_many((f"k{n}" for n in range(3)), load) == {f"k{n}": f"new k{n}" for n in range(3)}


def test_tags_of_a_function(cache: Cache, load: Loads) -> None:
    """Each key may have tags of its own."""
    cache.get_or_set_many(["k", "l"], load, tags=lambda key: [f"t:{key}"])
    cache.invalidate("t:k")
    assert cache.get_many(["k", "l"]) == {"l": "new l"}


def test_tags_of_a_generator(cache: Cache, load: Loads) -> None:
    """Tags that come one by one are those of every key, not of the first alone."""
    tags: Any = (tag for tag in ("a", "b"))
    cache.get_or_set_many(["k", "l"], load, tags=tags)
    cache.invalidate("b")
    assert cache.get_many(["k", "l"]) == {}


def test_tags_of_a_generator_for_set_many(cache: Cache) -> None:
    """The same for `set_many`."""
    tags: Any = iter(["a"])
    cache.set_many({"k": 1, "l": 2}, tags=tags)
    cache.invalidate("a")
    assert cache.get_many(["k", "l"]) == {}


def test_what_the_loader_leaves_out(cache: Cache) -> None:
    """What the loader does not know is left out, not stored, and may be loaded by the next."""
    assert cache.get_or_set_many(["k", "l"], lambda keys: {"k": "v"}, tags=A) == {"k": "v"}
    assert cache.has_key("l", tags=A) is False
    assert apart(cache).get_or_set("l", lambda: "at once", tags=A) == "at once"


def test_what_the_loader_adds(cache: Cache) -> None:
    """What nobody asked for is ignored."""
    assert cache.get_or_set_many(["k"], lambda keys: {"k": "v", "other": "w"}) == {"k": "v"}
    assert cache.has_key("other") is False


def test_none_is_a_value(cache: Cache) -> None:
    """A None is kept, with a ttl of its own."""
    assert cache.get_or_set_many(["k", "l"], lambda keys: {"k": None, "l": 1}, negative_ttl=10) == {"k": None, "l": 1}
    assert cache.get_or_set_many(["k"], fail) == {"k": None}
    assert [cache.ttl("k"), cache.ttl("l")] == [pytest.approx(10, abs=3), pytest.approx(300, abs=3)]


@pytest.mark.parametrize("values", [None, ["v"], "k", [("k", "v")], 5])
def test_loader_that_gives_no_mapping(cache: Cache, values: Any) -> None:
    """What is no mapping is a mistake of the loader's; the leases go."""
    with pytest.raises(LoaderError, match="mapping"):
        cache.get_or_set_many(["k"], lambda keys: values)
    assert apart(cache).get_or_set("k", lambda: "at once") == "at once"


def test_loader_that_is_async(cache: Cache) -> None:
    """An async loader belongs to an AsyncCache."""

    async def load(keys: list[str]) -> dict[str, int]:
        return {}

    with pytest.raises(LoaderError):
        cache.get_or_set_many(["k"], load)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [OSError("own"), StopIteration(5), StoreError(), KeyboardInterrupt(), KeyError("k")])
def test_loader_that_raises(cache: Cache, error: BaseException) -> None:
    """What the loader raises passes, the same object, after one call; nothing is stored, and the leases go."""
    calls: list[list[str]] = []

    def load(keys: list[str]) -> dict[str, str]:
        calls.append(keys)
        raise error

    with pytest.raises(type(error)) as caught:
        cache.get_or_set_many(["k", "l"], load, tags=A)
    assert caught.value is error
    assert calls == [["k", "l"]]
    assert cache.get_many(["k", "l"], tags=A) == {}
    assert apart(cache).get_or_set("k", lambda: "at once", tags=A) == "at once"


def test_value_that_cannot_be_encoded(cache: Cache) -> None:
    """A value that the codec cannot carry is told; the leases go."""
    with pytest.raises(EncodeError):
        cache.get_or_set_many(["k", "l"], lambda keys: {"k": object(), "l": 1})
    assert apart(cache).get_or_set("k", lambda: "at once") == "at once"


@pytest.mark.parametrize(
    ("keys", "tags", "error"),
    [
        ("key", (), InvalidKeyError),
        ([1], (), InvalidKeyError),
        ([""], (), InvalidKeyError),
        (["k"], "a", InvalidTagError),
        (["k"], lambda key: key, InvalidTagError),
        (["k"], [5], InvalidTagError),
    ],
    ids=lambda value: repr(value).partition(" at 0x")[0],
)
def test_bad_arguments(cache: Cache, keys: Any, tags: Any, error: type[Exception]) -> None:
    """Bad keys and tags are refused before anything is loaded."""
    with pytest.raises(error):
        cache.get_or_set_many(keys, fail, tags=tags)


def test_bad_duration(cache: Cache) -> None:
    """A bad duration is refused."""
    with pytest.raises(InvalidDurationError):
        cache.get_or_set_many(["k"], fail, ttl=0)


def test_closed_cache(cache: Cache) -> None:
    """A closed cache is a mistake of the caller's, as with get_or_set: it is not gone on without."""
    closed = Cache.from_url("memory://", namespace="closed")
    closed.close()
    with pytest.raises(StoreClosedError):
        closed.get_or_set("k", lambda: 1)
    with pytest.raises(StoreClosedError):
        closed.get_or_set_many(["k"], lambda keys: {"k": 1})


def test_in_a_scope(cache: Cache, load: Loads) -> None:
    """On a scope the loader is given the keys as they were asked for."""
    scope = cache.scope("user", 1)
    assert scope.get_or_set_many(["k"], load) == {"k": "new k"}
    assert load.asked == [["k"]]
    scope.invalidate()
    assert scope.get_many(["k"]) == {}


# Races


def test_one_key_invalidated_during_the_load(cache: Cache, load: Loads, events: list[Event]) -> None:
    """A key whose tag is invalidated during the load is not stored; the others are."""
    load.before = lambda: apart(cache).invalidate("t:k")
    keys = ["k", "l"]
    assert cache.get_or_set_many(keys, load, tags=lambda key: [f"t:{key}"]) == {"k": "new k", "l": "new l"}
    assert Refused("k", Why.STALE) in events
    assert cache.get_many(keys, tags=lambda key: [f"t:{key}"]) == {"l": "new l"}


def test_one_key_deleted_during_the_load(cache: Cache, load: Loads) -> None:
    """A key that is deleted during the load is not stored; the others are."""
    load.before = lambda: apart(cache).delete("k")
    cache.get_or_set_many(["k", "l"], load)
    assert cache.get_many(["k", "l"]) == {"l": "new l"}


def test_cleared_during_the_load(cache: Cache, load: Loads) -> None:
    """What was loaded before a clear and stored after it is not served."""
    load.before = lambda: apart(cache).clear()
    cache.get_or_set_many(["k", "l"], load, tags=A)
    assert cache.get_many(["k", "l"], tags=A) == {}


def test_closed_tag(server: Server, load: Loads, events: list[Event]) -> None:
    """Under a closed tag a key is loaded and not stored; the others are stored."""
    with Cache.from_url(server.url, namespace="test", timeout=2.0, on_event=events.append) as cache:
        with server.client as client:
            client.zadd("test:s:{t:k}", {"owner": 4102444800})
        found = cache.get_or_set_many(["k", "l"], load, tags=lambda key: [f"t:{key}"])
        assert found == {"k": "new k", "l": "new l"}
        assert load.asked == [["k", "l"]]
        assert Refused("k", Why.CLOSED) in events
        assert cache.get_many(["k", "l"], tags=lambda key: [f"t:{key}"]) == {"l": "new l"}


def during(cache: Cache, key: str, act: Callable[[], Any], value: str = "theirs") -> None:
    """Do something while another process loads a key, and let that one finish."""
    begun, go = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert go.wait(30)
        return value

    thread = threading.Thread(target=lambda: apart(cache).get_or_set(key, slow, tags=A))
    thread.start()
    assert begun.wait(30)
    try:
        act(go)  # type: ignore[call-arg]
    finally:
        go.set()
        thread.join()


def test_keys_that_others_load_are_waited_for(cache: Cache, load: Loads) -> None:
    """A key that another process loads is waited for; the rest is loaded meanwhile, before the wait."""
    found: dict[str, str] = {}

    def act(go: threading.Event) -> None:
        load.before = go.set
        found.update(cache.get_or_set_many(["k", "l"], load, tags=A))

    during(cache, "k", act)
    assert found == {"k": "theirs", "l": "new l"}
    assert load.asked == [["l"]]


def test_keys_that_others_fail_to_load(cache: Cache, load: Loads) -> None:
    """If another's value does not come, since it was invalidated meanwhile, the loader is called for that key."""
    found: dict[str, str] = {}

    def act(go: threading.Event) -> None:
        def after() -> None:
            load.before = lambda: None
            apart(cache).invalidate("a")
            go.set()

        load.before = after
        found.update(cache.get_or_set_many(["k", "l"], load, tags=lambda key: {"k": A}.get(key, [])))

    during(cache, "k", act)
    assert found == {"k": "new k", "l": "new l"}
    assert load.asked == [["l"], ["k"]]


def test_batches_that_cross(cache: Cache) -> None:
    """Two batches of the same keys in opposite order, at the same time, load each key once and wait for no deadlock."""
    barrier = threading.Barrier(2)
    asked: list[str] = []
    found: list[dict[str, str]] = []

    def load(keys: list[str]) -> dict[str, str]:
        asked.extend(keys)
        return {key: f"v{key}" for key in keys}

    def batch(keys: Iterable[str]) -> None:
        barrier.wait(30)
        found.append(apart(cache).get_or_set_many(keys, load, tags=A))

    threads = [threading.Thread(target=batch, args=(list(keys),), daemon=True) for keys in ("abcdef", "fedcba")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(asked) == list("abcdef")
    assert found == [{key: f"v{key}" for key in "abcdef"}] * 2


# Stale values


def spoil(cache: Cache, *keys: str) -> None:
    """Store values that may be served stale, and make them so."""
    cache.get_or_set_many(keys, Loads("old"), tags=A, stale_ttl=60)
    cache.invalidate("a", soft=True)


def test_stale_is_loaded_anew(cache: Cache, load: Loads) -> None:
    """The one who gets the leases loads."""
    spoil(cache, "k", "l")
    assert cache.get_or_set_many(["k", "l"], load, tags=A, stale_ttl=60) == {"k": "new k", "l": "new l"}


def test_stale_is_served_while_others_load(cache: Cache, load: Loads, events: list[Event]) -> None:
    """What others load is served stale meanwhile, without a wait."""
    spoil(cache, "k", "l")
    found: dict[str, str] = {}

    def act(go: threading.Event) -> None:
        found.update(cache.get_or_set_many(["k", "l"], load, tags=A, stale_ttl=60))

    during(cache, "k", act)
    assert found == {"k": "old k", "l": "new l"}
    assert StaleHit("k", "a") in events


def test_stale_is_served_where_the_load_fails(cache: Cache, events: list[Event]) -> None:
    """Where the load fails all that it was for is served stale, and the hook hears of each."""
    spoil(cache, "k", "l")
    assert cache.get_or_set_many(["k", "l"], fail, tags=A, stale_ttl=60) == {"k": "old k", "l": "old l"}
    assert [event.key for event in events if isinstance(event, LoadFailed)] == ["k", "l"]


def test_stale_for_a_reader_who_wants_nothing_stale(cache: Cache) -> None:
    """A batch without a stale ttl is served nothing stale."""
    spoil(cache, "k")
    with pytest.raises(OSError, match="secret"):
        cache.get_or_set_many(["k"], fail, tags=A)


def test_stale_and_missing_where_the_load_fails(cache: Cache) -> None:
    """Where the load fails, and for one key there is nothing to serve, the error is raised."""
    spoil(cache, "k")
    with pytest.raises(OSError, match="secret"):
        cache.get_or_set_many(["k", "l"], fail, tags=A, stale_ttl=60)


def test_hard_during_a_failing_load(cache: Cache) -> None:
    """If a hard invalidation comes during a load that fails, the error is raised."""
    spoil(cache, "k", "l")

    def load(keys: list[str]) -> dict[str, str]:
        apart(cache).invalidate("a")
        return fail(keys)

    with pytest.raises(OSError, match="secret"):
        cache.get_or_set_many(["k", "l"], load, tags=A, stale_ttl=60)


def test_hard_after_soft(cache: Cache) -> None:
    """A hard invalidation leaves a batch nothing to serve."""
    spoil(cache, "k")
    cache.invalidate("a")
    with pytest.raises(OSError, match="secret"):
        cache.get_or_set_many(["k"], fail, tags=A, stale_ttl=60)


def test_stale_and_a_value_that_cannot_be_encoded(cache: Cache) -> None:
    """A value that the codec cannot carry is a mistake to be seen, as with get_or_set, though all may be served."""
    spoil(cache, "k")
    with pytest.raises(EncodeError):
        cache.get_or_set_many(["k"], lambda keys: {"k": object()}, tags=A, stale_ttl=60)


def test_stale_and_interrupted(cache: Cache) -> None:
    """What ends the program passes."""
    spoil(cache, "k")

    def load(keys: list[str]) -> dict[str, str]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.get_or_set_many(["k"], load, tags=A, stale_ttl=60)


def test_stale_and_left_out(cache: Cache) -> None:
    """What the loader leaves out is not there any more: its old value is not served."""
    spoil(cache, "k", "l")
    assert cache.get_or_set_many(["k", "l"], lambda keys: {"l": "new"}, tags=A, stale_ttl=60) == {"l": "new"}


# Nesting


def test_inherits_what_the_loader_reads(cache: Cache) -> None:
    """All that was loaded depends on what the loader read."""

    def load(keys: list[str]) -> dict[str, Any]:
        inner = cache.get_or_set("inner", lambda: 1, tags=["inner"])
        return dict.fromkeys(keys, inner)

    cache.get_or_set_many(["k", "l"], load)
    assert sorted(cache.get_many(["k", "l"])) == ["k", "l"]
    cache.invalidate("inner")
    assert cache.get_many(["k", "l"]) == {}


def test_inside_a_loader(cache: Cache, load: Loads) -> None:
    """A value that was computed from a batch depends on it: on what was loaded, what was a hit, and what is missing."""
    of_key = lambda key: [f"t:{key}"]  # noqa: E731 - used twice
    cache.set("hit", "h", tags=["t:hit"])

    def outer() -> list[str]:
        some = {"hit", "loaded"}
        batch = cache.get_or_set_many(
            ["hit", "loaded", "missing"], lambda keys: {key: "v" for key in keys if key in some}, tags=of_key
        )
        return sorted(batch)

    for tag in ("t:hit", "t:loaded", "t:missing"):
        assert cache.get_or_set("outer", outer) == ["hit", "loaded"]
        assert cache.has_key("outer") is True
        cache.invalidate(tag)
        assert cache.has_key("outer") is False


def test_inside_a_loader_whose_key_it_asks_for(cache: Cache, load: Loads, events: list[Event]) -> None:
    """A loader that asks for its own key in a batch does not wait for itself."""
    assert cache.get_or_set("k", lambda: cache.get_or_set_many(["k", "l"], load)["k"]) == "new k"
    assert Refused("k", Why.NESTED) in events
    assert cache.get("l") == "new l"


def test_batch_inside_a_batch(cache: Cache, load: Loads) -> None:
    """A batch's loader may ask for a batch, also for keys that are being loaded."""
    found = cache.get_or_set_many(["k", "l"], lambda keys: cache.get_or_set_many([*keys, "m"], load))
    assert found == {"k": "new k", "l": "new l"}
    assert load.asked == [["k", "l", "m"]]


def test_loader_that_raises_inside_a_loader(cache: Cache) -> None:
    """A loader that goes on when its batch raises depends on what that looked at."""

    def outer() -> str:
        try:
            cache.get_or_set_many(["k"], fail, tags=A)
        except OSError:
            return "without"
        return "with"

    assert cache.get_or_set("outer", outer) == "without"
    cache.invalidate("a")
    assert cache.has_key("outer") is False


# The store away


def test_store_away(own_server: Server, load: Loads, events: list[Event]) -> None:
    """Without a server all is loaded by one call, and the hook hears of it."""
    with Cache.from_url(own_server.url, namespace="test", timeout=0.3, on_event=events.append) as cache:
        own_server.kill()
        assert cache.get_or_set_many(["k", "l"], load, tags=A) == {"k": "new k", "l": "new l"}
        assert load.asked == [["k", "l"]]
        assert "get_or_set_many" in [event.operation for event in events if isinstance(event, Failed)]


def test_store_dies_during_the_load(own_server: Server, load: Loads, events: list[Event]) -> None:
    """If the server dies during the load the values are returned, after one call."""
    with Cache.from_url(own_server.url, namespace="test", timeout=0.3, on_event=events.append) as cache:
        load.before = own_server.kill
        assert cache.get_or_set_many(["k", "l"], load, tags=A) == {"k": "new k", "l": "new l"}
        assert load.asked == [["k", "l"]]
        assert [event for event in events if isinstance(event, Stored)] == []


def test_store_away_and_the_loader_raises_a_store_error(own_server: Server) -> None:
    """A loader's own StoreError passes unchanged, after one call, also without a server."""
    error = StoreError("own")
    calls: list[list[str]] = []

    def load(keys: list[str]) -> dict[str, str]:
        calls.append(keys)
        raise error

    with Cache.from_url(own_server.url, namespace="test", timeout=0.3) as cache:
        own_server.kill()
        with pytest.raises(StoreError) as caught:
            cache.get_or_set_many(["k"], load)
    assert caught.value is error
    assert calls == [["k"]]


def test_store_away_inside_a_loader(own_server: Server, load: Loads) -> None:
    """What was computed from a batch without a server is not stored."""
    with Cache.from_url(own_server.url, namespace="test", timeout=2.0) as cache:
        read, down = cache._store.read, []

        def sometimes(names: Any) -> Reading:
            if down:
                raise StoreError
            return read(names)

        cache._store.read = sometimes  # type: ignore[method-assign]

        def outer() -> list[str]:
            down.append(True)
            found = cache.get_or_set_many(["k"], load, tags=A)
            down.clear()
            return sorted(found)

        assert cache.get_or_set("outer", outer) == ["k"]
        assert cache.has_key("outer") is False


def test_store_that_fails_after_a_part_was_loaded(cache: Cache, load: Loads, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was loaded, or left out, by the time the store fails is not asked for again."""

    def act(go: threading.Event) -> None:
        def broken(*_: Any) -> Any:
            raise StoreError

        load.before = lambda: monkeypatch.setattr(cache._store, "read", broken)

        def part(keys: list[str]) -> dict[str, str]:
            return {key: value for key, value in load(keys).items() if key != "unknown"}

        cache.get_or_set_many(["k", "l", "unknown"], part, tags=A)
        monkeypatch.undo()

    during(cache, "k", act)
    assert load.asked == [["l", "unknown"], ["k"]]


# Signed


def test_signed(url: str, load: Loads) -> None:
    """Batches are signed one by one."""
    key = "0123456789abcdefghijklmnopqrstuvwxyz"
    with Cache.from_url(url, namespace="test", timeout=2.0, signing_keys=key, codec="pickle") as cache:
        cache.get_or_set_many(["k", "l"], load, tags=A)
        assert cache.get_or_set_many(["k", "l"], fail, tags=A) == {"k": "new k", "l": "new l"}
        assert apart(cache).get_many(["k", "l"], tags=A) == {}
