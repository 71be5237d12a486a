"""What a computation has looked at: inheritance within a loader, remembrance between a get and a set."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from unstale import Cache, remembering
from unstale.core import capture
from unstale.core.capture import distrust, forget, heir, inheriting, lapse, recall, remember, shun, stored
from unstale.core.ports import Claim, Opening, Peek, Reading
from unstale.core.stamps import CLOSED
from unstale.errors import StoreTimeoutError
from unstale.events import Event, Refused, Why
from unstale.stores.memory import MemoryStore

ONE, OTHER = object(), object()
S1, S2 = b"1" * 16, b"2" * 16
ID1, ID2 = b"i" * 16, b"j" * 16


def elsewhere(function, *arguments):
    """Call something as another process would: in a context of its own."""
    return contextvars.Context().run(function, *arguments)


@pytest.fixture(autouse=True)
def own_memory() -> Iterator[None]:
    """Each test begins with nothing remembered."""
    with remembering():
        yield


def test_no_heir_outside_a_loader() -> None:
    """Outside a loader nobody inherits."""
    assert heir(ONE) is None


def test_heir_inside_a_loader() -> None:
    """Inside a loader it inherits, until it ends, also by an exception."""
    with suppress(ZeroDivisionError), inheriting(ONE) as mine:
        assert heir(ONE) is mine
        raise ZeroDivisionError
    assert heir(ONE) is None


def test_heir_is_the_innermost() -> None:
    """A loader within a loader inherits for itself."""
    with inheriting(ONE) as outer:
        with inheriting(ONE) as inner:
            assert heir(ONE) is inner
        assert heir(ONE) is outer


def test_heir_of_ones_own_cache() -> None:
    """A loader of another cache in between does not inherit what is read from this one."""
    with inheriting(ONE) as mine, inheriting(OTHER) as others:
        assert heir(ONE) is mine
        assert heir(OTHER) is others
    assert heir(OTHER) is None


def test_inheritance_gathers_stamps() -> None:
    """Recorded stamps are gathered by tag; the same stamp twice is no matter."""
    with inheriting(ONE) as mine:
        mine.add([("a", S1), ("b", S2)], ID1)
        mine.add([("a", S1)], None)
    assert (mine.stamps, mine.identities, mine.broken) == ({"a": S1, "b": S2}, {ID1}, False)


def test_two_stamps_of_one_tag_break_it() -> None:
    """Two values under two stamps of one tag never were fresh together: the result depends on both."""
    with inheriting(ONE) as mine:
        mine.add([("a", S1)], ID1)
        mine.add([("a", S2)], ID1)
    assert mine.broken


def test_two_identities_break_it() -> None:
    """Values of two servers make a result that belongs to neither."""
    with inheriting(ONE) as mine:
        mine.add([("a", S1)], ID1)
        mine.add([("b", S1)], ID2)
    assert mine.broken


def test_unfenced_entries_have_any_identity() -> None:
    """An entry that is bound to no server leaves the identity as it is."""
    with inheriting(ONE) as mine:
        mine.add([("a", S1)], None)
        mine.add([("b", S1)], ID1)
        mine.add([("c", S1)], None)
    assert (mine.identities, mine.broken) == ({ID1}, False)


def test_broken_stays_broken() -> None:
    """Nothing mends a broken inheritance."""
    with inheriting(ONE) as mine:
        mine.broken = True
        mine.add([("a", S1)], ID1)
    assert mine.broken


def test_a_thread_of_a_loaders_does_not_inherit() -> None:
    """A plain thread begins with a context of its own: what it reads is not the loader's to inherit."""
    seen: list[object] = []
    with inheriting(ONE):
        thread = threading.Thread(target=lambda: seen.append(heir(ONE)))
        thread.start()
        thread.join()
    assert seen == [None]


