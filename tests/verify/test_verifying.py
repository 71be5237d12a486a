"""How a read that is verified ends: in a world whose time and chance are the test's, on a store in memory."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context
from dataclasses import replace
from typing import Any

import pytest

from unstale import Cache, Verify, remembering
from unstale.cache import _SyncIO
from unstale.core.verified import BOUNDS, Counts
from unstale.core.verifier import GROWTH, MAX_UNDER_WAY, MAX_WATCHED, Verifier
from unstale.errors import ConfigurationError, StoreUnavailableError
from unstale.events import Agreement, Event, Lost, Verified
from unstale.options import make_keyspace
from unstale.stores.memory import MemoryStore

BEGIN = 1_700_000_000.0
TAGS = ["user:42/orders"]
LIMIT = 60.0
KEY = "orders:42"


class World:
    """A cache in memory that verifies each hit; a database with one row; a time that only the test moves."""

    def __init__(self, policy: Verify | None = None, **options: Any) -> None:
        self.seconds = BEGIN
        self.row: Any = "old"
        self.loads = 0
        self.events: list[Event] = []
        self.going_on: list[Any] = []
        self.goes_on = True
        self.drawn = 1.0
        store = MemoryStore(lambda: self.seconds)
        policy = policy or Verify(1.0, limit=LIMIT, share=1.0)
        space = make_keyspace({"namespace": "test", "on_event": self.events.append, **options})
        verifier = Verifier(policy, threading.Lock(), lambda: self.drawn)
        self.cache = Cache(store, replace(space, verifier=verifier), io=WorldIO(self, store, options.get("runner")))

    def load(self) -> Any:
        """What the row is."""
        self.loads += 1
        return {"row": self.row}

    def read(self, load: Callable[[], Any] | None = None) -> Any:
        """Read the row by the cache."""
        return self.cache.get_or_set(KEY, load or self.load, tags=TAGS, ttl=3600)

    def wait(self, seconds: float) -> None:
        """Let time pass, and what is watched be looked at."""
        until = self.seconds + seconds
        while True:
            due = [one for one in self.going_on if one[0] <= until]
            if not due:
                break
            at, steps = min(due, key=lambda one: one[0])
            self.going_on.remove((at, steps))
            self.seconds = max(self.seconds, at)
            self.step(steps)
        self.seconds = until

    def step(self, steps: Coroutine[Any, Any, None]) -> None:
        """Have something go on up to its next pause."""
        try:
            self.going_on.append((self.seconds + steps.send(None), steps))
        except StopIteration:
            return

    @property
    def total(self) -> Counts:
        """How reads have ended."""
        return self.cache.verification().total

    @property
    def watched(self) -> int:
        """How many have not."""
        return self.cache.verification().watched

    @property
    def under_way(self) -> int:
        """Loads that have not ended."""
        verifier = self.cache._space.verifier
        assert verifier is not None
        return len(verifier._under_way)

    @property
    def verified(self) -> list[Verified]:
        """What was told of them."""
        return [event for event in self.events if isinstance(event, Verified)]


class Pause:
    """Awaited, it gives its seconds to whoever drives the coroutine."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __await__(self) -> Iterator[float]:
        yield self.seconds


class WorldIO(_SyncIO):
    """The core's IO in a world: what goes on beside is driven by `World.wait`."""

    def __init__(self, world: World, store: MemoryStore, runner: Any) -> None:
        super().__init__(store, runner)
        self.world = world

    async def sleep(self, seconds: float) -> None:
        await Pause(seconds)

    def go_on(self, steps: Coroutine[Any, Any, None]) -> bool:
        if not self.world.goes_on:
            steps.close()
            return False
        self.world.step(steps)
        return True

    def monotonic(self) -> float:
        return self.world.seconds

    def now(self) -> float:
        return self.world.seconds


@pytest.fixture(autouse=True)
def in_a_request() -> Iterator[None]:
    """What one test remembers is not the next one's."""
    with remembering():
        yield


@pytest.fixture
def world() -> World:
    """A world whose row is cached."""
    made = World()
    made.read()
    return made


def test_what_the_loader_gives_again_is_the_same(world: World) -> None:
    """Each hit is loaded as well, and its reader is served what was cached."""
    served = [world.read() for _ in range(3)]
    assert (served, world.loads) == ([{"row": "old"}] * 3, 4)
    assert (world.total, world.watched) == (Counts(same=3), 0)
    assert world.verified == [Verified(KEY, ("user:42", "user:42/orders"), Agreement.SAME)] * 3


