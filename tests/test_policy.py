"""Durations in every form, and the rules that compute one from another."""

from __future__ import annotations

import dataclasses
import math
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import islice

import pytest

from unstale import Cache
from unstale.core.codecs import codec_named
from unstale.core.keys import Names
from unstale.core.keyspace import Keyspace
from unstale.core.payloads import Payloads
from unstale.core.policy import DEFAULT, MAX_SECONDS, Policy, seconds, waits
from unstale.errors import ConfigurationError, InvalidDurationError
from unstale.stores.memory import MemoryStore


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (1, 1.0),
        (300, 300.0),
        (0.5, 0.5),
        (0.001, 0.001),
        (MAX_SECONDS, MAX_SECONDS),
        (315_360_000, MAX_SECONDS),
        (timedelta(milliseconds=1), 0.001),
        (timedelta(hours=1, milliseconds=5), 3600.005),
        (timedelta(days=2, seconds=3), 172803.0),
        (timedelta(days=3650), MAX_SECONDS),
        (None, math.inf),
    ],
    ids=repr,
)
def test_durations(duration: object, expected: float) -> None:
    """Seconds, a timedelta in all its parts, or None for no limit."""
    value = seconds(duration)
    assert (value, type(value)) == (expected, float)


@pytest.mark.parametrize(
    "duration",
    [
        0,
        -1,
        0.0,
        -0.0,
        0.0009,
        -0.5,
        math.nan,
        math.inf,
        -math.inf,
        MAX_SECONDS * 1.001,
        timedelta(0),
        timedelta(microseconds=999),
        timedelta(seconds=-1),
        timedelta.max,
        timedelta.min,
    ],
    ids=repr,
)
def test_durations_out_of_range(duration: object) -> None:
    """What is not above zero, under a millisecond or over ten years is refused, with the limits and what was given."""
    with pytest.raises(InvalidDurationError, match=r"at least 0\.001 s and at most ten years; got .* s"):
        seconds(duration)


@pytest.mark.parametrize("duration", [10**400, -(10**400)], ids=["huge", "huge below zero"])
def test_ints_beyond_floats(duration: int) -> None:
    """An int too large to be a float is refused like every long duration."""
    with pytest.raises(InvalidDurationError):
        seconds(duration)


@pytest.mark.parametrize("duration", [True, False, "60", b"60", [60], Decimal(60), Fraction(60), 1j, DEFAULT], ids=repr)
def test_durations_of_other_types(duration: object) -> None:
    """Whatever is neither a number nor a timedelta is refused by its type; True is no second."""
    with pytest.raises(InvalidDurationError, match="must be seconds, a timedelta or None, not "):
        seconds(duration)


def test_duration_is_named_in_the_error() -> None:
    """The error says which option it was."""
    with pytest.raises(InvalidDurationError, match=r"^stamp_ttl must be"):
        seconds(0, "stamp_ttl")


@pytest.mark.parametrize("duration", [1e12, -5e9, 10**11, math.inf, -0.5], ids=repr)
def test_error_tells_what_was_given(duration: float) -> None:
    """The error repeats the duration that was given, not the nearest that would do."""
    with pytest.raises(InvalidDurationError) as caught:
        seconds(duration)
    assert f"got {float(duration)!r} s" in str(caught.value)


def test_ttl_of_a_call() -> None:
    """A call's ttl is its own, the cache's where it says nothing, and none where it says None."""
    policy = Policy(ttl=7.0)
    assert [policy.ttl_of(ttl) for ttl in (DEFAULT, 3, timedelta(minutes=1), None)] == [7.0, 3.0, 60.0, math.inf]


def test_bad_ttl_of_a_call() -> None:
    """A call's ttl is checked."""
    with pytest.raises(InvalidDurationError):
        Policy().ttl_of(-1)


def test_default_policy() -> None:
    """The defaults: five minutes fresh, stamps for a day, leases of ten seconds, tagged entries fenced, never stale."""
    durations = {"ttl": 300.0, "stamp_ttl": 86400.0, "lease_seconds": 10.0, "stale_ttl": 0.0, "replica_lag": 0.0}
    assert dataclasses.asdict(Policy()) == {**durations, "fence": "tags", "beta": 0.0}


@pytest.mark.parametrize("fence", ["", "ALL", "none", None, 1, ["all"]], ids=repr)
def test_bad_fence(fence: object) -> None:
    """An unknown fence is refused, with the ones that there are."""
    with pytest.raises(ConfigurationError, match="fence must be one of tags, all, replay"):
        Policy(fence=fence)


@pytest.mark.parametrize(
    ("fence", "tags", "fenced"),
    [
        ("tags", (), False),
        ("tags", ("a",), True),
        ("tags", ("*7",), False),
        ("tags", ("*7", "a"), True),
        ("all", (), True),
        ("all", ("*7",), True),
        ("all", ("a",), True),
    ],
)
def test_fences(fence: str, tags: tuple[str, ...], fenced: bool) -> None:
    """By default an entry with a tag of its own, a root not counted, is bound to its server; with "all" every one."""
    assert Policy(fence=fence).fences(tags) is fenced


@pytest.mark.parametrize(
    ("ttl", "expected"),
    [(1.0, 86400.0), (86340.0, 86400.0), (86341.0, 86401.0), (1e6, 1e6 + 60.0), (math.inf, math.inf)],
)
def test_stamps_outlive_entries(ttl: float, expected: float) -> None:
    """A stamp lives at least its own ttl, and a minute longer than the entry that records it."""
    assert Policy().stamp_ttl_for(ttl) == expected


