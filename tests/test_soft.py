"""Values that may be served while they are loaded anew: soft invalidation, stale ttl, runners, XFetch, ramped clear."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import Server

from unstale import Cache, remembering, runners
from unstale.cache import _SyncIO
from unstale.core.keys import ROOTS, bucket
from unstale.core.policy import earliest, early_by
from unstale.core.ports import Bumped, Flight
from unstale.draw import chance
from unstale.errors import (
    AbsentError,
    ConfigurationError,
    EncodeError,
    InvalidDurationError,
    StoreError,
    StoreRefusedError,
)
from unstale.events import Event, Hit, Invalidated, LoadFailed, Refused, Stale, StaleHit, Stored, Why
from unstale.options import make_keyspace
from unstale.stores.memory import MemoryStore

A = ["a"]
HOUR = 3600.0
BEGIN = 1_700_000_000.0


class World:
    """A cache in memory whose time, chance and sleep are the test's; `skew` is what the readers' clocks are ahead."""

    def __init__(self, **options: Any) -> None:
        self.seconds = BEGIN
        self.skew = 0.0
        self.drawn = 1.0
        self.at_sleep: Callable[[], None] = lambda: None
        self.events: list[Event] = []
        self.store = MemoryStore(self.clock)
        self.options = {"namespace": "test", "on_event": self.events.append, **options}
        self.cache = self.another()

    def another(self) -> Cache:
        """A cache on the same store, as another process would have it."""
        io = WorldIO(self, self.options.get("runner"))
        return Cache(self.store, make_keyspace(self.options), io=io)

    def clock(self) -> float:
        return self.seconds

    def now(self) -> float:
        return self.seconds + self.skew

    def wait(self, seconds: float) -> None:
        self.seconds += max(seconds, 0.0)

    def slow(self, seconds: float, value: Any) -> Callable[[], Any]:
        """A loader that takes a while."""

        def load() -> Any:
            self.wait(seconds)
            return value

        return load


class WorldIO(_SyncIO):
    """The core's IO in a world."""

    def __init__(self, world: World, runner: Any) -> None:
        super().__init__(world.store, runner)
        self.world = world

    async def sleep(self, seconds: float) -> None:
        self.world.at_sleep()
        self.world.wait(seconds)

    async def join(self, flight: Flight, seconds: float) -> None:
        if self._flights.find(flight) is not None:
            self.world.wait(seconds)

    def monotonic(self) -> float:
        return self.world.seconds

    def now(self) -> float:
        return self.world.now()

    def chance(self) -> float:
        return self.world.drawn


@pytest.fixture
def worlds() -> Iterator[Callable[..., World]]:
    """Makes a world."""
    with remembering():
        yield World


@pytest.fixture
def world(worlds: Callable[..., World]) -> World:
    """A world with a stale ttl of a minute, and a ttl of five."""
    return worlds(stale_ttl=60)


def fail() -> Any:
    """A loader that raises."""
    raise OSError("secret value")


def apart(cache: Cache) -> Cache:
    """The same cache as another process has it: with flights of its own."""
    return Cache(cache._store, make_keyspace({"namespace": "test"}))


def fill(cache: Cache, value: Any = "old", stale_ttl: float = 60) -> None:
    """Store a value under k, with the tag a."""
    cache.get_or_set("k", lambda: value, tags=A, stale_ttl=stale_ttl)


def refill(cache: Cache, load: Callable[[], Any] = lambda: "new") -> Any:
    """Read k, with a loader that has the new value."""
    return cache.get_or_set("k", load, tags=A, stale_ttl=60)


# Soft invalidation, on every store


ABSENT: dict[str, tuple[Callable[[Cache], Any], Any]] = {
    "get": (lambda cache: cache.get("k", "none", tags=A), "none"),
    "get without tags": (lambda cache: cache.get("k", "none"), "none"),
    "get_many": (lambda cache: cache.get_many(["k"], tags=A), {}),
    "has_key": (lambda cache: cache.has_key("k", tags=A), False),
    "touch": (lambda cache: cache.touch("k", 60, tags=A), False),
    "ttl": (lambda cache: cache.ttl("k", tags=A), None),
    "delete": (lambda cache: cache.delete("k", tags=A), False),
    "add": (lambda cache: cache.add("k", "added", tags=A), True),
    "incr with initial": (lambda cache: cache.incr("k", 2, initial=5, tags=A), 7),
}
"""Each verb, and what it gives for a counter of 1 under k that is soft-stale."""


@pytest.mark.parametrize(("verb", "result"), ABSENT.values(), ids=ABSENT)
def test_soft_stale_is_absent(cache: Cache, verb: Callable[[Cache], Any], result: Any) -> None:
    """To every verb but get_or_set a softly invalidated entry is not there."""
    fill(cache, 1)
    cache.invalidate("a", soft=True)
    assert verb(cache) == result


def test_soft_stale_counter_without_initial(cache: Cache) -> None:
    """A softly invalidated counter does not go on."""
    fill(cache, 1)
    cache.invalidate("a", soft=True)
    with pytest.raises(AbsentError):
        cache.incr("k", tags=A)


def test_soft_serves_all_but_one(cache: Cache) -> None:
    """After a soft invalidation one loads, and other processes are served the old value meanwhile."""
    fill(cache)
    cache.invalidate("a", soft=True)
    served: list[str] = []

    def load() -> str:
        served.append(refill(apart(cache), fail))
        return "new"

    assert refill(cache, load) == "new"
    assert served == ["old"]


def test_soft_serves_other_threads(cache: Cache) -> None:
    """The same for threads of the one process."""
    fill(cache)
    cache.invalidate("a", soft=True)
    served: list[str] = []

    def load() -> str:
        thread = threading.Thread(target=lambda: served.append(refill(cache, fail)))
        thread.start()
        thread.join()
        return "new"

    assert refill(cache, load) == "new"
    assert served == ["old"]