def test_with_verify_off_nothing_is_loaded(world: World) -> None:
    """And the report is empty."""
    cache = Cache(world.cache._store, make_keyspace({"namespace": "test"}))
    loads = world.loads
    assert cache.get_or_set(KEY, world.load, tags=TAGS) == {"row": "old"}
    assert (world.loads, cache.verification().kinds, cache.verification().rate) == (loads, {}, 0.0)
    assert make_keyspace({"verify": 0}).verifier is make_keyspace({"verify": Verify(0)}).verifier is None


def test_an_invalidation_under_way_is_measured(world: World) -> None:
    """Committed, and invalidated a fifth of a second after the read: the read is bounded from both sides."""
    world.row = "new"
    assert world.read() == {"row": "old"}
    world.wait(0.2)
    assert (world.total.judged, world.watched) == (0, 1)
    world.cache.invalidate("user:42")
    world.wait(0.2)
    assert (world.total.differed, world.total.lost, world.watched) == (1, 0, 0)
    [event] = world.verified
    assert event.agreement is Agreement.SETTLED
    assert event.at_least is not None
    assert event.at_most is not None
    assert 0.2 / GROWTH - 0.01 <= event.at_least <= 0.2 <= event.at_most <= GROWTH * 0.2 + 0.01
    assert [world.total.within(bound) for bound in BOUNDS] == [int(bound >= event.at_most) for bound in BOUNDS]
    assert not [event for event in world.events if isinstance(event, Lost)]


def test_a_write_after_the_read_counts_against_the_cache_and_is_over_at_once(world: World) -> None:
    """It was written and invalidated while the loader ran: the read was right, and is consistent within 10 ms."""

    def load() -> Any:
        if world.row == "old":
            world.row = "new"
            world.cache.invalidate("user:42")
        return {"row": world.row}

    assert world.read(load) == {"row": "old"}
    assert world.total == Counts(settled=(1, *[0] * len(BOUNDS)))


def test_a_loader_that_lags(world: World) -> None:
    """It reads a replica that is behind for a second, while the cache has the new value: nothing is lost."""
    world.row = "behind"
    assert world.read() == {"row": "old"}
    world.wait(1.0)
    world.row = "old"
    assert world.read() == {"row": "old"}
    assert (world.total.same, world.total.differed, world.total.lost, world.watched) == (1, 1, 0, 0)
    [settled] = [event for event in world.verified if event.agreement is Agreement.SETTLED]
    assert settled.at_least is not None
    assert settled.at_least <= 1.0 == settled.at_most