def test_a_copied_context_inherits() -> None:
    """A thread that runs in a copy of the loader's context (asyncio.to_thread) reads for the loader."""
    with inheriting(ONE) as mine:
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(lambda: heir(ONE).add([("a", S1)], ID1),))
        thread.start()
        thread.join()
    assert mine.stamps == {"a": S1}


def test_loaders_in_threads_inherit_apart() -> None:
    """Loaders that run at the same time in several threads inherit each its own."""
    barrier = threading.Barrier(4)

    def load(number: int) -> dict[str, bytes]:
        with inheriting(ONE) as mine:
            barrier.wait(10)
            heir(ONE).add([(f"tag{number}", S1)], None)
            barrier.wait(10)
        return mine.stamps

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(load, range(4))) == [{f"tag{n}": S1} for n in range(4)]


def test_remember_and_recall() -> None:
    """What was seen is recalled, with the identity; missing and closed as well."""
    remember(1, b"k", [(b"a", S1), (b"b", None), (b"c", CLOSED)], ID1)
    seen = [recall(1, b"k", name) for name in (b"a", b"b", b"c", b"d")]
    assert seen == [(S1, ID1), (None, ID1), (CLOSED, ID1), None]


def test_caches_remember_apart() -> None:
    """What one cache saw is nothing to another."""
    remember(1, b"k", [(b"a", S1)], ID1)
    assert (recall(2, b"k", b"a"), recall(1, b"k", b"a")) == (None, (S1, ID1))


def test_a_request_forgets_nothing() -> None:
    """In a request one's own invalidation does not let pass what was computed before it."""
    remember(1, b"k", [(b"a", S1)], ID1)
    forget(1, [b"a"])
    assert [recall(1, key, b"a") for key in (b"k", b"other")] == [(S1, ID1), (S1, ID1)]


def test_outside_one_forgets() -> None:
    """In a thread that lives on what is forgotten is gone, for this cache; what is not there is no matter."""

    def looks() -> list[object]:
        forget(1, [b"a"])
        remember(1, b"k", [(b"a", S1), (b"b", S1)], ID1)
        remember(2, b"k", [(b"a", S2)], ID1)
        forget(1, [b"a", b"none"])
        return [recall(1, b"k", b"a"), recall(1, b"k", b"b"), recall(2, b"k", b"a")]

    assert outside(looks) == [None, (S1, ID1), (S2, ID1)]


def test_what_is_distrusted() -> None:
    """Looks at these stamps count as looks at closed ones, of this cache, whatever the key."""
    remember(1, b"k", [(b"a", S1), (b"b", S1)], ID1)
    remember(1, b"l", [(b"b", S1)], ID1)
    remember(2, b"k", [(b"a", S1)], ID1)
    distrust(1, [b"a", b"none"])
    assert [recall(1, b"k", name) for name in (b"a", b"b", b"none")] == [(CLOSED, b""), (S1, ID1), None]
    assert [recall(1, b"another", b"a"), recall(1, b"l", b"b"), recall(2, b"k", b"a")] == [
        (CLOSED, b""),
        (S1, ID1),
        (S1, ID1),
    ]


def test_distrust_outside_a_request() -> None:
    """There it ends with the next look, and it is this context's own."""

    def looks() -> list[object]:
        distrust(1, [b"a"])
        remember(1, b"k", [(b"a", S1)], ID1)
        contextvars.copy_context().run(distrust, 1, [b"a"])
        seen: list[object] = [recall(1, b"k", b"a")]
        distrust(1, [b"a"])
        seen.append(recall(1, b"k", b"a"))
        remember(1, b"k", [(b"a", S2)], ID1)
        return [*seen, recall(1, b"k", b"a")]

    assert outside(looks) == [(S1, ID1), (CLOSED, b""), (S2, ID1)]


def test_remembering_ends() -> None:
    """What was remembered within is gone at the end, and what was remembered before is back."""
    remember(1, b"k", [(b"a", S1)], ID1)
    with suppress(ZeroDivisionError), remembering():
        assert recall(1, b"k", b"a") is None
        remember(1, b"k", [(b"a", S2)], ID1)
        raise ZeroDivisionError
    assert recall(1, b"k", b"a") == (S1, ID1)