def test_soft_serves_its_own_loader(cache: Cache) -> None:
    """A loader that asks for its own key is served the old value."""
    fill(cache)
    cache.invalidate("a", soft=True)
    served: list[str] = []

    def load() -> str:
        served.append(refill(cache, fail))
        return "new"

    assert refill(cache, load) == "new"
    assert served == ["old"]


def test_soft_is_fresh_again(cache: Cache) -> None:
    """What was loaded after a soft invalidation is fresh to every verb."""
    fill(cache)
    cache.invalidate("a", soft=True)
    refill(cache)
    assert cache.get("k", tags=A) == "new"


def test_soft_without_a_stale_ttl(cache: Cache) -> None:
    """Without a stale ttl a soft invalidation is as good as a hard one."""
    fill(cache, stale_ttl=0)
    cache.invalidate("a", soft=True)
    assert refill(apart(cache)) == "new"


def test_soft_without_a_stale_ttl_and_a_failing_load(cache: Cache) -> None:
    """Without a stale ttl nothing stands in for a load that fails."""
    fill(cache, stale_ttl=0)
    cache.invalidate("a", soft=True)
    with pytest.raises(OSError, match="secret"):
        refill(cache, fail)


def test_soft_for_a_reader_who_wants_nothing_stale(cache: Cache) -> None:
    """A reader without a stale ttl is served nothing stale, whatever the entry allows."""
    fill(cache)
    cache.invalidate("a", soft=True)
    with pytest.raises(OSError, match="secret"):
        cache.get_or_set("k", fail, tags=A, stale_ttl=0)
    assert cache.get_or_set("k", lambda: "new", tags=A) == "new"


def test_hard_after_soft(cache: Cache) -> None:
    """A hard invalidation after a soft one counts."""
    fill(cache)
    cache.invalidate("a", soft=True)
    cache.invalidate("a")
    with pytest.raises(OSError, match="secret"):
        refill(cache, fail)


def test_soft_after_hard(cache: Cache) -> None:
    """A soft invalidation does not soften a hard one before it."""
    fill(cache)
    cache.invalidate("a")
    cache.invalidate("a", soft=True)
    with pytest.raises(OSError, match="secret"):
        refill(cache, fail)


def test_soft_twice(cache: Cache) -> None:
    """Two soft invalidations leave an entry as servable as one."""
    fill(cache)
    cache.invalidate("a", soft=True)
    cache.invalidate("a", soft=True)
    assert refill(cache, fail) == "old"


def test_soft_and_another_tag_hard(cache: Cache) -> None:
    """An entry of two tags is hard-stale if one of them is."""
    cache.get_or_set("k", lambda: "old", tags=["a", "b"], stale_ttl=60)
    cache.invalidate("a", soft=True)
    cache.invalidate("b")
    assert cache.get_or_set("k", lambda: "new", tags=["a", "b"], stale_ttl=60) == "new"


def test_soft_of_an_ancestor(cache: Cache, events: list[Event]) -> None:
    """A soft invalidation of an ancestor softens what is below; the event names it."""
    cache.get_or_set("k", lambda: "old", tags=["a/b"], stale_ttl=60)
    cache.invalidate("a", soft=True)
    assert cache.get_or_set("k", fail, tags=["a/b"], stale_ttl=60) == "old"
    assert StaleHit("k", "a") in events


def test_soft_of_a_scope(cache: Cache) -> None:
    """A scope is softly invalidated as a whole, and other scopes are not."""
    mine, yours = cache.scope("user", 1), cache.scope("user", 2)
    for scope in (mine, yours):
        scope.get_or_set("k", lambda: "old", stale_ttl=60)
    mine.invalidate(soft=True)
    assert [mine.has_key("k"), yours.has_key("k")] == [False, True]
    assert mine.get_or_set("k", fail, stale_ttl=60) == "old"


def test_clear_of_soft_stale(cache: Cache) -> None:
    """A clear is hard."""
    fill(cache)
    cache.invalidate("a", soft=True)
    cache.clear()
    assert refill(cache) == "new"


def test_soft_of_a_tag_that_nobody_uses(cache: Cache) -> None:
    """A tag without a stamp has nothing to soften."""
    assert cache.invalidate("nobody", soft=True) == Invalidated(("nobody",), 0)


def test_soft_says_what_it_did(cache: Cache, events: list[Event]) -> None:
    """A soft invalidation tells which tags it changed."""
    fill(cache)
    assert cache.invalidate("a", "nobody", soft=True) == Invalidated(("a", "nobody"), 1)
    assert Invalidated(("a", "nobody"), 1) in events


def test_soft_event_to_other_verbs(cache: Cache, events: list[Event]) -> None:
    """A get of a softly invalidated entry is told as stale, with the tag."""
    fill(cache)
    cache.invalidate("a", soft=True)
    cache.get("k", tags=A)
    assert Stale("k", "a") in events


def test_soft_after_the_stamp_was_lost(server: Server) -> None:
    """A soft invalidation of a tag whose stamp was evicted does not create one: the entry stays hard-stale."""
    with Cache.from_url(server.url, namespace="test", timeout=2.0) as cache, server.client as client:
        fill(cache)
        client.delete("test:s:{a}")
        assert cache.invalidate("a", soft=True).bumped == 0
        assert refill(cache) == "new"


def test_soft_of_a_closed_tag(server: Server) -> None:
    """A closed tag stays closed, and what carries it is not served."""
    with Cache.from_url(server.url, namespace="test", timeout=2.0) as cache, server.client as client:
        fill(cache)
        client.delete("test:s:{a}")
        client.zadd("test:s:{a}", {"owner": 4102444800})
        assert cache.invalidate("a", soft=True).bumped == 0
        assert refill(cache) == "new"
        assert client.type("test:s:{a}") == b"zset"