@pytest.mark.parametrize(
    ("load_seconds", "expected"),
    [
        (None, 10.0),
        (0.001, 1.0),
        (0.25, 1.0),
        (0.5, 2.0),
        (10.0, 40.0),
        (15.0, 60.0),
        (20.0, 60.0),
        (40.0, 60.0),
        (60.0, 90.0),
        (600.0, 900.0),
    ],
)
def test_lease_follows_the_last_load(load_seconds: float | None, expected: float) -> None:
    """A lease lasts four times the last load within 1 s and 60 s, longer for one that takes longer still."""
    assert Policy().lease_for(load_seconds) == expected


def test_lease_of_an_unknown_load() -> None:
    """Where no last load is known the cache's own lease counts."""
    assert Policy(lease_seconds=3.0).lease_for(None) == 3.0


@pytest.mark.parametrize("load_seconds", [0.001, 0.3, 1.0, 7.0, 59.0, 61.0, 3600.0])
def test_lease_exceeds_the_load(load_seconds: float) -> None:
    """A load that takes as long as the last one ends well within its lease."""
    assert Policy().lease_for(load_seconds) >= 1.5 * load_seconds


@pytest.mark.parametrize(
    ("load_seconds", "first"),
    [(None, 0.002), (0.0, 0.002), (0.004, 0.002), (0.02, 0.005), (0.1, 0.025), (0.2, 0.05), (60.0, 0.05)],
)
def test_first_pause(load_seconds: float | None, first: float) -> None:
    """The first pause is a quarter of the last load, from 2 ms to 50 ms."""
    assert next(waits(load_seconds, 10.0)) == first


def test_pauses_grow() -> None:
    """Each pause is half as long again as the one before, up to 50 ms."""
    pauses = list(islice(waits(None, 10.0), 12))
    assert pauses[:3] == pytest.approx([0.002, 0.003, 0.0045])
    assert pauses == sorted(pauses)
    assert pauses[-1] == 0.05


@pytest.mark.parametrize("load_seconds", [None, 0.01, 5.0])
@pytest.mark.parametrize("lease_seconds", [0.001, 1.0, 10.0, 60.0])
def test_pauses_outlast_the_lease(load_seconds: float | None, lease_seconds: float) -> None:
    """Who waits through all pauses has waited longer than the lease, by a fifth of a second at most."""
    assert lease_seconds + 0.1 < sum(waits(load_seconds, lease_seconds)) < lease_seconds + 0.2


class Aging:
    """A cache in memory whose time passes when it is told to, by all its clocks."""

    def __init__(self, stamp_ttl: float) -> None:
        self.now = 1000.0
        self.store = MemoryStore(lambda: self.now)
        space = Keyspace(Names("test"), Payloads(codec_named("raw")), Policy(stamp_ttl=stamp_ttl), lambda _: None)
        self.cache = Cache(self.store, space)
        self.cache._io.monotonic = lambda: self.now

    def left(self, tag: str = "a") -> float:
        """Seconds that a tag's stamp has left."""
        return self.store.peek(b"test:s:{%b}" % tag.encode(), [b"test:r:0"]).ttl


def test_no_limit_after_a_short_entry() -> None:
    """An entry without a limit gives its stamps none either, also when a shorter one has just prolonged them."""
    aging = Aging(stamp_ttl=86400.0)
    aging.cache.set("k", b"", tags=["a"], ttl=10)
    aging.cache.set("k", b"", tags=["a"], ttl=None)
    assert aging.left() == math.inf


@pytest.mark.parametrize("stamp_ttl", [10.0, 30.0, 60.0, 120.0, 1000.0])
@pytest.mark.parametrize("ttl", [5.0, 15.0, 30.0, 60.0, 61.0, 120.0, 500.0, 1000.0])
def test_stamps_outlive_every_entry(stamp_ttl: float, ttl: float) -> None:
    """However entries of several ttls and invalidations follow each other, a stamp outlives what was stored last."""
    aging = Aging(stamp_ttl)
    for pause, other_ttl in ((0.0, 1.0), (stamp_ttl / 5, 1.0), (stamp_ttl / 5, ttl / 2), (0.1, 1.0)):
        aging.cache.set("other", b"", tags=["a"], ttl=other_ttl)
        aging.now += pause
        aging.cache.invalidate("a")
        aging.now += pause
        aging.cache.set("k", b"", tags=["a"], ttl=ttl)
        assert aging.left() >= ttl


def test_a_refused_fill_prolongs_nothing() -> None:
    """A fill that was refused has prolonged no stamp: the next one does."""
    aging = Aging(stamp_ttl=1000.0)
    aging.cache.get("k", tags=["a"])
    aging.now += 990.0
    aging.cache.get_or_set("k", lambda: bytes(aging.cache.invalidate("b").bumped), tags=["a", "b"], ttl=100)
    aging.cache.get_or_set("k", lambda: b"", tags=["a"], ttl=100)
    assert aging.left() >= 100


@pytest.mark.parametrize("stamp_ttl", [None, 0.001, timedelta(days=3650)], ids=repr)
def test_every_stamp_ttl_works(url: str, stamp_ttl: object) -> None:
    """Whatever a stamp's ttl may be, none included, values are stored and invalidated under it."""
    with Cache.from_url(url, namespace="test", timeout=2.0, stamp_ttl=stamp_ttl) as cache:
        cache.set("k", 1, tags=["a"])
        assert cache.get("k", tags=["a"]) == 1
        cache.invalidate("a")
        assert cache.get("k", tags=["a"]) is None