def test_in_a_request_the_first_look_counts() -> None:
    """In a request a key's first look counts, and for a key that was never read the first look at any."""
    remember(1, b"k", [(b"a", S1)], ID1)
    remember(1, b"k", [(b"a", S2)], ID2)
    remember(1, b"other", [(b"a", S2)], ID2)
    stored(1, b"k")
    assert [recall(1, key, b"a") for key in (b"k", b"other", b"a third")] == [(S1, ID1), (S2, ID2), (S1, ID1)]


def test_in_a_request_too_many_keys_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a request that read more keys than are remembered, what is not remembered counts as closed."""
    monkeypatch.setattr(capture, "MAX_STRICT_KEYS", 2)
    for number in range(4):
        remember(1, b"%d" % number, [(b"s%d" % number, S1)], ID1)
    assert recall(1, b"a third", b"never seen") == (CLOSED, b"")
    assert recall(1, b"3", b"s3") == (S1, ID1)


def outside(do: Callable[[], object]) -> object:
    """Run something outside of any request."""
    return contextvars.Context().run(do)


def test_outside_the_last_look_counts() -> None:
    """In a thread that lives on a key's last look counts, for that key only, and until it is set."""

    def looks() -> list[object]:
        remember(1, b"k", [(b"a", S1)], ID1)
        remember(1, b"k", [(b"a", S2)], ID2)
        seen: list[object] = [recall(1, key, b"a") for key in (b"k", b"other")]
        stored(1, b"k")
        return [*seen, recall(1, b"k", b"a")]

    assert outside(looks) == [(S2, ID2), None, None]