def test_soft_keeps_the_hard_half(server: Server) -> None:
    """A soft invalidation changes the second half of the stamp alone, and a hard one both."""
    with Cache.from_url(server.url, namespace="test", timeout=2.0) as cache, server.client as client:
        fill(cache)
        first = client.get("test:s:{a}")
        cache.invalidate("a", soft=True)
        second = client.get("test:s:{a}")
        cache.invalidate("a")
        third = client.get("test:s:{a}")
        assert [second[:8] == first[:8], second[8:] == first[8:]] == [True, False]
        assert [third[:8] == second[:8], third[8:] == second[8:]] == [False, False]


def test_soft_does_not_shorten_a_stamps_life(server: Server) -> None:
    """A stamp that lives for a long entry does so after a soft invalidation."""
    with Cache.from_url(server.url, namespace="test", timeout=2.0) as cache, server.client as client:
        cache.get_or_set("k", lambda: "old", tags=A, ttl=10 * 86400, stale_ttl=60)
        cache.invalidate("a", soft=True)
        assert client.ttl("test:s:{a}") > 9 * 86400


def test_soft_on_a_full_server(own_server: Server) -> None:
    """A server without memory cannot soften: the stamp goes, so that the invalidation is a hard one."""
    with Cache.from_url(own_server.url, namespace="test", timeout=5.0) as cache, own_server.client as client:
        fill(cache)
        client.config_set("maxmemory", 1)
        assert cache.invalidate("a", soft=True).bumped == 1
        client.config_set("maxmemory", 0)
        assert client.exists("test:s:{a}") == 0
        assert refill(cache) == "new"


def test_soft_of_a_closed_tag_on_a_full_server(own_server: Server) -> None:
    """There too a closed tag stays closed."""
    with Cache.from_url(own_server.url, namespace="test", timeout=5.0) as cache, own_server.client as client:
        fill(cache)
        client.delete("test:s:{a}")
        client.zadd("test:s:{a}", {"owner": 4102444800})
        cache.get_or_set("other", lambda: 1, tags=["b"], stale_ttl=60)
        client.config_set("maxmemory", 1)
        cache.invalidate("a", "b", soft=True)
        client.config_set("maxmemory", 0)
        assert client.type("test:s:{a}") == b"zset"
        assert cache.get_or_set("other", lambda: 2, tags=["b"], stale_ttl=60) == 2


def test_soft_during_a_load(cache: Cache) -> None:
    """A value during whose load its tag was softly invalidated is stored soft-stale."""

    def load() -> str:
        cache.invalidate("a", soft=True)
        return "old"

    cache.get_or_set("k", load, tags=A, stale_ttl=60)
    assert cache.has_key("k", tags=A) is False
    assert refill(cache, fail) == "old"


def test_hard_during_a_load_after_soft(cache: Cache, events: list[Event]) -> None:
    """A hard invalidation during the load that a soft one began keeps its value from being stored."""
    fill(cache)
    cache.invalidate("a", soft=True)

    def load() -> str:
        apart(cache).invalidate("a")
        return "old as well"

    refill(cache, load)
    assert Refused("k", Why.STALE) in events
    assert refill(cache) == "new"


def test_both_paths_agree_on_soft(cache: Cache) -> None:
    """With the tags said, left out, and said in part, a reader is told the same of a soft-stale entry."""
    cache.get_or_set("k", lambda: "old", tags=["a", "b"], stale_ttl=60)
    cache.invalidate("a", soft=True)
    reader = apart(cache)
    ways: list[list[str]] = [["a", "b"], [], ["a"], ["b"]]
    assert [reader.get("k", tags=tags) for tags in ways] == [None] * 4
    assert [reader.get_or_set("k", fail, tags=tags, stale_ttl=60) for tags in ways] == ["old"] * 4


# What is computed from soft-stale values


def test_computed_from_soft_stale_is_soft_stale(cache: Cache) -> None:
    """An entry whose loader was served a soft-stale value is soft-stale, until it is computed anew."""
    fill(cache)
    cache.invalidate("a", soft=True)

    another = apart(cache)

    def load() -> str:  # the inner value is being loaded, while another process computes from it
        another.get_or_set("outer", lambda: f"of {refill(another, fail)}", stale_ttl=60)
        return "new"

    refill(cache, load)
    assert cache.has_key("outer") is False
    assert cache.get_or_set("outer", lambda: f"of {refill(cache, fail)}", stale_ttl=60) == "of new"


def test_computed_from_soft_stale_is_hard_stale_in_its_turn(cache: Cache) -> None:
    """What was computed from a soft-stale value goes with its tag's hard invalidation."""
    fill(cache)
    cache.invalidate("a", soft=True)
    cache.get_or_set("outer", lambda: f"of {refill(cache, fail)}", stale_ttl=60)
    cache.invalidate("a")
    assert cache.get_or_set("outer", lambda: "of new", stale_ttl=60) == "of new"


def test_soft_through_an_outer_entry(cache: Cache) -> None:
    """A soft invalidation reaches what was computed from its entries, by their inherited tags."""
    cache.get_or_set("outer", lambda: [refill(cache, lambda: "old")], stale_ttl=60)
    cache.invalidate("a", soft=True)
    assert cache.has_key("outer") is False
    assert cache.get_or_set("outer", fail, stale_ttl=60) == ["old"]


# Loads that fail


def test_failing_load_serves_stale(cache: Cache, events: list[Event]) -> None:
    """Where the load fails the old value is served, and the event says so, with the error."""
    fill(cache)
    cache.invalidate("a", soft=True)
    assert refill(cache, fail) == "old"
    [failed] = [event for event in events if isinstance(event, LoadFailed)]
    assert [failed.key, type(failed.error)] == ["k", OSError]
    assert StaleHit("k", "a") in events


def test_failing_load_gives_its_lease_back(cache: Cache) -> None:
    """After a load that failed the next reader may load at once."""
    fill(cache)
    cache.invalidate("a", soft=True)
    refill(cache, fail)
    assert refill(apart(cache)) == "new"