def test_a_forgotten_invalidation_is_lost(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The row is written, and nobody says so: at the limit a reader's loader confirms it."""
    world.row = "new"
    world.read()
    world.wait(LIMIT + 0.5)
    assert (world.total.lost, world.watched) == (0, 1)
    assert world.read() == {"row": "old"}
    [lost] = [event for event in world.events if isinstance(event, Lost)]
    assert (lost.key, lost.tags, lost.seconds, lost.stood) == (KEY, ("user:42", "user:42/orders"), LIMIT + 0.5, True)
    assert "new" not in repr(world.events)
    assert (world.total.lost, world.watched) == (2, 0)  # the confirming read was drawn as well
    [named] = world.cache.verification().lost
    assert (named.key, named.tags, named.at) == (KEY, lost.tags, world.seconds)
    assert caplog.records == []  # there is a hook


def test_readers_of_a_watched_key() -> None:
    """They are not drawn, and not counted; now and then one is verified, and the one at the limit is."""
    world = World(Verify(0.001, limit=LIMIT, share=1.0))
    world.read()
    world.drawn = 2**-53
    world.row = "new"
    loads = world.loads
    world.read()  # the last that is drawn, at a rate of one in a thousand
    assert (world.watched, world.loads - loads) == (1, 2)
    for _ in range(8 * int(LIMIT) - 1):
        world.wait(0.125)
        world.read()
    assert world.watched == 1
    assert 10 < (world.loads - loads) / 2 < 25  # 0.005 s, 1.5 times as much, …, up to a minute
    world.wait(0.125)
    world.read()
    assert (world.total, world.watched) == (Counts(lost=1), 0)


def test_what_is_lost_is_a_warning_where_there_is_no_hook(caplog: pytest.LogCaptureFixture) -> None:
    """With its key and its tags, and no value."""
    world = World(on_event=None)
    world.read()
    world.row = "n3w-s3cret"
    world.read()
    world.wait(LIMIT)
    world.read()
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "'orders:42'" in record.getMessage()
    assert "user:42/orders" in record.getMessage()
    assert "s3cret" not in record.getMessage()


def test_nothing_is_repaired(world: World) -> None:
    """What is lost is served on: the missing call of `invalidate` would stay missing."""
    world.row = "new"
    world.read()
    world.wait(LIMIT)
    assert [world.read() for _ in range(3)] == [{"row": "old"}] * 3


def test_what_nobody_reads_again_is_unsettled(world: World) -> None:
    """It differed, it stood, and no later loader has said so: counted as consistent within no time."""
    world.row = "new"
    world.read()
    world.wait(2 * LIMIT + 1)
    assert (world.total, world.watched) == (Counts(unsettled=1), 0)
    assert world.cache.verification().consistent_within(60).good == 0


def test_reads_of_a_watched_key_end_as_it_ends(world: World) -> None:
    """Each with its own time."""
    world.row = "new"
    world.read()
    world.wait(0.5)
    world.read()
    world.wait(0.5)
    assert world.watched == 2
    world.cache.invalidate("user:42")
    world.wait(0.5)
    settled = [event for event in world.verified if event.agreement is Agreement.SETTLED]
    assert [
        round(event.at_most - settled[0].at_most, 6) for event in settled if event.at_most and settled[0].at_most
    ] == [
        0.0,
        -0.5,
    ]
    assert all(event.at_least <= event.at_most for event in settled if event.at_least is not None and event.at_most)


def test_another_value_is_served_meanwhile(world: World) -> None:
    """The watched one no longer, then: it settles. The new one differs, too, and is watched in its turn."""
    world.row = "new"
    world.read()
    world.cache.invalidate("user:42")
    world.cache.inline().get_or_set(KEY, world.load, tags=TAGS, ttl=3600)
    world.row = "newer"
    world.seconds += 0.001
    assert world.read() == {"row": "new"}
    assert (world.total, world.watched) == (Counts(settled=(1, *[0] * len(BOUNDS))), 1)
    world.wait(LIMIT)
    world.read()
    assert world.total.lost == 2


def test_a_load_that_took_long(world: World) -> None:
    """By its end another value is watched, which was served after this one was read: this one was served no longer."""

    def slow() -> Any:
        if world.row == "new":
            world.cache.invalidate("user:42")
            world.cache.inline().get_or_set(KEY, world.load, tags=TAGS, ttl=3600)
            world.seconds += 2.0
            world.row = "newer"
            Context().run(world.read)  # somebody else
        return {"row": world.row}

    world.row = "new"
    assert world.read(slow) == {"row": "old"}
    [settled] = world.verified
    assert (settled.agreement, settled.at_least, settled.at_most, world.watched) == (Agreement.SETTLED, 0.0, 2.0, 1)


def test_the_old_value_stored_anew_is_not_the_same_entry(world: World) -> None:
    """It was invalidated, and a loader that lags has stored it again: lost, but not for want of an invalidation."""
    world.row = "new"
    world.read()
    world.wait(1.0)
    world.cache.invalidate("user:42")
    world.row = "old"
    world.cache.inline().get_or_set(KEY, world.load, tags=TAGS, ttl=3600)
    world.row = "new"
    world.wait(LIMIT)
    world.read()
    [lost] = [event for event in world.events if isinstance(event, Lost)]
    assert not lost.stood


def test_what_expires_settles(world: World) -> None:
    """A short ttl bounds what a forgotten invalidation does."""
    world.cache.get_or_set("short", lambda: 1, tags=TAGS, ttl=5)
    world.cache.get_or_set("short", lambda: 2, tags=TAGS, ttl=5)
    world.wait(20)
    settled = [event for event in world.verified if event.key == "short"]
    assert [event.agreement for event in settled] == [Agreement.SETTLED]


def test_a_value_with_a_time_in_it(world: World) -> None:
    """Its loader gives another each time: nothing is said of it, and its kind is named."""
    numbers = iter(range(100))
    world.cache.get_or_set("now:1", lambda: next(numbers))
    for _ in range(5):
        world.cache.get_or_set("now:1", lambda: next(numbers))
    found = world.cache.verification().kinds["now:*"]
    assert (found, found.always_differs, found.judged) == (Counts(unrepeatable=5), True, 0)
    assert world.watched == 0


def test_a_row_that_is_just_being_written_is_no_such_value(world: World) -> None:
    """It differs between two calls, and not between the next two: it is watched."""
    rows = iter(["new", "newer", "newer"])
    world.read(lambda: {"row": next(rows)})
    assert (world.watched, world.total) == (1, Counts())


def test_what_the_user_calls_the_same() -> None:
    """He is asked with both values as the codec gives them."""
    asked: list[tuple[Any, Any]] = []
    numbers = iter(range(100))

    def same(served: Any, loaded: Any) -> bool:
        asked.append((served, loaded))
        return bool(served["row"] == loaded["row"])

    world = World(Verify(1.0, share=1.0, same=same))
    for _ in range(3):
        world.read(lambda: {"row": "old", "at": next(numbers), "set": (1,)})
    assert world.total == Counts(same=2)
    assert asked[0] == ({"row": "old", "at": 0, "set": [1]}, {"row": "old", "at": 1, "set": [1]})


def test_keys_that_are_left_out() -> None:
    """By how they begin: they are not loaded, and not counted."""
    world = World(Verify(1.0, share=1.0, except_keys=("now:", "orders")))
    for _ in range(3):
        world.read()
    assert (world.loads, world.total) == (1, Counts())


def test_a_loader_that_raises(world: World) -> None:
    """Its reader is served; it is counted."""

    def fail() -> Any:
        raise OSError("s3cret")

    assert world.read(fail) == {"row": "old"}
    assert world.total == Counts(failed=1)
    assert "s3cret" not in repr(world.events)
    world.read()
    assert world.total == Counts(failed=1, same=1)


@pytest.mark.parametrize("error", [StopIteration(), StoreUnavailableError()], ids=lambda error: type(error).__name__)
def test_a_loader_that_raises_what_we_know(world: World, error: Exception) -> None:
    """It is the loader's own all the same."""

    def fail() -> Any:
        raise error

    assert world.read(fail) == {"row": "old"}
    assert world.total == Counts(failed=1)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_ends_a_process_or_a_coroutine_passes(world: World, error: type[BaseException]) -> None:
    """Ctrl-C must not be swallowed; the read was not judged, and nothing of it stays under way."""

    def load() -> Any:
        raise error

    with pytest.raises(error):
        world.read(load)
    assert (world.total, world.under_way) == (Counts(skipped=1), 0)
    assert world.read() == {"row": "old"}


def test_a_user_s_own_functions_that_raise() -> None:
    """No reader is kept from his value."""

    def fail(*_: Any) -> Any:
        raise ZeroDivisionError

    world = World(Verify(1.0, share=1.0, same=fail, kind_of=fail, unless=None))
    world.read()
    world.row = "new"
    assert world.read() == {"row": "old"}
    assert world.cache.verification().kinds == {"orders:*": Counts(failed=1)}
    world = World(Verify(1.0, share=1.0, unless=fail))
    world.read()
    assert world.read() == {"row": "old"}
    assert world.total == Counts(skipped=1)


def test_not_in_a_transaction() -> None:
    """`unless` is asked before a loader is called in the reader's own time."""
    is_open = True
    world = World(Verify(1.0, share=1.0, unless=lambda: is_open))
    world.read()
    world.read()
    is_open = False
    world.read()
    assert (world.loads, world.total) == (2, Counts(same=1, skipped=1))


def test_the_budget() -> None:
    """A slow loader has spent it: what is drawn then is skipped, until time has gone by."""
    world = World(Verify(1.0, share=0.01))

    def slow() -> Any:
        world.seconds += 2.0
        return world.load()

    world.read(slow)
    world.read(slow)
    assert world.total == Counts(same=1)
    world.read(slow)
    assert world.total == Counts(same=1, skipped=1)
    world.wait(101.0)
    world.read(slow)
    assert world.total == Counts(same=2, skipped=1)


def test_a_runner_does_it() -> None:
    """The reader does not wait, and what he does to his value is not compared."""
    jobs: list[Callable[[], None]] = []
    world = World(runner=jobs.append)
    world.read()
    served = world.read()
    served["row"] = "changed by its reader"
    assert (world.loads, world.total) == (1, Counts())
    jobs.pop()()
    assert (world.loads, world.total) == (2, Counts(same=1))


def test_a_runner_that_is_behind() -> None:
    """No more are given to it than a few: what is drawn then is skipped. What it never does is forgotten one day."""
    jobs: list[Callable[[], None]] = []
    world = World(runner=jobs.append)
    for _ in range(MAX_UNDER_WAY + 4):
        world.read()
    assert (len(jobs), world.total) == (MAX_UNDER_WAY, Counts(skipped=3))
    world.wait(61)
    world.read()
    assert len(jobs) == MAX_UNDER_WAY + 1


def test_a_runner_that_refuses() -> None:
    """Then it is done in the reader's own time."""

    def refuse(job: Any) -> None:
        raise RuntimeError("full")

    world = World(runner=refuse)
    world.read()
    world.read()
    assert world.total == Counts(same=1)


def test_a_stale_value_that_is_served_on_purpose_is_not_verified() -> None:
    """A soft-stale hit promises nothing."""
    jobs: list[Any] = []
    world = World(runner=jobs.append, stale_ttl=3600)
    world.read()
    world.cache.invalidate("user:42", soft=True)
    assert world.read() == {"row": "old"}
    assert len(jobs) == 1
    jobs.pop()()  # the refresh
    assert world.total == Counts()


def test_under_a_closed_tag_nothing_is_served_nor_verified(world: World) -> None:
    """And what is watched settles with the closing: from then on nobody is served it."""
    world.row = "new"
    world.read()
    with world.cache.strict("user:42"):
        world.wait(0.1)
        assert world.read() == {"row": "new"}
    assert (world.total.differed, world.total.lost, world.watched) == (1, 0, 0)


def test_a_loader_around_inherits_nothing_from_it(world: World) -> None:
    """What a loader that verifies has read is no part of what the loader around it depends on."""

    def inner() -> Any:
        return world.cache.get_or_set("inner", lambda: 1, tags=["inner"])

    world.cache.get_or_set("part", inner, tags=["part"])

    def part() -> Any:
        world.cache.get_or_set("other", lambda: 1, tags=["other"])
        return inner()

    world.cache.get_or_set("page", lambda: world.cache.get_or_set("part", part, tags=["part"]))
    entry = world.cache.inspect("page").entry
    assert entry is not None
    assert {one.tag for one in entry.tags if not one.tag.startswith("*")} == {"part", "inner"}


def test_what_a_page_is_made_of_is_loaded_as_well(world: World) -> None:
    """Else it would agree with the stale part that it was made of."""

    def page() -> Any:
        return ["page", world.read()]

    world.cache.get_or_set("page", page)
    world.row = "new"
    total, loads = world.total, world.loads
    world.cache.get_or_set("page", page)
    assert (world.total, world.watched) == (total, 1)
    assert world.loads == loads + 2  # once for each call of the page's loader


def test_decorated_functions(world: World) -> None:
    """Are verified as `get_or_set` is."""

    @world.cache.cached("f:{number}")
    def function(number: int) -> list[int]:
        return [number, 1]

    assert [function(7), function(7)] == [[7, 1], [7, 1]]
    assert world.cache.verification().kinds == {"f:*": Counts(same=1)}


def test_many_keys_at_once(world: World) -> None:
    """Each hit is verified, by a call for its key alone; what is missing is loaded as ever."""
    rows = {"a:1": 1, "a:2": 2, "a:3": 3}
    asked: list[list[str]] = []

    def load(keys: list[str]) -> dict[str, int]:
        asked.append(keys)
        return {key: rows[key] for key in keys}

    world.cache.get_or_set_many(["a:1", "a:2"], load)
    rows["a:2"] = 20
    assert world.cache.get_or_set_many(list(rows), load) == {"a:1": 1, "a:2": 2, "a:3": 3}
    assert asked == [["a:1", "a:2"], ["a:1"], ["a:2"], ["a:2"], ["a:3"]]
    assert (world.total, world.watched) == (Counts(same=1), 1)


def test_many_keys_of_which_one_is_left_out(world: World) -> None:
    """Its row is gone: that differs from what is served."""
    world.cache.get_or_set_many(["a:1"], lambda keys: dict.fromkeys(keys, 1))
    assert world.cache.get_or_set_many(["a:1"], lambda _: {}) == {"a:1": 1}
    assert (world.total, world.watched) == (Counts(), 1)


@pytest.mark.parametrize("same", [None, lambda served, loaded: served == loaded], ids=["bytes", "same"])
def test_a_row_that_is_gone(same: Any) -> None:
    """Its loader says so by an exception; the cache serves it on, for want of an invalidation: lost."""
    world = World(Verify(1.0, share=1.0, same=same))
    world.read()
    rows: dict[str, Any] = {}
    assert world.read(lambda: rows["row"]) == {"row": "old"}
    world.wait(LIMIT)
    assert world.read(lambda: rows["row"]) == {"row": "old"}
    assert world.total == Counts(lost=2)


def test_a_page_of_many_keys(world: World) -> None:
    """What it is made of is loaded as well."""
    rows = {"a:1": 1}

    def page() -> Any:
        return world.cache.get_or_set_many(["a:1"], lambda keys: {key: rows[key] for key in keys})

    world.cache.get_or_set("page", page)
    rows["a:1"] = 2
    assert world.cache.get_or_set("page", page) == {"a:1": 1}
    assert world.watched == 1


def test_scopes_are_their_cache(world: World) -> None:
    """In this as well."""
    mine = world.cache.scope("user", 42)
    mine.get_or_set("orders", lambda: [1])
    mine.get_or_set("orders", lambda: [1])
    assert mine.verification() == world.cache.verification()
    assert world.total == Counts(same=1)


def test_inline_is_without(world: World) -> None:
    """A request's view is called once."""
    inline = world.cache.inline()
    assert inline.get_or_set(KEY, world.load, tags=TAGS) == {"row": "old"}
    assert inline.scope("a", 1).get_or_set("k", lambda: 1) == inline.scope("a", 1).get_or_set("k", lambda: 2) == 1
    assert (world.loads, world.total) == (1, Counts())


def test_into() -> None:
    """A value that is made into a type has the print of what the loader gives."""
    from dataclasses import dataclass

    @dataclass
    class Order:
        id: int

    world = World()
    values = [world.cache.get_or_set("k", lambda: [Order(1)], into=list[Order]) for _ in range(3)]
    assert (values, world.total) == ([[Order(1)]] * 3, Counts(same=2))


class Text:
    """What a codec for raw bytes gives by `into`, and cannot carry back."""

    def __init__(self, text: str) -> None:
        self.text = text

    @classmethod
    def model_validate(cls, data: bytes, *, strict: bool) -> Text:
        return cls(data.decode())


def test_into_what_the_codec_cannot_carry_back() -> None:
    """Nothing can be said; the reader is served."""
    world = World(codec="raw")
    world.cache.get_or_set("k", lambda: b"v", into=Text)
    served: Any = world.cache.get_or_set("k", lambda: b"v", into=Text)
    assert (served.text, world.total) == ("v", Counts(failed=1))
    assert world.under_way == 0


def test_so_many_are_watched_and_no_more() -> None:
    """What differs beyond is unsettled."""
    world = World()
    keys = [f"k:{number}" for number in range(MAX_WATCHED + 3)]
    for row in ("old", "new"):
        world.row = row
        for key in keys:
            world.cache.get_or_set(key, world.load)
    assert (world.watched, world.total) == (MAX_WATCHED, Counts(unsettled=3))
    assert len(world.going_on) == MAX_WATCHED


def test_where_nothing_can_go_on_beside(world: World) -> None:
    """No thread can be had: it is unsettled, and the reader is served."""
    world.goes_on = False
    world.row = "new"
    assert world.read() == {"row": "old"}
    assert (world.total, world.watched) == (Counts(unsettled=1), 0)


def test_while_the_server_is_away_nobody_knows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The looks fail, and the bounds are further apart."""
    world.row = "new"
    world.read()

    async def away(names: Any) -> Any:
        raise StoreUnavailableError

    with monkeypatch.context() as patch:
        patch.setattr(world.cache._io, "read", away)
        world.wait(5.0)
        assert world.watched == 1
    world.cache.invalidate("user:42")
    world.wait(10.0)
    [event] = world.verified
    assert (event.agreement, event.at_least) == (Agreement.SETTLED, 0.0)
    assert event.at_most is not None
    assert event.at_most > 5.0


def test_a_cache_that_is_closed(world: World) -> None:
    """What was watched stays unsettled."""
    world.row = "new"
    world.read()
    world.cache.close()
    world.wait(1.0)
    assert (world.total, world.watched, world.going_on) == (Counts(unsettled=1), 0, [])


def test_at_the_process_s_end(world: World) -> None:
    """The same, for its log."""
    world.row = "new"
    world.read()
    verifier = world.cache._space.verifier
    assert verifier is not None
    verifier.give_up()
    assert (world.total, world.watched) == (Counts(unsettled=1), 0)


@pytest.mark.parametrize("given", ["0.1", True, None, 2, -1, {"rate": 1}], ids=repr)
def test_what_makes_no_sense(given: Any) -> None:
    """Is refused when the cache is made."""
    with pytest.raises(ConfigurationError, match="verify"):
        make_keyspace({"verify": given})