SMALL = 3
"""Looks that one dict has in these tests."""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two dicts of three looks are laid by, beside the last ones."""
    monkeypatch.setattr(capture, "MAX_KEYS", SMALL)
    monkeypatch.setattr(capture, "MAX_LAID_BY", 2)


def many(count: int) -> None:
    """Look at as many keys."""
    for number in range(count):
        remember(1, b"%d" % number, [(b"a", S1), (b"b", S1)], ID1)


def seen(*numbers: int, name: bytes = b"a") -> list[object]:
    """What is remembered of keys."""
    return [recall(1, b"%d" % number, name) for number in numbers]


@pytest.mark.usefixtures("small")
def test_outside_the_oldest_keys_go_first() -> None:
    """In a thread that lives on so many dicts of looks are kept."""

    def looks() -> list[object]:
        many(4 * 3)
        return seen(0, 3, 4, 7, 8, 11)

    assert outside(looks) == [None, None, *[(S1, ID1)] * 4]


def test_outside_sixteen_thousand_are_kept() -> None:
    """A batch of thousands is."""

    def looks() -> list[object]:
        many(16 * 1024)
        return seen(0, 16 * 1024 - 1)

    assert outside(looks) == [(S1, ID1)] * 2


@pytest.mark.usefixtures("small")
def test_what_was_laid_by_and_is_set_or_looked_at_again() -> None:
    """The last word on a key counts, in this context; another keeps what it had."""

    def looks() -> list[object]:
        many(8)
        other = contextvars.copy_context()
        stored(1, b"0")
        remember(1, b"1", [(b"a", S2)], ID2)
        here = seen(0, 1, 2)
        for number in range(20, 26):  # these words are laid by, too
            remember(1, b"%d" % number, [(b"a", S1)], ID1)
        return [*here, *seen(0, 1), *other.run(seen, 0, 1)]

    new = (S2, ID2)
    assert outside(looks) == [None, new, (S1, ID1), None, new, (S1, ID1), (S1, ID1)]


@pytest.mark.usefixtures("small")
def test_what_was_laid_by_and_is_forgotten() -> None:
    """Its stamps that were invalidated in this context, and no others, and not what was seen of them since."""

    def looks() -> list[object]:
        many(8)
        forget(1, [b"a"])
        here = [*seen(0, 7), *seen(0, 7, name=b"b")]
        remember(1, b"0", [(b"a", S2)], ID2)
        remember(1, b"30", [(b"a", S2)], ID2)
        remember(1, b"31", [(b"a", S2)], ID2)
        remember(1, b"32", [(b"a", S2)], ID2)
        return [*here, *seen(0, 30)]

    assert outside(looks) == [None, None, (S1, ID1), (S1, ID1), (S2, ID2), (S2, ID2)]


@pytest.mark.usefixtures("small")
def test_much_that_is_forgotten() -> None:
    """Many tags that were invalidated take no room for ever."""

    def looks() -> list[object]:
        many(8)
        forget(1, [b"a"])
        forget(1, [b"%d" % number for number in range(10)])
        return [*seen(0, 7), *seen(0, 7, name=b"b"), len(capture._remembered.get().forgotten)]

    assert outside(looks) == [None, None, (S1, ID1), (S1, ID1), 0]


@pytest.mark.usefixtures("small")
def test_what_was_laid_by_and_is_distrusted_shunned_or_over() -> None:
    """As with the last looks: closed, or gone with its request."""

    def looks() -> list[object]:
        many(8)
        shun(1, b"1", [b"a"])
        here = [*seen(0, 1), *seen(1, name=b"b")]
        distrust(1, [b"b"])
        here += [*seen(0), *seen(0, 7, name=b"b"), recall(2, b"0", b"a")]
        lapse(1)
        return [*here, *seen(0, 7)]

    closed, one = (CLOSED, b""), (S1, ID1)
    assert outside(looks) == [one, closed, one, one, closed, closed, None, None, None]


@pytest.mark.usefixtures("small")
def test_a_request_that_is_over_takes_its_own_looks_alone() -> None:
    """Another cache's stay."""

    def looks() -> list[object]:
        many(8)
        remember(2, b"0", [(b"a", S2)], ID2)
        many(4)
        distrust(1, [b"b"])
        lapse(1)
        return [*seen(0, 7), recall(2, b"0", b"a")]

    assert outside(looks) == [None, None, (S2, ID2)]