def test_hard_during_a_failing_load(cache: Cache) -> None:
    """If a hard invalidation comes during a load that fails, its error is raised: nothing may be served."""
    fill(cache)
    cache.invalidate("a", soft=True)

    def load() -> str:
        apart(cache).invalidate("a")
        return fail()

    with pytest.raises(OSError, match="secret"):
        refill(cache, load)


def test_deleted_during_a_failing_load(cache: Cache) -> None:
    """What was deleted during a load that fails is not served."""
    fill(cache)
    cache.invalidate("a", soft=True)

    def load() -> str:
        apart(cache).delete("k", tags=A)
        return fail()

    with pytest.raises(OSError, match="secret"):
        refill(cache, load)


def test_replaced_during_a_failing_load(cache: Cache) -> None:
    """Where another has set the key during a load that fails, that value is served."""
    fill(cache)
    cache.invalidate("a", soft=True)

    def load() -> str:
        apart(cache).set("k", "newer", tags=A)
        return fail()

    assert refill(cache, load) == "newer"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_interrupted_load_is_not_hidden(cache: Cache, error: type[BaseException]) -> None:
    """What ends the program passes, though there is a value to serve, and the lease goes."""
    fill(cache)
    cache.invalidate("a", soft=True)

    def load() -> str:
        raise error

    with pytest.raises(error):
        refill(cache, load)
    assert refill(apart(cache)) == "new"


def test_load_that_runs_out_of_items(cache: Cache) -> None:
    """A loader's StopIteration is an error like any: the old value is served."""
    fill(cache)
    cache.invalidate("a", soft=True)
    assert refill(cache, lambda: next(iter(()))) == "old"


def test_value_that_cannot_be_encoded(cache: Cache) -> None:
    """A value that the codec cannot carry is a mistake to be seen, though there is a value to serve."""
    fill(cache)
    cache.invalidate("a", soft=True)
    with pytest.raises(EncodeError):
        refill(cache, object)


def test_store_error_of_a_loaders_own(cache: Cache, events: list[Event]) -> None:
    """A loader that fails for a store of its own is a loader that fails."""
    fill(cache)
    cache.invalidate("a", soft=True)

    def load() -> str:
        raise StoreError

    assert refill(cache, load) == "old"
    assert [type(event.error) for event in events if isinstance(event, LoadFailed)] == [StoreError]


@pytest.mark.parametrize("runner", [None, lambda job: job()], ids=["foreground", "runner"])
def test_log_hides_a_loaders_error(url: str, caplog: pytest.LogCaptureFixture, runner: Any) -> None:
    """The log names a loader's error by its type; its text may hold values."""
    with Cache.from_url(url, namespace="test", timeout=2.0, runner=runner) as cache:
        fill(cache)
        cache.invalidate("a", soft=True)
        with caplog.at_level(logging.DEBUG, "unstale"):
            refill(cache, fail)
    assert "OSError" in caplog.text
    assert "secret" not in caplog.text


def test_server_away_with_something_to_serve(own_server: Server, events: list[Event]) -> None:
    """Without a server the loader is called: what cannot be looked up cannot be served."""
    with Cache.from_url(own_server.url, namespace="test", timeout=0.3, on_event=events.append) as cache:
        fill(cache)
        cache.invalidate("a", soft=True)
        own_server.kill()
        assert refill(cache) == "new"


def test_server_dies_under_a_failing_load(own_server: Server) -> None:
    """If the server dies during a load that fails, its error is raised: a hard invalidation may have come."""
    with Cache.from_url(own_server.url, namespace="test", timeout=0.3) as cache:
        fill(cache)
        cache.invalidate("a", soft=True)

        def load() -> str:
            own_server.kill()
            return fail()

        with pytest.raises(OSError, match="secret"):
            refill(cache, load)


# Time


def test_served_after_its_ttl_while_one_loads(world: World) -> None:
    """Between its ttl and its stale ttl a value is served to all but the one who loads."""
    world.cache.get_or_set("k", lambda: "old")
    world.wait(301)
    served: list[str] = []

    def load() -> str:
        served.append(world.another().get_or_set("k", fail))
        return "new"

    assert world.cache.get_or_set("k", load) == "new"
    assert served == ["old"]
    assert StaleHit("k", None) in world.events


def test_fresh_before_its_ttl(world: World) -> None:
    """Before its ttl is over a value is a plain hit."""
    world.cache.get_or_set("k", lambda: "old")
    world.wait(299)
    assert world.cache.get_or_set("k", fail) == "old"
    assert Hit("k") in world.events


def test_miss_after_its_stale_ttl(world: World) -> None:
    """After its stale ttl nothing is served, and an error is raised."""
    world.cache.get_or_set("k", lambda: "old")
    world.wait(361)
    with pytest.raises(OSError, match="secret"):
        world.cache.get_or_set("k", fail)


def test_soft_stale_ends_with_its_stale_ttl(world: World) -> None:
    """A soft invalidation does not prolong what a value may be served for."""
    world.cache.get_or_set("k", lambda: "old", tags=A)
    world.wait(299)
    world.cache.invalidate("a", soft=True)
    world.wait(62)
    with pytest.raises(OSError, match="secret"):
        world.cache.get_or_set("k", fail, tags=A)


def test_expired_during_a_failing_load(world: World) -> None:
    """What may not be served any more when its load has failed is not."""
    world.cache.get_or_set("k", lambda: "old")
    world.wait(350)

    def load() -> str:
        world.wait(20)
        return fail()

    with pytest.raises(OSError, match="secret"):
        world.cache.get_or_set("k", load)


def test_failing_load_after_the_ttl(world: World) -> None:
    """A failing load within the stale ttl is answered by the old value, again and again."""
    world.cache.get_or_set("k", lambda: "old")
    world.wait(301)
    assert [world.cache.get_or_set("k", fail) for _ in range(3)] == ["old"] * 3


def test_expired_is_absent(world: World) -> None:
    """To every other verb a value within its stale ttl is not there."""
    world.cache.get_or_set("k", lambda: 1)
    world.wait(301)
    cache = world.cache
    found = [cache.get("k"), cache.has_key("k"), cache.ttl("k"), cache.touch("k"), cache.get_many(["k"])]
    assert found == [None, False, None, False, {}]


def test_expired_counter_is_absent(world: World) -> None:
    """A counter within its stale ttl does not go on."""
    world.cache.get_or_set("k", lambda: 1)
    world.wait(301)
    assert world.cache.incr("k", initial=10) == 11


def test_expired_may_be_added(world: World) -> None:
    """A value within its stale ttl makes way for an add."""
    world.cache.get_or_set("k", lambda: "old")
    world.wait(301)
    assert world.cache.add("k", "added") is True
    assert world.cache.get("k") == "added"


def test_ttl_leaves_the_stale_ttl_out(world: World) -> None:
    """`ttl` tells for how long a value is fresh."""
    world.cache.get_or_set("k", lambda: 1, ttl=100)
    world.wait(40)
    assert world.cache.ttl("k") == pytest.approx(60)


def test_ttl_without_a_limit(world: World) -> None:
    """A value without a ttl has none, with a stale ttl too."""
    world.cache.get_or_set("k", lambda: 1, ttl=None)
    assert world.cache.ttl("k") == float("inf")


def test_touch_keeps_the_stale_ttl(world: World) -> None:
    """A touched value has its stale ttl after its new ttl."""
    world.cache.get_or_set("k", lambda: "old", ttl=100)
    world.wait(90)
    assert world.cache.touch("k", 200) is True
    world.wait(199)
    assert world.cache.get("k") == "old"
    world.wait(50)
    assert world.cache.get_or_set("k", fail) == "old"
    world.wait(20)
    with pytest.raises(OSError, match="secret"):
        world.cache.get_or_set("k", fail)


def test_touch_keeps_the_stamps_for_the_stale_ttl(worlds: Callable[..., World]) -> None:
    """The stamps of a touched entry outlive its stale ttl, as those of a stored one do."""
    world = worlds(stamp_ttl=100, stale_ttl=500)
    world.cache.get_or_set("k", lambda: "old", tags=A, ttl=50)
    world.cache.touch("k", 300, tags=A)
    world.wait(700)
    assert world.cache.get_or_set("k", fail, tags=A) == "old"


@pytest.mark.parametrize("ttl", [100, None])
def test_timed_entries_on_every_store(cache: Cache, ttl: float | None) -> None:
    """A value with a stale ttl is counted, touched and looked at as any other."""
    cache.get_or_set("k", lambda: 1, ttl=ttl, stale_ttl=60)
    assert cache.incr("k") == 2
    assert cache.ttl("k") == pytest.approx(ttl or float("inf"), abs=5)
    assert cache.touch("k", 200) is True
    assert cache.ttl("k") == pytest.approx(200, abs=5)
    assert cache.touch("k", None) is True
    assert cache.ttl("k") == float("inf")
    assert cache.incr("k", 3) == 5


def test_expired_on_every_store(cache: Cache) -> None:
    """A ttl of a millisecond is over at once, and its value is served while it is loaded."""
    cache.get_or_set("k", lambda: 1, ttl=0.001, stale_ttl=60)
    threading.Event().wait(0.02)
    assert [cache.get("k"), cache.touch("k"), cache.ttl("k"), cache.incr("k", initial=4)] == [None, False, None, 5]


def test_expired_is_served_on_every_store(cache: Cache) -> None:
    """A server keeps an entry until its stale ttl is over."""
    cache.get_or_set("k", lambda: "old", ttl=0.001, stale_ttl=60)
    threading.Event().wait(0.02)
    assert cache.get_or_set("k", fail, stale_ttl=60) == "old"


def test_set_has_no_stale_ttl(world: World) -> None:
    """What was set is over with its ttl: `set` says nothing of a stale ttl."""
    world.cache.set("k", "old", ttl=100)
    world.wait(101)
    with pytest.raises(OSError, match="secret"):
        world.cache.get_or_set("k", fail)


def test_none_has_a_ttl_of_its_own(world: World) -> None:
    """A None stays fresh for `negative_ttl`, then it may be served stale as any value."""
    world.cache.get_or_set("k", lambda: None, negative_ttl=10)
    world.wait(11)
    assert world.cache.has_key("k") is False
    assert world.cache.get_or_set("k", fail) is None
    world.wait(60)
    assert world.cache.get_or_set("k", lambda: 1, negative_ttl=10) == 1
    assert world.cache.ttl("k") == pytest.approx(300)


@pytest.mark.parametrize("bad", [None, -1, "10", True, float("nan")])
def test_bad_stale_ttl(world: World, bad: Any) -> None:
    """A stale ttl is a limited number of seconds, or zero."""
    with pytest.raises(InvalidDurationError):
        world.cache.get_or_set("k", fail, stale_ttl=bad)


@pytest.mark.parametrize("bad", [0, -1, "10", True])
def test_bad_negative_ttl(world: World, bad: Any) -> None:
    """A negative ttl is above zero."""
    with pytest.raises(InvalidDurationError):
        world.cache.get_or_set("k", fail, negative_ttl=bad)


# Clocks that differ


skews = pytest.mark.parametrize("skew", [-HOUR, HOUR])


@skews
@pytest.mark.parametrize("who", ["writer", "reader"])
def test_skew_never_serves_hard_stale(world: World, skew: float, who: str) -> None:
    """Whoever's clock is an hour off: after a hard invalidation the old value is not served."""
    world.skew = {"writer": skew}.get(who, 0.0)
    world.cache.get_or_set("k", lambda: "old", tags=A, stale_ttl=2 * HOUR)
    world.cache.invalidate("a", soft=True)
    world.cache.invalidate("a")
    world.skew = {"reader": skew}.get(who, 0.0)
    assert world.cache.get("k", tags=A) is None
    with pytest.raises(OSError, match="secret"):
        world.cache.get_or_set("k", fail, tags=A)