def test_a_thread_remembers_apart() -> None:
    """Another thread neither knows nor changes what this one remembers."""
    remember(1, b"k", [(b"a", S1)], ID1)
    seen: list[object] = []

    def work() -> None:
        seen.append(recall(1, b"k", b"a"))
        remember(1, b"k", [(b"a", S2)], ID1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert (seen, recall(1, b"k", b"a")) == ([None], (S1, ID1))


def test_tasks_of_a_request_share_its_memory() -> None:
    """What a task saw holds for the others of its request: `asyncio.to_thread` runs each call in a copied context."""
    contextvars.copy_context().run(remember, 1, b"k", [(b"a", S1)], ID1)
    assert contextvars.copy_context().run(recall, 1, b"k", b"a") == (S1, ID1)


class Wobbly(MemoryStore):
    """A store whose next calls can be made to fail, or to be answered by another server."""

    def __init__(self) -> None:
        super().__init__()
        self.failures = 0

    def fail(self, *_: object) -> None:
        """Do not answer in time."""
        raise StoreTimeoutError

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreTimeoutError

    def read(self, names) -> Reading:
        self._fail()
        return super().read(names)

    def peek(self, *arguments) -> Peek:
        self._fail()
        return super().peek(*arguments)

    def open(self, *arguments) -> Opening:
        self._fail()
        return super().open(*arguments)


@pytest.fixture
def store() -> Wobbly:
    """A store in memory that can fail."""
    return Wobbly()


@pytest.fixture
def events() -> list[Event]:
    """What the cache says."""
    return []


@pytest.fixture
def cache(store: Wobbly, events: list[Event], monkeypatch: pytest.MonkeyPatch) -> Cache:
    """A cache on that store."""
    monkeypatch.setattr("unstale.cache.open_store", lambda *_: store)
    return Cache.from_url("memory://", namespace="test", on_event=events.append)


def test_set_after_a_missed_get(cache: Cache) -> None:
    """A value computed after a get that missed, and outrun by an invalidation, is not stored."""
    cache.get("k", tags=["a"])
    elsewhere(cache.invalidate, "a")
    assert cache.set("k", "old", tags=["a"]) is False


def test_looking_at_another_key_keeps_what_was_seen(cache: Cache) -> None:
    """A later look at another key with the same tag does not let an older value pass for a newer one."""
    cache.get("one", tags=["a"])
    old = "computed before the invalidation"
    elsewhere(cache.invalidate, "a")
    cache.get("two", tags=["a"])
    cache.set("one", old, tags=["a"])
    assert elsewhere(cache.get, "one") is None


def test_looking_at_many_keys_keeps_what_was_seen(cache: Cache) -> None:
    """The same by get_many, with only the root in common."""
    cache.get("one")
    elsewhere(cache.clear)
    cache.get_many(f"k{number}" for number in range(64))
    cache.set("one", "computed before the clear")
    assert elsewhere(cache.get, "one") is None


def test_a_refused_set_does_not_let_another_pass(cache: Cache) -> None:
    """After a set was refused, another key's value that is as old is refused too."""
    cache.get("one", tags=["a"])
    cache.get("two", tags=["a"])
    elsewhere(cache.invalidate, "a")
    assert cache.set("one", "old", tags=["a"]) is False
    cache.set("two", "just as old", tags=["a"])
    assert elsewhere(cache.get, "two") is None


def test_a_key_that_was_never_looked_at(cache: Cache) -> None:
    """A value stored under a key that was never read counts as old as the first look at its tags."""
    cache.get("one", tags=["a"])
    elsewhere(cache.invalidate, "a")
    cache.get("two", tags=["a"])
    assert cache.set("never read", "computed after the first look", tags=["a"]) is False


def test_loads_in_copied_contexts_do_not_mix(cache: Cache) -> None:
    """Of two tasks begun from one, the second's look does not let the first's old value pass."""
    cache.get("something else")
    one, other = contextvars.copy_context(), contextvars.copy_context()
    one.run(cache.get, "k", tags=["a"])
    elsewhere(cache.invalidate, "a")
    other.run(cache.get, "k", tags=["a"])
    one.run(lambda: cache.set("k", "old", tags=["a"]))
    assert elsewhere(cache.get, "k") is None


def test_get_in_a_loader_is_inherited(cache: Cache) -> None:
    """What a loader gets from the cache makes its own result stale with it; a miss by its tags, a hit by all."""
    cache.set("hit", 1, tags=["a"])

    def load() -> list[object]:
        return [cache.get("hit"), cache.get("miss", tags=["b"]), cache.get_many(["many"], tags=["c"])]

    for tag in ("a", "b", "c"):
        cache.set("hit", 1, tags=["a"])
        cache.get_or_set("outer", load)
        assert cache.has_key("outer")
        elsewhere(cache.invalidate, tag)
        assert not cache.has_key("outer")


@pytest.mark.parametrize(("verb", "what"), [("get", "k"), ("get_many", ["k"])])
def test_a_failed_look_in_a_loader_keeps_it_from_being_stored(
    cache: Cache, store: Wobbly, events: list[Event], verb: str, what: object
) -> None:
    """What a loader could not look up it computes itself, under stamps that nobody saw: its result is not stored."""

    def load() -> str:
        store.failures = 1
        getattr(cache, verb)(what, tags=["a"])
        return "computed from inner's source"

    cache.get_or_set("outer", load)
    elsewhere(cache.invalidate, "a")
    assert elsewhere(cache.get, "outer") is None
    assert Refused("outer", Why.UNAVAILABLE) in events


def test_a_failed_get_or_set_in_a_loader_keeps_it_from_being_stored(
    cache: Cache, store: Wobbly, events: list[Event]
) -> None:
    """An inner value that was loaded while the store was away keeps the outer one from being stored."""

    def load() -> str:
        store.failures = 1
        return cache.get_or_set("inner", lambda: "inner", tags=["a"])

    assert cache.get_or_set("outer", load) == "inner"
    assert events[-1] == Refused("outer", Why.UNAVAILABLE)


def test_a_failed_opening_in_a_loader_keeps_it_from_being_stored(
    cache: Cache, store: Wobbly, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same where the store goes away after the inner look, before the inner load."""

    def load() -> str:
        with monkeypatch.context() as patch:
            patch.setattr(store, "open", store.fail)
            return cache.get_or_set("inner", lambda: "inner", tags=["a"])

    assert cache.get_or_set("outer", load) == "inner"
    assert events[-1] == Refused("outer", Why.UNAVAILABLE)


def test_what_was_loaded_under_a_closed_tag_is_no_ground(cache: Cache, store: Wobbly, events: list[Event]) -> None:
    """An inner value of a closed tag, which has no stamp to inherit, keeps the outer one from being stored."""
    store.close_stamps([b"test:s:{a}"], b"another", 60.0)
    cache.get_or_set("outer", lambda: cache.get_or_set("inner", lambda: 1, tags=["a"]))
    assert events[-2:] == [Refused("inner", Why.CLOSED), Refused("outer", Why.UNAVAILABLE)]


def test_a_look_at_a_closed_tag_in_a_loader(cache: Cache, store: Wobbly, events: list[Event]) -> None:
    """What a loader computes after a miss under a closed tag is not stored."""
    store.close_stamps([b"test:s:{a}"], b"another", 60.0)
    cache.get_or_set("outer", lambda: cache.get("inner", tags=["a"]))
    assert events[-1] == Refused("outer", Why.UNAVAILABLE)


def test_what_was_closed_at_the_look(cache: Cache, store: Wobbly, events: list[Event]) -> None:
    """What was looked for under a closed tag is not stored, though the tag is open by then."""
    store.close_stamps([b"test:s:{a}"], b"another", 60.0)
    cache.get("k", tags=["a"])
    store._remove(b"test:s:{a}")
    assert cache.set("k", "old", tags=["a"]) is False
    assert events[-1] == Refused("k", Why.CLOSED)


def test_a_look_that_two_servers_answered(cache: Cache, store: Wobbly, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the stamps were created on another server than was looked at, nothing is known, and nothing stored."""
    create = store.open

    def elsewhere_created(*arguments: object) -> Opening:
        store.identity = ID2
        return create(*arguments)

    monkeypatch.setattr(store, "open", elsewhere_created)
    cache.get("k", tags=["a"])
    assert cache.set("k", 1, tags=["a"]) is False


async def at_once(_: float) -> None:
    """Wait for no time."""


def test_what_was_loaded_without_a_lease_is_inherited(
    cache: Cache, store: Wobbly, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An inner value that was loaded without storing it, since another kept the lease, is inherited as it was seen."""
    monkeypatch.setattr(cache._io, "sleep", at_once)
    assert store.open([Claim(b"test:e:inner", b"test:l:inner", 60.0)], (), 60.0).claimed[0].token
    cache.get_or_set("outer", lambda: cache.get_or_set("inner", lambda: 1, tags=["a"]))
    assert Refused("inner", Why.NO_LEASE) in events
    assert cache.has_key("outer")
    elsewhere(cache.invalidate, "a")
    assert not cache.has_key("outer")


def test_inherited_tags_are_limited(cache: Cache, events: list[Event]) -> None:
    """A value computed from more tags than an entry may carry is returned, not stored, and says so."""

    def load() -> list[int]:
        return [cache.get_or_set(f"k{n}", lambda n=n: n, tags=[f"a{n}/b{n}"]) for n in range(17)]

    assert cache.get_or_set("outer", load) == list(range(17))
    assert events[-1] == Refused("outer", Why.TOO_MANY_TAGS)


def test_what_is_not_stored_keeps_the_outer_from_being_stored(cache: Cache, events: list[Event]) -> None:
    """An inner value with more tags than can be recorded is no ground for an outer one with fewer."""

    def middle() -> int:
        return sum(cache.get_or_set(f"k{n}", lambda: 1, tags=[f"a{n}/b{n}"]) for n in range(17))

    assert cache.get_or_set("outer", lambda: cache.get_or_set("middle", middle)) == 17
    assert events[-2:] == [Refused("middle", Why.TOO_MANY_TAGS), Refused("outer", Why.UNAVAILABLE)]


def test_an_inner_value_of_another_server(cache: Cache, store: Wobbly, events: list[Event]) -> None:
    """What was computed from entries of two servers, one that came and went within the load, is not stored."""
    first = store.identity

    def load() -> int:
        store.identity = ID2
        value = cache.get_or_set("inner", lambda: 1, tags=["b"])
        store.identity = first
        return value

    assert cache.get_or_set("outer", load, tags=["a"]) == 1
    assert events[-1] == Refused("outer", Why.IDENTITY)


def test_another_caches_entries_are_not_inherited(cache: Cache) -> None:
    """What a loader reads from another cache is not this cache's to know."""
    other = Cache.from_url("memory://", namespace="other")
    cache.get_or_set("outer", lambda: other.get_or_set("inner", lambda: 1, tags=["a"]))
    other.invalidate("a")
    assert cache.get("outer") == 1


def test_scopes_of_one_cache_inherit(cache: Cache) -> None:
    """A scope is the same cache: what a loader reads through it is inherited."""
    mine = cache.scope("user", 42)
    cache.get_or_set("outer", lambda: mine.get_or_set("inner", lambda: 1))
    mine.invalidate()
    assert cache.get("outer") is None


def test_capture_is_left_clean(cache: Cache) -> None:
    """A loader that raises leaves no inheritance behind."""
    with pytest.raises(ZeroDivisionError):
        cache.get_or_set("k", lambda: 1 // 0)
    assert capture._running.get() is None


def test_requests_begun_from_one_context_remember_apart(cache: Cache) -> None:
    """Outside `remembering`, tasks begun from a context that has missed once keep their looks apart."""

    def serve() -> None:
        cache.get("warm-up")
        one, other = contextvars.copy_context(), contextvars.copy_context()
        one.run(cache.get, "k", tags=["a"])
        elsewhere(cache.invalidate, "a")
        other.run(cache.get, "k", tags=["a"])
        one.run(lambda: cache.set("k", "computed before the invalidation", tags=["a"]))

    outside(serve)
    assert elsewhere(cache.get, "k") is None


def test_a_set_by_another_task_of_the_request(cache: Cache) -> None:
    """In a request, too, a task's value is held to its own look, whatever its fellows have looked at and set since."""
    one, two, three = (contextvars.copy_context() for _ in range(3))
    one.run(cache.get, "k", tags=["a"])
    two.run(cache.get, "k", tags=["a"])
    two.run(lambda: cache.set("k", "as old", tags=["a"]))
    elsewhere(cache.invalidate, "a")
    three.run(cache.get, "k", tags=["a"])
    one.run(lambda: cache.set("k", "computed before the invalidation", tags=["a"]))
    assert elsewhere(cache.get, "k") is None


def test_an_invalidation_by_another_task_of_the_request(cache: Cache) -> None:
    """What a task has computed before another one of its request invalidated the tag is not stored."""
    one, two = contextvars.copy_context(), contextvars.copy_context()
    one.run(cache.get, "k", tags=["a"])
    two.run(cache.invalidate, "a")
    one.run(lambda: cache.set("k", "computed before the invalidation", tags=["a"]))
    assert elsewhere(cache.get, "k") is None