@skews
def test_skew_does_not_outlive_the_server(world: World, skew: float) -> None:
    """However a clock is off, nothing is served after ttl and stale ttl are over by the server's."""
    world.skew = skew
    world.cache.get_or_set("k", lambda: "old")
    world.wait(361)
    world.skew = -skew
    with pytest.raises(OSError, match="secret"):
        world.cache.get_or_set("k", fail)


def test_skew_gives_no_negative_ttl(world: World) -> None:
    """A reader whose clock is behind is not told of less than no time."""
    world.cache.get_or_set("k", lambda: "old")
    world.wait(330)
    world.skew = -HOUR
    left = world.cache.ttl("k")
    assert left is not None
    assert left >= 0


def test_skew_of_a_counter(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A counter that `get` shows is counted, also where the client's clock is an hour behind the server's."""
    real = __import__("time").time
    monkeypatch.setattr("time.time", lambda: real() - HOUR)
    cache.get_or_set("k", lambda: 1, ttl=60, stale_ttl=2 * HOUR)
    assert cache.get("k") == 1
    assert cache.incr("k") == 2


def test_skew_of_a_counter_with_initial(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """There a counter with an `initial` is at least not refused for others that keep replacing it."""
    real = __import__("time").time
    monkeypatch.setattr("time.time", lambda: real() - HOUR)
    cache.get_or_set("k", lambda: 1, ttl=60, stale_ttl=2 * HOUR)
    counted: list[int] = []
    with suppress(StoreRefusedError):
        counted.append(cache.incr("k", initial=10))
    assert counted in ([2], [11])


# Runners


class Jobs(list[Callable[[], None]]):
    """A runner that keeps its jobs until they are run."""

    def __call__(self, job: Callable[[], None]) -> None:
        self.append(job)

    def run(self) -> None:
        while self:
            self.pop(0)()


@pytest.fixture
def jobs() -> Jobs:
    """A runner."""
    return Jobs()


@pytest.fixture
def background(worlds: Callable[..., World], jobs: Jobs) -> World:
    """A world with a runner, and a soft-stale entry k."""
    world = worlds(stale_ttl=60, runner=jobs)
    fill(world.cache)
    world.cache.invalidate("a", soft=True)
    return world


def test_runner_loads_elsewhere(background: World, jobs: Jobs) -> None:
    """With a runner every reader is served, and the new value comes when its job is done."""
    assert [refill(background.cache) for _ in range(3)] == ["old"] * 3
    assert len(jobs) == 1
    jobs.run()
    assert background.cache.get("k", tags=A) == "new"


def test_runner_one_job_over_all_processes(background: World, jobs: Jobs) -> None:
    """While one process's runner has the job, the others' get none."""
    refill(background.cache)
    assert refill(background.another()) == "old"
    assert len(jobs) == 1


def test_runner_job_that_fails(background: World, jobs: Jobs) -> None:
    """A job's error is told to the hook, and the next reader has another job made."""
    refill(background.cache, fail)
    jobs.run()
    assert [type(event.error) for event in background.events if isinstance(event, LoadFailed)] == [OSError]
    assert refill(background.cache) == "old"
    jobs.run()
    assert background.cache.get("k", tags=A) == "new"


def test_runner_that_is_full(worlds: Callable[..., World]) -> None:
    """Where the runner takes no job the reader loads himself."""

    def full(job: Callable[[], None]) -> None:
        raise RuntimeError("secret queue")

    world = worlds(stale_ttl=60, runner=full)
    fill(world.cache)
    world.cache.invalidate("a", soft=True)
    assert refill(world.cache) == "new"
    assert world.cache.get("k", tags=A) == "new"
    assert [type(event.error) for event in world.events if isinstance(event, LoadFailed)] == [RuntimeError]


def test_runner_that_is_full_and_a_failing_load(worlds: Callable[..., World]) -> None:
    """If his load fails as well, he is served the old value."""

    def full(job: Callable[[], None]) -> None:
        raise RuntimeError

    world = worlds(stale_ttl=60, runner=full)
    fill(world.cache)
    world.cache.invalidate("a", soft=True)
    assert refill(world.cache, fail) == "old"


def test_runner_that_never_runs_serves_at_once(background: World, jobs: Jobs) -> None:
    """While a job is lost, readers are served without waiting."""
    refill(background.cache)
    jobs.clear()
    began = background.seconds
    assert refill(background.cache) == "old"
    assert background.seconds == began


def test_runner_that_never_runs_does_not_block_for_ever(background: World, jobs: Jobs) -> None:
    """When the stale ttl is over a reader waits for a lost job no longer than for any loader, then loads."""
    refill(background.cache)
    jobs.clear()
    background.cache.invalidate("a")
    began = background.seconds
    assert refill(background.cache) == "new"
    assert background.seconds - began < 60


def test_runner_that_never_runs_gets_another_job(background: World, jobs: Jobs) -> None:
    """When its lease has run out, another process has a job made for what was lost."""
    refill(background.cache)
    jobs.clear()
    background.wait(11)
    assert refill(background.another()) == "old"
    assert len(jobs) == 1


def test_runner_late_job_after_a_hard_invalidation(background: World, jobs: Jobs) -> None:
    """A job that runs after a hard invalidation stores nothing: what it observed is older."""
    refill(background.cache)
    background.cache.invalidate("a")
    jobs.run()
    assert Refused("k", Why.STALE) in background.events
    assert background.cache.get("k", tags=A) is None


def test_runner_hard_invalidation_inside_a_job(background: World, jobs: Jobs) -> None:
    """A job during which a hard invalidation comes stores nothing."""

    def load() -> str:
        background.another().invalidate("a")
        return "older"

    refill(background.cache, load)
    jobs.run()
    assert background.cache.get("k", tags=A) is None


def test_runner_job_whose_lease_ran_out(background: World, jobs: Jobs) -> None:
    """A job that came too late does not replace what another has stored since."""
    refill(background.cache, lambda: "late")
    background.wait(11)
    late, jobs[:] = jobs[0], []
    refill(background.another())
    jobs.run()
    late()
    assert background.cache.get("k", tags=A) == "new"


def test_runner_is_detached_from_the_loader_around_it(worlds: Callable[..., World]) -> None:
    """A job that runs inside another key's loader neither breaks that one's value nor makes it pass for fresh."""
    world = worlds(stale_ttl=60, runner=lambda job: job())
    fill(world.cache)
    world.cache.invalidate("a", soft=True)
    assert world.cache.get_or_set("outer", lambda: f"of {refill(world.cache)}") == "of old"
    assert "outer" in [event.key for event in world.events if isinstance(event, Stored)]
    assert world.cache.get("k", tags=A) == "new"
    assert world.cache.has_key("outer") is False


def test_runner_is_not_asked_for_a_miss(worlds: Callable[..., World], jobs: Jobs) -> None:
    """Where there is nothing to serve the reader loads himself."""
    world = worlds(stale_ttl=60, runner=jobs)
    assert world.cache.get_or_set("k", lambda: "new") == "new"
    assert jobs == []


def test_runner_of_threads(url: str) -> None:
    """`runners.threads()` loads in another thread, outside the reader's."""
    stored, ran_in = threading.Event(), []

    def hook(event: Event) -> None:
        if isinstance(event, Stored):
            stored.set()

    with Cache.from_url(url, namespace="test", timeout=2.0, runner=runners.threads(1), on_event=hook) as cache:
        fill(cache)
        cache.invalidate("a", soft=True)
        stored.clear()

        def load() -> str:
            ran_in.append(threading.current_thread().name)
            return "new"

        assert refill(cache, load) == "old"
        assert stored.wait(20)
        assert cache.get("k", tags=A) == "new"
    assert "unstale-refresh" in ran_in[0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform does not fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_runner_of_threads_after_a_fork() -> None:
    """A runner that the parent has used runs the child's jobs too."""
    runner = runners.threads(1)
    done = threading.Event()
    runner(done.set)
    assert done.wait(20)
    child = os.fork()
    if child == 0:  # pragma: no cover - the child reports by its exit status
        ran = threading.Event()
        runner(ran.set)
        os._exit(0 if ran.wait(3) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# XFetch


chances = st.floats(2**-53, 1.0)
betas = st.floats(0, 100)
loads = st.floats(0, 86400)


@given(loads, betas, chances)
def test_early_by_is_bounded(load_seconds: float, beta: float, drawn: float) -> None:
    """No draw is earlier than `earliest`, nor later than the ttl's end."""
    assert 0 <= early_by(load_seconds, beta, drawn) <= earliest(load_seconds, beta)


@given(loads, betas, chances, chances)
def test_early_by_falls_with_chance(load_seconds: float, beta: float, one: float, other: float) -> None:
    """The smaller the draw, the earlier."""
    low, high = sorted((one, other))
    assert early_by(load_seconds, beta, low) >= early_by(load_seconds, beta, high)


@given(loads, betas, betas, chances)
def test_early_by_grows_with_beta(load_seconds: float, one: float, other: float, drawn: float) -> None:
    """The more eager, the earlier."""
    low, high = sorted((one, other))
    assert early_by(load_seconds, low, drawn) <= early_by(load_seconds, high, drawn)


@given(loads, chances)
def test_early_by_without_beta(load_seconds: float, drawn: float) -> None:
    """Without eagerness nobody is early."""
    assert [early_by(load_seconds, 0, drawn), earliest(load_seconds, 0)] == [0, 0]


def test_chance_is_never_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least and the most that can be drawn have a logarithm that is not positive."""
    drawn = []
    for octet in (b"\x00", b"\xff"):
        monkeypatch.setattr("os.urandom", lambda size, octet=octet: octet * size)
        drawn.append(chance())
    assert drawn == [2**-53, 1.0]


@pytest.fixture
def eager(worlds: Callable[..., World]) -> World:
    """A world with XFetch, and a value k that took five seconds to load and is fresh for another five."""
    world = worlds(beta=1.0, ttl=100)
    world.cache.get_or_set("k", world.slow(5, "old"), tags=A)
    world.wait(95)
    return world


def test_xfetch_one_loads_early(eager: World) -> None:
    """Whose draw is small loads before the ttl is over; others are served the fresh value meanwhile."""
    served: list[str] = []

    def load() -> str:
        served.append(eager.another().get_or_set("k", fail, tags=A))
        served.append(eager.cache.get("k", tags=A))
        return "new"

    eager.drawn = 1e-9
    assert eager.cache.get_or_set("k", load, tags=A) == "new"
    assert served == ["old", "old"]
    assert eager.cache.get("k", tags=A) == "new"


def test_xfetch_is_left_to_chance(eager: World) -> None:
    """Whose draw is large is served."""
    assert eager.cache.get_or_set("k", fail, tags=A) == "old"
    assert LoadFailed not in map(type, eager.events)


def test_xfetch_failing_load(eager: World) -> None:
    """Where an early load fails the value, which is fresh, is served; the hook hears of it."""
    eager.drawn = 1e-9
    assert eager.cache.get_or_set("k", fail, tags=A) == "old"
    assert LoadFailed in map(type, eager.events)


def test_xfetch_failing_load_and_a_hard_invalidation(eager: World) -> None:
    """Where a hard invalidation comes during an early load that fails, its error is raised."""
    eager.drawn = 1e-9

    def load() -> str:
        eager.another().invalidate("a")
        return fail()

    with pytest.raises(OSError, match="secret"):
        eager.cache.get_or_set("k", load, tags=A)


def test_xfetch_failing_load_for_a_reader_who_wants_nothing_stale(eager: World) -> None:
    """What became soft-stale during an early load that fails is not served to a reader without a stale ttl."""
    eager.cache.get_or_set("l", eager.slow(5, "old"), tags=A, stale_ttl=60)
    eager.wait(95)
    eager.drawn = 1e-9

    def load() -> str:
        eager.another().invalidate("a", soft=True)
        return fail()

    with pytest.raises(OSError, match="secret"):
        eager.cache.get_or_set("l", load, tags=A, stale_ttl=0)


def test_xfetch_by_a_runner(worlds: Callable[..., World], jobs: Jobs) -> None:
    """With a runner the early load is its job, and the reader is served."""
    world = worlds(beta=1.0, ttl=100, runner=jobs)
    world.cache.get_or_set("k", world.slow(5, "old"))
    world.wait(95)
    world.drawn = 1e-9
    assert world.cache.get_or_set("k", lambda: "new") == "old"
    jobs.run()
    assert world.cache.get("k") == "new"


def test_xfetch_other_verbs_see_a_fresh_value(eager: World) -> None:
    """To every other verb a value that is due early is fresh."""
    eager.drawn = 1e-9
    cache = eager.cache
    assert [cache.get("k", tags=A), cache.has_key("k", tags=A), cache.touch("k", tags=A)] == ["old", True, True]


def test_xfetch_off(worlds: Callable[..., World]) -> None:
    """With beta 0 nobody is early, whatever he draws."""
    world = worlds(beta=0, ttl=100)
    world.cache.get_or_set("k", world.slow(5, "old"))
    world.wait(95)
    world.drawn = 2**-53
    assert world.cache.get_or_set("k", fail) == "old"


def test_xfetch_without_a_ttl(worlds: Callable[..., World]) -> None:
    """A value without a limit is never due."""
    world = worlds(beta=100, ttl=None)
    world.cache.get_or_set("k", world.slow(5, "old"))
    world.drawn = 2**-53
    assert world.cache.get_or_set("k", fail) == "old"


def test_xfetch_after_the_ttl(eager: World) -> None:
    """XFetch serves nothing after the ttl where there is no stale ttl."""
    eager.wait(10)
    with pytest.raises(OSError, match="secret"):
        eager.cache.get_or_set("k", fail, tags=A)


@pytest.mark.parametrize("bad", [-1, 101, "1", True, float("nan"), None])
def test_bad_beta(bad: Any) -> None:
    """Eagerness is a number from 0 to 100."""
    with pytest.raises(ConfigurationError):
        make_keyspace({"beta": bad})


# Ramped clear


def one_key_a_root() -> list[str]:
    """Sixteen keys, each with another root, in the roots' order."""
    found: dict[int, str] = {}
    for number in range(1000):
        found.setdefault(bucket(f"k{number}".encode()), f"k{number}")
    return [found[root] for root in range(ROOTS)]


def test_ramped_clear_goes_root_by_root(world: World) -> None:
    """Until its root's turn an entry is fresh, and stale from then on; it takes the time that was asked for."""
    keys = one_key_a_root()
    world.cache.set_many(dict.fromkeys(keys, 1))
    seen: list[int] = []
    world.at_sleep = lambda: seen.append(len(world.cache.get_many(keys)))
    began = world.seconds
    cleared = world.cache.clear(over=30)
    assert seen == list(range(15, 0, -1))
    assert world.seconds - began == pytest.approx(30)
    assert world.cache.get_many(keys) == {}
    assert cleared == Invalidated(tuple(f"*{root}" for root in range(ROOTS)), ROOTS)


def test_ramped_clear_is_hard(world: World) -> None:
    """What a ramped clear has reached is not served, stale ttl or not."""
    world.cache.get_or_set("k", lambda: "old")
    world.cache.clear(over=1)
    with pytest.raises(OSError, match="secret"):
        world.cache.get_or_set("k", fail)


def test_ramped_clear_that_fails_midway(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the server fails midway the error is raised: what was reached is stale, the rest fresh."""
    keys = one_key_a_root()
    world.cache.set_many(dict.fromkeys(keys, 1))
    bump, calls = world.store.bump, []

    def seven(*arguments: Any, **named: Any) -> list[Bumped]:
        calls.append(arguments)
        if len(calls) > 7:
            raise StoreError
        return bump(*arguments, **named)

    monkeypatch.setattr(world.store, "bump", seven)
    with pytest.raises(StoreError):
        world.cache.clear(over=30)
    assert list(world.cache.get_many(keys)) == keys[7:]


def test_ramped_clear_and_what_was_filled_meanwhile(world: World) -> None:
    """What is loaded after its root's turn stays."""
    first = one_key_a_root()[0]
    world.cache.set(first, "old")
    world.at_sleep = lambda: world.cache.get_or_set(first, lambda: "new")
    world.cache.clear(over=30)
    assert world.cache.get(first) == "new"


def test_clear_at_once(world: World) -> None:
    """Without a time, or with none, a clear does not sleep."""
    world.at_sleep = fail
    world.cache.set("k", 1)
    assert [world.cache.clear().bumped, world.cache.clear(over=0).bumped] == [1, 1]
    assert world.cache.get("k") is None


@pytest.mark.parametrize("over", [30, None])
def test_ramped_clear_of_a_scope(world: World, over: Any) -> None:
    """A scope is one tag, which cannot be cleared bit by bit."""
    with pytest.raises(ConfigurationError, match="scope"):
        world.cache.scope("user", 1).clear(over=over)


@pytest.mark.parametrize("over", [-1, "30", True, float("nan")])
def test_ramped_clear_bad_time(world: World, over: Any) -> None:
    """The time is a number of seconds."""
    with pytest.raises(InvalidDurationError):
        world.cache.clear(over=over)


def test_ramped_clear_on_every_store(cache: Cache) -> None:
    """On a real store, too, all is stale when it returns."""
    keys = one_key_a_root()
    cache.set_many(dict.fromkeys(keys, 1))
    cache.clear(over=0.05)
    assert cache.get_many(keys) == {}
